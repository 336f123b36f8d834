/* SPDX-License-Identifier: MIT */
/*
 * The doorbell device: see stub_port.h, and guest-stubs/stub_abi.h for the contract.
 *
 * The guest is hostile. Addresses are checked once, at BOOTED, and kept here; nothing is ever read
 * from the mailbox again, so changing it later changes nothing. RAM never shrinks, so a range that
 * was inside stays inside.
 */
#include "vmm/dev/stub_port.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

static_assert(FORKVM_VIRTIO_MMIO_GPA == GPA_VIRTIO_MMIO, "stubs find the devices where they are");
static_assert(FORKVM_VIRTIO_MMIO_BYTES == VIRTIO_MMIO_BYTES, "and how far apart");

void stub_port_init(struct stub_port *port, const struct guest_ram *ram)
{
	*port = (struct stub_port){.ram = ram, .phase = STUB_BOOTING};
}

static int check_area(const struct stub_port *port, const char *name, gpa_t gpa, uint32_t capacity,
		      uint32_t most, struct error *error)
{
	if (capacity > most)
		return error_set(error, EPROTO, "BOOTED: %s area of %u bytes, %u are allowed", name,
				 capacity, most);
	if (capacity && !guest_ram_at(port->ram, gpa, capacity))
		return error_set(error, EFAULT, "BOOTED: %s area, %u bytes at %#llx, is not in RAM",
				 name, capacity, (unsigned long long)gpa);
	return 0;
}

static int booted(struct stub_port *port, uint32_t value, struct error *error)
{
	const void *at = guest_ram_at(port->ram, value, sizeof(struct forkvm_mailbox));
	struct forkvm_mailbox box;
	int rc;

	if (!at)
		return error_set(error, EFAULT, "BOOTED: mailbox at %#x is not in RAM", value);
	if (value % 64)
		return error_set(error, EPROTO, "BOOTED: mailbox at %#x is not 64-byte aligned",
				 value);
	memcpy(&box, at, sizeof(box)); /* once: the guest may be changing it */
	if (box.magic != FORKVM_ABI_MAGIC)
		return error_set(error, EPROTO, "BOOTED: mailbox magic is %#x, not %#x", box.magic,
				 FORKVM_ABI_MAGIC);
	if (box.version != FORKVM_ABI_VERSION)
		return error_set(error, EPROTO, "BOOTED: stub ABI %u, this forkvm speaks %u",
				 box.version, FORKVM_ABI_VERSION);
	rc = check_area(port, "request", box.request_gpa, box.request_capacity, FORKVM_MAX_REQUEST,
			error);
	if (rc == 0)
		rc = check_area(port, "response", box.response_gpa, box.response_capacity,
				FORKVM_MAX_RESPONSE, error);
	if (rc == 0)
		rc = check_area(port, "console", box.console_gpa, box.console_capacity,
				FORKVM_MAX_CONSOLE, error);
	if (rc < 0)
		return rc;
	port->mailbox = value;
	/* An area without bytes may be anywhere; here it gets an address that is one. */
	port->request = box.request_capacity ? box.request_gpa : value;
	port->request_capacity = box.request_capacity;
	port->response = box.response_capacity ? box.response_gpa : value;
	port->response_capacity = box.response_capacity;
	port->console = box.console_capacity ? box.console_gpa : value;
	port->console_capacity = box.console_capacity;
	port->phase = STUB_SETUP;
	return PORT_CONTINUE;
}

static int sink_failed(struct stub_port *port, int rc)
{
	port->sink_error = rc;
	port->phase = STUB_DONE;
	return PORT_STOP;
}

static int ready(struct stub_port *port, uint32_t length, struct error *error)
{
	int rc = 0;

	if (length > port->response_capacity)
		return error_set(error, EPROTO, "READY: %u bytes, the response area has %u", length,
				 port->response_capacity);
	if (!port->first_ready_ns)
		port->first_ready_ns = now_ns();
	port->phase = STUB_ANSWERED;
	if (port->sink && port->sink->answer)
		rc = port->sink->answer(port->sink->ctx,
					guest_ram_at(port->ram, port->response, length), length);
	return rc < 0 ? sink_failed(port, rc) : PORT_CONTINUE;
}

/* The guest's mailbox, for the fields the host writes. */
static struct forkvm_mailbox *mailbox(const struct stub_port *port)
{
	return guest_ram_at(port->ram, port->mailbox, sizeof(struct forkvm_mailbox));
}

static void announce_request(struct stub_port *port, size_t length)
{
	struct forkvm_mailbox *box = mailbox(port);

	box->request_len = (uint32_t)length;
	box->request_seq = ++port->request_seq;
	port->phase = STUB_SERVING;
}

static void serve(struct stub_port *port, const struct forkvm_identity *identity,
		  const void *request, size_t length)
{
	struct forkvm_mailbox *box = mailbox(port);

	/* It may be there already. */
	if (length)
		memmove(guest_ram_at(port->ram, port->request, length), request, length);
	box->is_clone = 1;
	box->identity = *identity;
	if (request)
		announce_request(port, length);
	else
		port->phase =
			STUB_SPARE; /* request_len and request_seq are 0, as in the template */
}

/* A clone that comes here was frozen earlier: it goes straight on. */
static int template_point(struct stub_port *port)
{
	port->phase = STUB_TEMPLATE;
	if (!port->is_clone)
		return PORT_STOP;
	serve(port, &port->identity, port->pending, port->pending_len);
	explicit_bzero(&port->identity, sizeof(port->identity));
	return PORT_CONTINUE;
}

static int park(struct stub_port *port)
{
	void *area = guest_ram_at(port->ram, port->request, port->request_capacity);
	size_t length = 0;
	int rc = 0;

	if (port->sink && port->sink->park)
		rc = port->sink->park(port->sink->ctx, area, port->request_capacity, &length);
	if (rc < 0)
		return sink_failed(port, rc);
	if (rc == 0) {
		port->phase = STUB_DONE;
		return PORT_STOP;
	}
	/* A spare may have waited for long. */
	if (port->phase == STUB_SPARE)
		mailbox(port)->identity.wall_clock_ns = clock_ns(CLOCK_REALTIME);
	announce_request(port, min_u64(length, port->request_capacity));
	return PORT_CONTINUE;
}

static int console(struct stub_port *port, uint32_t length, struct error *error)
{
	int rc = 0;

	if (length > port->console_capacity)
		return error_set(error, EPROTO, "CONSOLE: %u bytes, the console area has %u",
				 length, port->console_capacity);
	if (port->sink && port->sink->console)
		rc = port->sink->console(port->sink->ctx,
					 guest_ram_at(port->ram, port->console, length), length);
	return rc < 0 ? sink_failed(port, rc) : PORT_CONTINUE;
}

static int done(struct stub_port *port, uint32_t status)
{
	port->status = status;
	port->phase = STUB_DONE;
	return PORT_STOP;
}

/* The doorbells, and in which phases each may ring. */
#define ANY_TIME (1u << STUB_SETUP | 1u << STUB_SPARE | 1u << STUB_SERVING | 1u << STUB_ANSWERED)

static const struct {
	const char *name;
	unsigned int phases; /* bits of enum stub_phase */
} doorbells[] = {
	{"BOOTED", 1u << STUB_BOOTING},
	{"TEMPLATE", 1u << STUB_SETUP},
	{"READY", 1u << STUB_SERVING},
	{"PARK", 1u << STUB_SPARE | 1u << STUB_ANSWERED},
	{"DONE", ANY_TIME},
	{"CONSOLE", ANY_TIME},
	{"CLOCK", ANY_TIME},
};

static const char *phase_name(enum stub_phase phase)
{
	static const char *const names[] = {
		"before BOOTED",
		"before TEMPLATE",
		"at its template point",
		"before the first request (request_seq 0 wants PARK)",
		"with a request",
		"after READY",
		"after DONE",
	};

	return names[phase];
}

int stub_port_access(void *device, const struct port_access *access, struct error *error)
{
	struct stub_port *port = device;
	unsigned int bell = (access->port - FORKVM_PORT_BASE) / 4u;
	uint32_t value;

	if (access->port % 4 || bell >= ARRAY_SIZE(doorbells))
		return error_set(error, EPROTO, "port %#x is not a doorbell", access->port);
	if (!access->is_out || access->size != 4 || access->count != 1)
		return error_set(error, EPROTO, "%s: %u times %s of %u bits, one 32-bit OUT rings",
				 doorbells[bell].name, access->count, access->is_out ? "OUT" : "IN",
				 access->size * 8u);
	if (!(doorbells[bell].phases & 1u << port->phase))
		return error_set(error, EPROTO, "%s rung %s", doorbells[bell].name,
				 phase_name(port->phase));
	memcpy(&value, access->data, sizeof(value));
	switch (FORKVM_PORT_BASE + 4 * bell) {
	case FORKVM_PORT_BOOTED:
		return booted(port, value, error);
	case FORKVM_PORT_TEMPLATE:
		return template_point(port);
	case FORKVM_PORT_READY:
		return ready(port, value, error);
	case FORKVM_PORT_PARK:
		return park(port);
	case FORKVM_PORT_CONSOLE:
		return console(port, value, error);
	case FORKVM_PORT_CLOCK:
		mailbox(port)->identity.wall_clock_ns = clock_ns(CLOCK_REALTIME);
		return PORT_CONTINUE;
	default:
		return done(port, value);
	}
}

int stub_port_deliver(struct stub_port *port, const struct forkvm_identity *identity,
		      const void *request, size_t request_len, struct error *error)
{
	if (request_len > port->request_capacity)
		return error_set(error, EMSGSIZE, "request of %zu bytes, this guest takes %u%s",
				 request_len, port->request_capacity,
				 port->phase == STUB_BOOTING ? " (it has not rung BOOTED)" : "");
	if (port->is_clone || port->phase == STUB_DONE)
		return error_set(error, EPROTO, "the guest stands %s and is served already",
				 phase_name(port->phase));
	port->is_clone = true;
	if (port->phase == STUB_TEMPLATE) {
		serve(port, identity, request, request_len);
		return 0;
	}
	port->identity = *identity;
	port->pending = request;
	port->pending_len = request_len;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The other end of a guest's serial port: descriptors of the machine's owner, or its console.
 *
 * The descriptors may be shared with other programs (a terminal), so their flags are left alone:
 * before each write poll(2) is asked whether it would block. What it does not take
 * stays in the port's FIFO, and the guest waits.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

/* What a pipe or a terminal that is ready takes without blocking (pipe(7), PIPE_BUF). */
#define WRITE_MOST 4096u

static const struct machine_serial *other_end(const struct devices *devices)
{
	const struct machine_sink *sink = devices->machine->stub.sink;

	return sink ? sink->serial : NULL;
}

static int write_some(struct devices *devices, int fd, const uint8_t *data, size_t len)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	ssize_t written;

	/* A file is always ready; to ask whether it is one would take a system call more, fstat. */
	if (poll(&ready, 1, 0) == 0) {
		poller_set(&devices->poller, devices->serial_out, POLLOUT);
		return 0;
	}
	do
		written = write(fd, data, min_u64(len, WRITE_MOST));
	while (written < 0 && errno == EINTR);
	if (written < 0 && errno == EAGAIN) {
		poller_set(&devices->poller, devices->serial_out, POLLOUT);
		return 0;
	}
	return written < 0 ? -errno : (int)written;
}

/* The text that marks a template point may come in any pieces. */
static void look_for_mark(struct devices *devices, const uint8_t *data, size_t len)
{
	struct machine *machine = devices->machine;
	size_t end;

	if (devices->template_on && !machine->is_frozen &&
	    matcher_feed(&devices->matcher, data, len, &end))
		machine_reached_template(machine);
}

/* Nobody reads it any more. For a clone that is its client's business, and not told. */
static void lose_output(struct devices *devices, int code)
{
	const struct machine_sink *sink = devices->machine->stub.sink;
	struct error error;

	devices->output_lost = true;
	if (devices->machine->is_frozen || !sink->complain)
		return;
	error_set_errno(&error, code, "serial port: what it sends is lost from here on");
	sink->complain(sink->ctx, error.text);
}

/* A serial_backend's write. What nobody reads is taken all the same: a mark may be in it. */
static size_t take_output(void *ctx, const uint8_t *data, size_t len)
{
	struct devices *devices = ctx;
	const struct machine_sink *sink = devices->machine->stub.sink;
	const struct machine_serial *serial = other_end(devices);
	int taken = (int)len;

	if (!sink)
		return 0; /* nobody is there yet */
	if (!serial && sink->console)
		(void)sink->console(sink->ctx, (const char *)data, len);
	else if (serial && serial->out_fd >= 0 && !devices->output_lost)
		taken = write_some(devices, serial->out_fd, data, len);
	if (taken < 0) {
		lose_output(devices, -taken);
		taken = (int)len;
	}
	if (taken > 0)
		look_for_mark(devices, data, (size_t)taken);
	return (size_t)taken;
}

static void on_output_ready(void *ctx, short revents)
{
	struct devices *devices = ctx;

	(void)revents;
	poller_set(&devices->poller, devices->serial_out, 0);
	serial_output_ready(&devices->serial);
}

static void on_input(void *ctx, short revents)
{
	struct devices *devices = ctx;
	const struct machine_serial *serial = other_end(devices);
	uint8_t data[SERIAL_FIFO_BYTES];
	size_t space = serial_input_space(&devices->serial);
	ssize_t count = 0;

	(void)revents;
	if (space > 0 && serial) {
		count = read(serial->in_fd, data, min_u64(space, sizeof(data)));
		if (count < 0 && (errno == EAGAIN || errno == EINTR))
			return;
	}
	/* Full, at its end, or broken: no more of it until the guest has read, or at all. */
	if (count <= 0) {
		poller_set(&devices->poller, devices->serial_in, 0);
		return;
	}
	serial_input(&devices->serial, data, (size_t)count);
	if (serial_input_space(&devices->serial) == 0)
		poller_set(&devices->poller, devices->serial_in, 0);
}

/* The guest has read what there was. */
static void on_drained(void *ctx)
{
	struct devices *devices = ctx;

	if (devices->serial_in)
		poller_set(&devices->poller, devices->serial_in, POLLIN);
}

static struct serial_backend backend(struct devices *devices)
{
	return (struct serial_backend){
		.ctx = devices,
		.write = take_output,
		.input_drained = on_drained,
	};
}

void serial_port_init(struct devices *devices, struct portbus *ports)
{
	struct serial_backend end = backend(devices);

	serial_init(&devices->serial, &end);
	devices->serial.irq = lines_take(&devices->lines, GSI_COM1);
	portbus_add(ports, PORT_COM1, SERIAL_PORTS, serial_access, &devices->serial);
}

void machine_connect_serial(struct machine *machine)
{
	struct devices *devices = &machine->devices;

	if (!devices->pc)
		return;
	assert(!devices->serial_in && !devices->serial_out);
	serial_port_bind(devices);
	/* Their thread waits for what there was before. */
	poller_wake(&devices->poller);
}

void serial_port_bind(struct devices *devices)
{
	const struct machine_serial *serial = other_end(devices);
	struct serial_backend end = backend(devices);

	if (serial && serial->in_fd >= 0)
		devices->serial_in =
			poller_add(&devices->poller, serial->in_fd, POLLIN, on_input, devices);
	if (serial && serial->out_fd >= 0)
		devices->serial_out =
			poller_add(&devices->poller, serial->out_fd, 0, on_output_ready, devices);
	devices->output_lost = false;
	serial_rebind(&devices->serial, &end);
}

/* SPDX-License-Identifier: MIT */
/*
 * The devices of a machine: see devices.h.
 */
#include "vmm/machine/devices.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/kvm/irq.h"
#include "vmm/machine/internal.h"

#define VIRTIO_QUEUE_NOTIFY 0x50u /* VIRTIO 1.2, 4.2.2: the register that ioeventfds stand for */

void devices_init(struct devices *devices, struct machine *machine)
{
	devices->machine = machine;
	devices->poller.wake_fd = -1;
	lines_init(&devices->lines);
	for (size_t i = 0; i < ARRAY_SIZE(devices->slots); i++)
		for (size_t j = 0; j < VIRTIO_QUEUES_MAX; j++)
			devices->slots[i].notify_fds[j] = -1;
}

static void complain(void *ctx, const char *name, const struct error *error)
{
	const struct virtio_slot *slot = ctx;
	const struct machine_sink *sink = slot->devices->machine->stub.sink;
	struct error text;

	(void)name;
	if (!sink || !sink->complain)
		return;
	error_set(&text, EIO, "device %s: %s", slot->label, error->text);
	sink->complain(sink->ctx, text.text);
}

void devices_add_virtio(struct devices *devices, unsigned int index, struct virtio_device *device,
			const char *label)
{
	struct virtio_slot *slot = &devices->slots[index];
	struct irq_line irq = lines_take(&devices->lines, GSI_VIRTIO + index);
	struct virtio_log log = {.error = complain, .ctx = slot};

	assert(!slot->present);
	slot->present = true;
	slot->devices = devices;
	snprintf(slot->label, sizeof(slot->label), "%s", label);
	for (uint32_t i = 0; i < VIRTIO_QUEUES_MAX; i++)
		slot->targets[i] = (struct notify_target){.slot = slot, .queue = i};
	virtio_mmio_init(&slot->mmio, device, devices->machine->ram, &irq, &log);
	mmiobus_add(&devices->mmio, GPA_VIRTIO_MMIO + index * (uint64_t)VIRTIO_MMIO_BYTES,
		    VIRTIO_MMIO_BYTES, virtio_mmio_access, &slot->mmio);
}

void devices_add_rng(struct devices *devices)
{
	virtio_rng_init(&devices->rng);
	devices_add_virtio(devices, 0, &devices->rng.device, "virtio-rng");
}

/* The template, too, has a generation id of its own. Without entropy it is all zeros, once. */
static void first_generation(struct devices *devices)
{
	uint8_t id[FORKVM_GENERATION_ID_SIZE] = {0};

	(void)!getrandom(id, sizeof(id), GRND_NONBLOCK);
	vmgenid_set(&devices->vmgenid, id);
}

int devices_add_pc(struct devices *devices, struct portbus *ports, const char *template_on,
		   struct error *error)
{
	assert(!devices->pc);
	devices->pc = true;
	devices->template_on = template_on;
	if (template_on && matcher_init(&devices->matcher, template_on, strlen(template_on)) < 0)
		return error_set(error, EINVAL,
				 "a text of %zu bytes cannot mark the template point: 1 to %d",
				 strlen(template_on), MATCHER_PATTERN_MAX);
	serial_port_init(devices, ports);
	i8042_init(&devices->i8042, &devices->power);
	portbus_add(ports, PORT_I8042_DATA, 1, i8042_access, &devices->i8042);
	portbus_add(ports, PORT_I8042_COMMAND, 1, i8042_access, &devices->i8042);
	acpi_pm_init(&devices->acpi_pm, &devices->power);
	portbus_add(ports, PORT_ACPI, PORT_ACPI_COUNT, acpi_pm_access, &devices->acpi_pm);
	vmgenid_init(&devices->vmgenid, devices->machine->ram);
	devices->vmgenid.irq = lines_take(&devices->lines, GSI_ACPI_EVENT);
	first_generation(devices);
	return 0;
}

uint32_t devices_slots(const struct devices *devices)
{
	uint32_t slots = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(devices->slots); i++)
		if (devices->slots[i].present)
			slots |= 1u << i;
	return slots;
}

bool devices_interrupt(const struct devices *devices)
{
	return devices->pc || devices_slots(devices);
}

bool devices_need_thread(const struct devices *devices)
{
	return devices->pc || (devices_slots(devices) && devices->machine->frozen.vcpu_count > 1);
}

static void on_notify(void *ctx, short revents)
{
	struct notify_target *target = ctx;
	uint64_t count;

	(void)revents;
	if (read(target->slot->notify_fds[target->queue], &count, sizeof(count)) == sizeof(count))
		virtio_mmio_notify(&target->slot->mmio, target->queue);
}

static int bind_slot(struct devices *devices, unsigned int index, const struct kvm_vm *vm,
		     struct error *error)
{
	struct virtio_slot *slot = &devices->slots[index];
	gpa_t gpa = GPA_VIRTIO_MMIO + index * (uint64_t)VIRTIO_MMIO_BYTES + VIRTIO_QUEUE_NOTIFY;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < slot->mmio.device->queue_count; i++) {
		_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0)
			return error_set_errno(error, errno, "eventfd for virtio slot %u", index);
		rc = kvm_ioeventfd_add(vm, fd, gpa, i, error);
		if (rc < 0)
			break;
		slot->notify_fds[i] = fd_steal(&fd);
		poller_add(&devices->poller, slot->notify_fds[i], POLLIN, on_notify,
			   &slot->targets[i]);
	}
	return rc;
}

int devices_bind(struct devices *devices, const struct kvm_vm *vm, struct error *error)
{
	bool with_thread = devices_need_thread(devices);
	int rc = with_thread ? poller_init(&devices->poller) : 0;

	if (rc < 0)
		return error_set_errno(error, -rc, "eventfd for the devices' thread");
	if (devices_interrupt(devices))
		rc = lines_connect(&devices->lines, vm, error);
	for (unsigned int i = 0; rc == 0 && with_thread && i < ARRAY_SIZE(devices->slots); i++)
		if (devices->slots[i].present)
			rc = bind_slot(devices, i, vm, error);
	if (rc == 0)
		rc = disks_bind(devices->machine, error);
	return rc;
}

/*
 * A vCPU that rings is not to be put off its processor by the thread that it rings for: it goes on
 * to offer more, and all of that is one pass, with one interrupt. On another processor, or when the
 * vCPU waits, the thread runs at once all the same. Advice: where it is refused, passes are
 * smaller.
 */
static void let_others_go_on(void)
{
	const struct sched_param none = {0};

	(void)sched_setscheduler(0, SCHED_BATCH, &none);
}

/* The thread's: interrupts are for when it has given the lock back. */
struct round {
	struct devices *devices;
	struct line_edges edges;
};

static void begin_round(void *ctx)
{
	struct round *round = ctx;

	lines_hold(&round->devices->lines);
}

static void end_round(void *ctx)
{
	struct round *round = ctx;

	lines_release(&round->devices->lines, &round->edges);
}

static void after_round(void *ctx)
{
	struct round *round = ctx;

	lines_send(&round->edges);
	round->edges.count = 0;
}

static void *thread_main(void *argument)
{
	struct devices *devices = argument;
	struct round round = {.devices = devices};
	const struct poller_rounds rounds = {
		.begin = begin_round, .end = end_round, .after = after_round, .ctx = &round};

	let_others_go_on();
	threads_wait(devices->machine);
	poller_run(&devices->poller, &devices->machine->lock, &rounds);
	return NULL;
}

int devices_start(struct devices *devices, struct error *error)
{
	int rc = 0;

	if (devices_need_thread(devices))
		rc = thread_start(&devices->thread, thread_main, devices, 0);
	if (rc < 0)
		return error_set_errno(error, -rc, "thread for the devices");
	return 0;
}

void devices_attach(struct devices *devices)
{
	if (devices->pc)
		serial_port_bind(devices);
}

void devices_join(struct devices *devices)
{
	if (!devices->thread.exists)
		return;
	pthread_mutex_lock(&devices->machine->lock);
	disks_settle(devices->machine);
	poller_stop(&devices->poller);
	pthread_mutex_unlock(&devices->machine->lock);
	thread_join(&devices->thread);
}

/*
 * How each kind of device gets through a fork, in the order in which it is done. `before` leaves
 * nothing in flight; `child` tells the guest of its new life.
 */
static int virtio_before(struct devices *devices, const struct forkvm_identity *identity,
			 struct error *error)
{
	int rc = 0;

	(void)identity;
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(devices->slots); i++)
		if (devices->slots[i].present)
			rc = virtio_mmio_fork_before(&devices->slots[i].mmio, error);
	return rc;
}

static int virtio_child(struct devices *devices, const struct forkvm_identity *identity,
			struct error *error)
{
	int rc = 0;

	(void)identity;
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(devices->slots); i++)
		if (devices->slots[i].present)
			rc = virtio_mmio_fork_child(&devices->slots[i].mmio, error);
	return rc;
}

static int vmgenid_child(struct devices *devices, const struct forkvm_identity *identity,
			 struct error *error)
{
	(void)error;
	if (devices->pc) {
		vmgenid_set(&devices->vmgenid, identity->generation_id);
		vmgenid_notify(&devices->vmgenid);
	}
	return 0;
}

typedef int (*fork_hook)(struct devices *devices, const struct forkvm_identity *identity,
			 struct error *error);

static const struct {
	const char *name;
	fork_hook before; /* at the freeze, once        */
	fork_hook child;  /* in each clone              */
} hooks[] = {
	/* The id first: whoever draws entropy in the clone may look at it. */
	{"generation id", NULL, vmgenid_child},
	{"virtio", virtio_before, virtio_child},
};

int devices_quiesce(struct devices *devices, const struct kvm_vm *vm, struct error *error)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(hooks); i++) {
		if (!hooks[i].before)
			continue;
		rc = hooks[i].before(devices, NULL, error);
		if (rc < 0)
			error_prefix(error, "bring %s to rest", hooks[i].name);
	}
	if (rc == 0)
		rc = lines_disconnect(&devices->lines, vm, error);
	return rc;
}

int devices_revive(struct devices *devices, const struct forkvm_identity *identity,
		   struct error *error)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(hooks); i++) {
		if (!hooks[i].child)
			continue;
		rc = hooks[i].child(devices, identity, error);
		if (rc < 0)
			error_prefix(error, "revive %s", hooks[i].name);
	}
	lines_replay(&devices->lines);
	return rc;
}

void devices_unbind(struct devices *devices)
{
	disks_unbind(devices->machine);
	lines_close(&devices->lines);
	for (size_t i = 0; i < ARRAY_SIZE(devices->slots); i++)
		for (size_t j = 0; j < VIRTIO_QUEUES_MAX; j++)
			fd_close(&devices->slots[i].notify_fds[j]);
	poller_done(&devices->poller);
	devices->serial_in = devices->serial_out = 0;
}

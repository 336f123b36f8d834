/* SPDX-License-Identifier: MIT */
/*
 * The devices of a machine: which there are, where they are, how they get through a fork.
 *
 * Theory of operation. Device models are plain memory, and a fork carries them. What it cannot
 * carry are the descriptors around them (eventfds for interrupts and notifications) and the thread
 * that waits on those: they are taken down at the freeze and made anew in each clone.
 *
 *	template	devices_bind  devices_start  devices_attach  (guest runs)  devices_join
 *			devices_quiesce: what the guest asked for is done, and told to the guest,
 *			before the interrupt controllers are read; then devices_unbind
 *	clone		devices_bind  devices_revive  devices_start  devices_attach  (guest runs)
 *
 * All models are called with the machine's lock held: from the vCPUs' exits, and from the devices'
 * own thread. A thread costs a clone much of its latency. So a machine without devices has none,
 *nor has one with a single vCPU and without a PC's devices: there a notification is an exit of that
 * vCPU, which waits until the device is done with it.
 */
#ifndef FORKVM_VMM_MACHINE_DEVICES_H
#define FORKVM_VMM_MACHINE_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/error.h"
#include "vmm/base/thread.h"
#include "vmm/dev/acpi_pm.h"
#include "vmm/dev/i8042.h"
#include "vmm/dev/matcher.h"
#include "vmm/dev/serial.h"
#include "vmm/dev/vmgenid.h"
#include "vmm/io/mmiobus.h"
#include "vmm/io/poller.h"
#include "vmm/io/portbus.h"
#include "vmm/machine/lines.h"
#include "vmm/mem/guest_ram.h"
#include "vmm/virtio/mmio.h"
#include "vmm/virtio/rng.h"

struct machine;

#define SLOT_LABEL_SIZE 32

/* A virtio device in its slot. */
struct virtio_slot {
	bool present;
	struct devices *devices;
	char label[SLOT_LABEL_SIZE]; /* for people: "virtio-blk, disk 1" */
	struct virtio_mmio mmio;
	int notify_fds[VIRTIO_QUEUES_MAX]; /* ioeventfds; owned; -1; never across a fork */
	struct notify_target {
		struct virtio_slot *slot;
		uint32_t queue;
	} targets[VIRTIO_QUEUES_MAX]; /* what a ready notify_fd means */
};

struct devices {
	struct machine *machine;
	bool pc; /* what a Linux guest finds: serial port, ACPI, i8042, generation id */
	struct lines lines;
	struct mmiobus mmio;
	struct poller poller;
	struct thread thread;

	enum power_request power; /* what the guest asked of a device */
	struct serial serial;
	unsigned int serial_in, serial_out; /* entries of poller; 0: none */
	bool output_lost; /* the serial port's descriptor takes no more: whoever read has left */
	bool template_on; /* matcher looks for the text that marks the template point */
	struct matcher matcher;
	struct i8042 i8042;
	struct acpi_pm acpi_pm;
	struct vmgenid vmgenid;
	struct virtio_rng rng;
	struct virtio_slot slots[VIRTIO_SLOTS_MAX];
};

/* None yet. machine outlives *devices. */
void devices_init(struct devices *devices, struct machine *machine);

/*
 * Put the devices of a PC in; our own mistake if that is done twice. template_on: text on the
 * serial port that marks the template point (NULL: none); -EINVAL when its length will not do.
 */
int devices_add_pc(struct devices *devices, struct portbus *ports, const char *template_on,
		   struct error *error);

/* Put a virtio entropy device in slot 0. */
void devices_add_rng(struct devices *devices);

/* Put a virtio device, which outlives *devices, in a slot that is empty. label: see above. */
void devices_add_virtio(struct devices *devices, unsigned int index, struct virtio_device *device,
			const char *label);

/* Bit i: slot i has a device. */
uint32_t devices_slots(const struct devices *devices);

/* Is there one that interrupts? */
bool devices_interrupt(const struct devices *devices);

/* Is there one that needs a thread? */
bool devices_need_thread(const struct devices *devices);

/* Descriptors of a new VM, after its interrupt controllers and before its vCPUs run. */
int devices_bind(struct devices *devices, const struct kvm_vm *vm, struct error *error);

/* Make the thread that serves them, where one is needed; it waits as the vCPUs' threads do. */
int devices_start(struct devices *devices, struct error *error);

/* The machine's sink is there: connect to it, before threads are released. */
void devices_attach(struct devices *devices);

/* End that thread. Without the lock. */
void devices_join(struct devices *devices);

/* See above. vCPUs and the devices' thread have ended, the VM still exists. */
int devices_quiesce(struct devices *devices, const struct kvm_vm *vm, struct error *error);

/* In a clone, with all of the VM's state restored and no vCPU running: news for the guest. */
int devices_revive(struct devices *devices, const struct forkvm_identity *identity,
		   struct error *error);

/* Close what devices_bind opened. */
void devices_unbind(struct devices *devices);

/* machine_serial.c: the serial port's other end. */
void serial_port_init(struct devices *devices, struct portbus *ports);
void serial_port_bind(struct devices *devices);

#endif

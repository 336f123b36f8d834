/* SPDX-License-Identifier: MIT */
/*
 * A machine's insides, shared by the files of vmm/machine/ and by nobody else.
 *
 * Threads. During boot each vCPU has one, and the owner's thread waits; a clone runs vCPU 0 on the
 * owner's thread. `lock` guards everything that exits touch: devices, memslots, `progress`.
 */
#ifndef FORKVM_VMM_MACHINE_INTERNAL_H
#define FORKVM_VMM_MACHINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "vmm/base/thread.h"
#include "vmm/base/util.h"
#include "vmm/boot/image.h"
#include "vmm/boot/linux.h"
#include "vmm/dev/stub_port.h"
#include "vmm/io/portbus.h"
#include "vmm/kvm/vm.h"
#include "vmm/machine/devices.h"
#include "vmm/machine/frozen.h"
#include "vmm/machine/machine.h"
#include "vmm/virtio/blk.h"

struct machine_reset;
struct machine_sleep;

struct vcpu {
	struct machine *machine;
	struct kvm_vcpu kvm;
	struct thread thread;
	bool halted;	   /* HLT without anything that could wake it; stays so in clones */
	bool retried;	   /* the instruction at retry_rip was given all of RAM once */
	uint32_t refusals; /* EAGAIN of KVM_RUN, one after another */
	uint64_t retry_rip;
};

/* A disk and its device. */
struct machine_disk {
	struct disk *disk; /* owned */
	struct virtio_blk blk;
};

enum machine_progress {
	PROGRESS_WAITING, /* secondary vCPUs wait for the start */
	PROGRESS_RUNNING,
	PROGRESS_TEMPLATE, /* the guest stands at its template point */
	PROGRESS_ENDED,	   /* end is filled */
};

/*
 * Each page that a clone writes is copied for it. So what every clone writes stands together: from
 * `vm` on, on a page of its own, its vCPU included.
 */
struct machine {
	const struct kvm_host *host;
	uint64_t ram_size;
	enum machine_slots slots;
	bool with_cpuid, with_irqchip, lazy_slots;
	bool resettable; /* to be frozen so that clones can be reset */
	const char *template_on;
	bool with_rng;
	bool is_linux; /* entry is filled in, rather than image */
	struct image image;
	struct linux_entry entry;
	bool loaded;
	bool is_frozen;
	struct machine_frozen frozen;
	struct guest_ram *ram; /* in frozen */
	struct portbus ports;
	struct devices devices;
	unsigned int disk_count;
	struct machine_disk disks[MACHINE_DISKS_MAX];

	_Alignas(PAGE_BYTES) struct kvm_vm vm;
	struct stub_port stub;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* progress moved; on CLOCK_MONOTONIC */
	enum machine_progress progress;
	atomic_bool stop; /* vCPUs are to leave their loops */
	unsigned int halted;
	struct machine_end end;
	unsigned int hole_touches;
	bool learns;		 /* its writes are to be logged */
	struct extents learning; /* memslots whose writes are logged, by number; list is owned */
	unsigned int own_disks;	 /* bit: a clone's own overlay or image is in place */
	bool late_rings;	 /* machine_allow_late_rings was called */
	uint64_t ios, mmios;	 /* exits for ports and for devices in memory */
	struct machine_reset *reset;   /* of a clone that can be reset; owned */
	struct machine_sleep *sleep;   /* of one that has no VM for now; owned */
	struct machine_stages *stages; /* the owner's; NULL in the template */
	struct vcpu vcpus[];	       /* frozen.vcpu_count of them */
};

/* machine_vcpu.c: the guest has marked its template point: stop there. With the lock held. */
void machine_reached_template(struct machine *machine);

/* machine_vcpu.c: the loop of one vCPU, from its thread; returns when it is to stop. */
void vcpu_loop(struct vcpu *vcpu);

/* machine_threads.c: make all vCPU threads from index first on; they wait for the start. */
int threads_start(struct machine *machine, unsigned int first, struct error *error);

/* machine_threads.c: what a new thread does first: wait for the start, or for the end. */
void threads_wait(struct machine *machine);

/* machine_threads.c: let waiting threads run. */
void threads_release(struct machine *machine);

/* machine_threads.c: get all vCPUs out of KVM_RUN. With the lock held. */
void threads_kick(struct machine *machine);

/*
 * machine_threads.c: have all vCPUs but one leave KVM_RUN, and wait before they enter it again
 * until the lock is free. With the lock held, from the one's thread.
 */
void threads_pause_others(struct machine *machine, const struct vcpu *one);

/* machine_threads.c: let the guest know that its vCPUs have not run for a while. None is running.
 */
void threads_tell_of_pause(struct machine *machine);

/* machine_threads.c: stop, kick and join every thread there is. Without the lock. */
void threads_join(struct machine *machine);

/*
 * machine_disks.c: make all disks of config; their descriptors are taken in any case, and errors
 * name the disk. disks_refuse takes the descriptors and does nothing else.
 */
int disks_open(struct machine *machine, const struct machine_config *config, struct error *error);
void disks_refuse(const struct machine_config *config);
void disks_free(struct machine *machine);

/* machine_disks.c: put their devices in. Before the guest is loaded. */
void disks_add(struct machine *machine);

/*
 * machine_disks.c: be ready for requests, whose ends the devices' thread looks at, where there is
 * one; and the opposite, with requests under way or not.
 */
int disks_bind(struct machine *machine, struct error *error);
void disks_unbind(struct machine *machine);

/* machine_disks.c: wait for all requests. With the lock held, before the devices' thread ends. */
void disks_settle(struct machine *machine);

/* machine_disks.c: in a clone, an overlay in memory for each disk that was given none. */
int disks_thaw(struct machine *machine, struct error *error);

/* machine_reset.c: in a clone, when its VM is there and before it runs. */
void reset_begin(struct machine *machine);

/* machine_reset.c: free machine->reset. */
void reset_free(struct machine *machine);

/* machine_sleep.c: free machine->sleep. */
void sleep_free(struct machine *machine);

/* table_pages.c: which pages of the frozen RAM hold page tables; for machines to be reset. */
int table_pages_find(const struct machine *machine, struct table_pages *ret, struct error *error);

/* working_set.c: if writes are to be logged: note what memslots there are. Before they are made. */
int learning_begin(struct machine *machine, struct error *error);

/* working_set.c: copy what is known to be written, if anything is. */
void populate_working_set(const struct machine *machine);

/* machine.c: close vCPUs and VM. No thread may be left. */
void machine_close_kvm(struct machine *machine);

/* machine.c: VM with its interrupt controllers, and its vCPUs with their CPUID. */
int machine_open_vm(struct machine *machine, struct kvm_vm *vm, struct error *error);
int machine_open_vcpu(struct machine *machine, const struct kvm_vm *vm, struct kvm_vcpu *vcpu,
		      unsigned int index, struct error *error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * One virtual machine in one process: the whole of what vmm/ offers to forkserver/.
 *
 * A machine's life has two halves, and a fork between them:
 *
 *	template:  machine_new -> machine_load -> machine_start -> machine_stop -> machine_freeze
 *	clone:     (fork)      -> machine_thaw -> machine_run
 *
 * After machine_freeze the machine holds no KVM descriptor but that of /dev/kvm, no thread and no
 * lock; its RAM is a private mapping of sealed memory. It can be forked any number of times, and
 * machine_thaw in the child makes a running VM of it. Freezing and thawing in one process (for a
 * test or a floor) works too, once.
 *
 * machine_start takes the signal MACHINE_KICK_SIGNAL for itself, to get vCPUs out of KVM_RUN: an
 * empty handler, which clones inherit.
 *
 * Nothing here prints or exits. Functions return 0 or -errno and say more in *error.
 */
#ifndef FORKVM_VMM_MACHINE_MACHINE_H
#define FORKVM_VMM_MACHINE_MACHINE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/error.h"
#include "vmm/block/disk.h"
#include "vmm/dev/sink.h"
#include "vmm/mem/page_set.h"

struct kvm_host;
struct machine;

#define MACHINE_DISKS_MAX 4u

/* How memslots are registered in a clone. */
enum machine_slots {
	MACHINE_SLOTS_AUTO,	 /* populated only where KVM shadows page tables, else all */
	MACHINE_SLOTS_ALL,	 /* all RAM before the first instruction                   */
	MACHINE_SLOTS_POPULATED, /* what the template populated; holes when first touched  */
};

#define MACHINE_DISKS_MAX 4u

struct machine_config {
	uint64_t ram_size;    /* bytes; a multiple of 4 KiB; MACHINE_RAM_MIN to MACHINE_RAM_MAX */
	unsigned int vcpus;   /* 1 to MACHINE_VCPUS_MAX and what KVM allows                     */
	const char *mem_path; /* file to hold RAM, created or resized; NULL for a memfd         */
	const void *ram_near; /* RAM is mapped right above, if there is room; NULL: anywhere    */
	enum machine_slots slots;
	bool force_irqchip; /* in-kernel irqchip and PIT even if the image does not ask      */
	bool force_cpuid;   /* full CPUID table even if the image does not ask               */
	bool rng;	    /* a virtio entropy device in slot 0                             */
	bool resettable;    /* clones may be reset, as far as machine_cannot_reset allows     */
	/* Disk i is a virtio block device in slot 1 + i. machine_new takes their descriptors. */
	struct disk_config disks[MACHINE_DISKS_MAX];
	unsigned int disk_count;
	const char *disk_serials[MACHINE_DISKS_MAX]; /* what a guest can ask for; NULL: by number */
	/* Linux: text on the serial port that marks the template point; NULL for none; must live on
	 */
	const char *template_on;
};

/* A Linux guest: paths and text as the operator gave them. */
struct machine_linux {
	const char *kernel;  /* bzImage, or vmlinux with a PVH entry */
	const char *initrd;  /* NULL: none                           */
	const char *cmdline; /* NULL: a console on the serial port   */
};

#define MACHINE_KICK_SIGNAL SIGUSR1

#define MACHINE_RAM_MIN	    (2ull << 20)
#define MACHINE_PATTERN_MAX 255u /* bytes of template_on, at least 1 */
#define MACHINE_RAM_MAX	    (128ull << 30)
#define MACHINE_VCPUS_MAX   64u

/* Why a VM stopped for good. */
enum machine_end_reason {
	MACHINE_END_DONE,	   /* DONE with a status, or PARK and no more requests */
	MACHINE_END_SHUTDOWN,	   /* the guest halted or asked for power-off or reset */
	MACHINE_END_GUEST_ERROR,   /* triple fault, misused doorbell, wild access      */
	MACHINE_END_OUT_OF_MEMORY, /* the host had no memory for it                    */
	MACHINE_END_HOST_ERROR,	   /* KVM or the owner's sink failed                   */
	MACHINE_END_COUNT_
};

struct machine_end {
	enum machine_end_reason reason;
	uint32_t status;    /* of DONE            */
	struct error error; /* empty for DONE     */
};

/* Moments of a clone's life, CLOCK_MONOTONIC nanoseconds; 0 when it was not reached. */
enum machine_stage {
	MACHINE_STAGE_START,	/* machine_thaw entered           */
	MACHINE_STAGE_VM,	/* VM made                        */
	MACHINE_STAGE_POPULATE, /* working set copied             */
	MACHINE_STAGE_MEMSLOTS, /* RAM registered                 */
	MACHINE_STAGE_VCPUS,	/* vCPUs made                     */
	MACHINE_STAGE_STATE,	/* state and identity written     */
	MACHINE_STAGE_RUN,	/* first KVM_RUN entered          */
	MACHINE_STAGE_READY,	/* first READY doorbell received  */
	MACHINE_STAGE_COUNT_
};

struct machine_stages {
	uint64_t at_ns[MACHINE_STAGE_COUNT_];
};

/* What a person may want to know of a frozen machine. */
struct machine_info {
	uint64_t ram_size;
	uint64_t populated; /* bytes of RAM the template left non-empty   */
	unsigned int vcpus;
	unsigned int slots;	   /* memslots a clone registers before its run  */
	uint64_t slot_bytes;	   /* bytes they cover                           */
	unsigned int msrs;	   /* MSRs captured a vCPU                       */
	unsigned int msrs_written; /* of them, written in a clone           */
	bool lazy_slots;
	bool irqchip;
	bool cpuid;
};

/*
 * Make a machine: RAM, no KVM yet. *host must outlive it.
 * Errors: -EINVAL (a bad size or count, said in words), -ENOMEM, -EFBIG (more RAM than this host
 * has), and those of opening config->mem_path.
 */
int machine_new(const struct kvm_host *host, const struct machine_config *config,
		struct machine **ret, struct error *error);

/* Close everything, end all threads, free. NULL is fine. */
void machine_free(struct machine *machine);

/*
 * Load the image at path and write the boot structures, with args (NULL: none) for the guest.
 * Once, before machine_boot. Errors: -ENOEXEC for what is not an x86-64 ELF or a flat binary
 * that fits, -E2BIG for args, -EFBIG for what does not fit the RAM, and those of opening a file.
 */
int machine_load(struct machine *machine, const char *path, const char *args, struct error *error);

/*
 * The same for a Linux guest, with the devices of a PC: serial port, ACPI, interrupt controllers,
 * generation id. Errors as above; those of a kernel, initial RAM disk or command line that will not
 * do name it, and say what is wrong with it.
 */
int machine_load_linux(struct machine *machine, const struct machine_linux *guest,
		       struct error *error);

/*
 * Make the VM and let it run, on one thread a vCPU (and one for devices where there are any).
 * Returns at once. sink must live until machine_stop.
 */
int machine_start(struct machine *machine, const struct machine_sink *sink, struct error *error);

/* Where a started machine stands. The sink's progress callback says when to look. */
enum machine_standing {
	MACHINE_RUNNING,
	MACHINE_AT_TEMPLATE, /* the guest marked its template point and waits there */
	MACHINE_ENDED,
};

/* *ret_end (may be NULL) is filled for MACHINE_ENDED. */
enum machine_standing machine_get_standing(struct machine *machine, struct machine_end *ret_end);

/*
 * Stop a started machine for good, wherever its guest is: every vCPU leaves KVM_RUN with its last
 * instruction complete, every thread ends. The place is its template point, unless the guest ended
 * first: -ECANCELED, and *ret_end (may be NULL) says how.
 */
int machine_stop(struct machine *machine, struct machine_end *ret_end, struct error *error);

/*
 * machine_start, wait for the template point, machine_stop. Returns -ETIMEDOUT after timeout_ns
 * (0: never), -ECANCELED when the guest ended instead (*ret_end says how; ret_end may be NULL).
 * *cancel, where not NULL, is looked at ten times a second: non-zero gives -EINTR.
 */
int machine_boot(struct machine *machine, const struct machine_sink *sink, uint64_t timeout_ns,
		 const volatile int *cancel, struct machine_end *ret_end, struct error *error);

/*
 * Capture the VM's state, rehearse its restoration in a scratch VM, close every KVM descriptor,
 * remap RAM private and seal it. After machine_stop; on failure the machine can only be freed.
 */
int machine_freeze(struct machine *machine, struct error *error);

/*
 * The working set: pages that clones write between their start and their answer. Copied in one go
 * before a clone runs, they cost less than one by one as it touches them.
 *
 * In a child, before machine_thaw: have KVM note what the guest writes. machine_get_working_set
 * tells (pages of RAM that the template populated, no others), from a callback of the sink or when
 * machine_run has returned. In the template, after machine_freeze: machine_set_working_set, of
 * which clones forked from then on make use; -EINVAL for a set that is not sound
 * (page_set_is_sound).
 */
void machine_learn_working_set(struct machine *machine);
int machine_get_working_set(struct machine *machine, struct page_set *ret, struct error *error);
int machine_set_working_set(struct machine *machine, const struct page_set *set,
			    struct error *error);

void machine_get_info(const struct machine *machine, struct machine_info *ret);

/*
 * In the child: make a new VM around the inherited RAM, restore the state, deliver identity and the
 * first request (at most the capacity the guest gave: -EMSGSIZE). NULL: there is none yet, the
 * first call of the sink's park brings it; an empty one is not NULL. Secondary vCPUs' threads are
 * created here and wait. *stages is filled as the clone goes, by machine_run too, and must live on.
 * No file is opened by name.
 */
int machine_thaw(struct machine *machine, const struct forkvm_identity *identity,
		 const void *request, size_t request_len, struct machine_stages *stages,
		 struct error *error);

/*
 * In the child, before machine_thaw, as wanted. Disk `index` gets this overlay; without the call,
 * one in memory without a limit. Or, where the template has an empty slot, this image. Takes the
 * descriptors in any case. Errors: as disk_clone and disk_insert, -EINVAL for another kind of slot.
 */
int machine_clone_disk(struct machine *machine, unsigned int index,
		       const struct disk_overlay *overlay, struct error *error);
int machine_insert_disk(struct machine *machine, unsigned int index,
			const struct disk_config *config, struct error *error);

/*
 * After machine_freeze: have clones without a thread for their devices make a disk's ring when it
 * is worth while, when their guests run already (disk_start_late, ring_obtain), not in
 * machine_thaw.
 */
void machine_allow_late_rings(struct machine *machine);

/* After machine_freeze: the disk itself, for its layers' descriptors and its figures. */
struct disk *machine_get_disk(const struct machine *machine, unsigned int index);

/* The most bytes a request may have (0 before the guest rang BOOTED). */
size_t machine_request_capacity(const struct machine *machine);

/* Do clones make eventfds, by which its devices' interrupts reach the in-kernel controllers? */
bool machine_has_irq_lines(const struct machine *machine);

/* How many threads a clone has beyond the first after machine_thaw. */
unsigned int machine_extra_threads(const struct machine *machine);

/*
 * Run the thawed machine to its end, vCPU 0 on the calling thread. Always fills *ret_end.
 */
void machine_run(struct machine *machine, const struct machine_sink *sink,
		 struct machine_end *ret_end);

/*
 * From within a call of the sink's park: what sink->serial says is another end than before; connect
 * the serial port with it. Nothing for a guest without one.
 */
void machine_connect_serial(struct machine *machine);

/*
 * Resetting a clone: instead of being ended, it is put back to its template's state, and lives once
 * more.
 *
 *	machine_prepare_reset -> machine_thaw -> machine_run -> machine_reset -> machine_begin_again
 *					  ^                                              |
 *					  +----------------------------------------------+
 *
 * Why clones of this frozen machine cannot be reset, in words; NULL if they can.
 */
const char *machine_cannot_reset(const struct machine *machine);

/* The only ioctl that is made then and is not KVM's: PAGEMAP_SCAN, by which it finds what to do. */
#define MACHINE_RESET_IOCTL 0xc0606610u

/* In the child, before machine_thaw. ram_fd: the memory file, see machine_ram_fd; it is taken. */
int machine_prepare_reset(struct machine *machine, int ram_fd, struct error *error);

/* The memory file's descriptor, which a child that is to be reset must not close. */
int machine_ram_fd(const struct machine *machine);

/*
 * After machine_run, which has ended for good and not because KVM or the guest failed: everything
 * is as it was when machine_thaw had restored it, the VM goes on existing. *ret_quick: it was
 * enough to write back what user mode can change. After an error the machine can only be freed.
 */
int machine_reset(struct machine *machine, bool *ret_quick, struct error *error);

/* After machine_reset: is all of it really the template's? -EIO in words if not. Takes its time. */
int machine_verify_reset(struct machine *machine, struct error *error);

/*
 * After machine_reset: deliver identity and request as machine_thaw does, for another machine_run.
 * The request may lie where the guest is to find it (machine_request_area).
 */
int machine_begin_again(struct machine *machine, const struct forkvm_identity *identity,
			const void *request, size_t request_len, struct error *error);

/*
 * Sleep: a clone whose guest is parked has its VM closed, and so gives back most of the memory that
 * it holds, and is given another when it is to go on. RAM and devices stay as they are; for the
 * guest, time passes.
 *
 * Why clones of this frozen machine cannot sleep, in words; NULL if they can.
 */
const char *machine_cannot_sleep(const struct machine *machine);

/*
 * From within a call of the sink's park. After an error the machine is awake as before: the state
 * that its guest is in cannot be restored here, or something is lacking for the try. A machine that
 * has slept cannot be reset any more.
 */
int machine_sleep(struct machine *machine, struct error *error);

/*
 * The same call of park goes on: with 1 only when this has succeeded, with 0 or an error without
 * it, too. After an error the machine can only be run to its end.
 */
int machine_wake(struct machine *machine, struct error *error);

/* Where the guest wants its requests, and how many bytes there are. */
void *machine_request_area(const struct machine *machine, size_t *ret_size);

/* "done", "shutdown", "guest-error", "out-of-memory", "host-error". */
const char *machine_end_name(enum machine_end_reason reason);

#endif

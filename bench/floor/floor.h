/* SPDX-License-Identifier: MIT */
/*
 * floor: the least a program can do here to get a first answer from a forked VM.
 *
 * A template is booted and frozen by vmm/ (that is not measured). Then, time after time: fork; in
 * the child a new KVM VM, memslots, a vCPU, its state, KVM_RUN until the guest answers, a few bytes
 * down a pipe; in the parent a read of that pipe. No server, no socket, no request, no sandbox, no
 * supervision. All that is measured is written out in child.c as plain system calls.
 *
 * Two variants are run in turn in one process:
 *
 *	plain	what a straightforward program does: one memslot a RAM region, the full CPUID
 *		table, every piece of vCPU state written by its own ioctl; no other VM on the host
 *	lean	the calls that forkvm's clone path makes: memslots for what the template populated,
 *		no CPUID table where the guest asked for none, registers handed over in kvm_run,
 *		only state that differs from a fresh vCPU's, and an anchor VM alive in another
 *		process
 *
 * With --parallel the same loop is run by several processes at once, each a fork of the one that
 * has the template (parallel.c).
 */
#ifndef FORKVM_BENCH_FLOOR_FLOOR_H
#define FORKVM_BENCH_FLOOR_FLOOR_H

#include <jansson.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/common/samples.h"

struct floor_options {
	const char *stub; /* path                                        */
	uint64_t mem_mib;
	uint64_t populate_mib;
	unsigned int count;    /* measured clones of each variant, in each loop */
	unsigned int parallel; /* processes of the parallel loop; 0: no such loop */
	bool no_latency;       /* the parallel loop only                          */
	const char *json;      /* file, "-" for stdout, NULL: a table         */
};

enum floor_variant {
	FLOOR_PLAIN,
	FLOOR_LEAN,
	FLOOR_VARIANTS,
};

/* The stages end at these moments; each lasts since the one before, the first since the fork. */
enum floor_stage {
	FLOOR_FORK,	/* child's first instruction                   */
	FLOOR_VM,	/* KVM_CREATE_VM                               */
	FLOOR_MEMSLOTS, /* KVM_SET_USER_MEMORY_REGION                  */
	FLOOR_VCPUS,	/* KVM_CREATE_VCPU, mmap of kvm_run            */
	FLOOR_STATE,	/* CPUID, registers, identity                  */
	FLOOR_RUN,	/* KVM_RUN until the guest rang READY          */
	FLOOR_ANSWER,	/* the parent has read the child's message     */
	FLOOR_STAGES,
};

/* What the child writes down the pipe. */
struct floor_message {
	uint64_t at_ns[FLOOR_ANSWER]; /* CLOCK_MONOTONIC, all but the last stage */
	int32_t status;		      /* 0, or the errno of what failed          */
	char what[28];		      /* the step that failed                    */
};

struct floor_slot {
	uint64_t gpa, size;
	void *host;
};

#define FLOOR_SLOTS 64

struct machine;
struct kvm_host;

/* A frozen template taken apart into what the ioctls want. Pointers lead into machine and host. */
struct floor_template {
	struct machine *machine; /* owned */
	struct kvm_host *host;	 /* owned */
	int kvm;		 /* /dev/kvm */
	size_t run_size;
	struct kvm_cpuid2 *cpuid; /* everything KVM supports */
	bool needs_cpuid;	  /* the guest asked for it  */
	bool needs_tss_addr;	  /* VMX without unrestricted guest */
	bool has_failure_exit;	  /* KVM_CAP_EXIT_ON_EMULATION_FAILURE */
	struct floor_slot all[FLOOR_SLOTS], populated[FLOOR_SLOTS];
	unsigned int all_count, populated_count;

	struct kvm_clock_data clock;
	bool set_tsc_offset;
	uint64_t tsc_offset;
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	struct kvm_vcpu_events events;
	struct kvm_xcrs xcrs;
	bool has_xcrs; /* the CPU has XSAVE */
	struct kvm_debugregs debugregs;
	struct kvm_mp_state mp_state;
	const void *xsave;
	struct kvm_msrs *msrs;	    /* every one that KVM takes back; owned                 */
	struct kvm_msrs *msrs_lean; /* those that a fresh vCPU has otherwise            */
	bool sync_regs;		    /* kvm_run can carry registers and events */
	bool lean_xcrs, lean_xsave, lean_debugregs, lean_mp_state;

	struct forkvm_mailbox *mailbox; /* in the private mapping of RAM */
	const char *response;		/* where the answer will be       */
};

/* One clone, and when what happened to it (CLOCK_MONOTONIC). */
struct floor_clone {
	struct floor_message message;
	uint64_t start_ns, answer_ns, end_ns; /* before the fork; read; waited for */
	char failure[64];		      /* what went wrong, in words         */
};

/* Clones at the start of each turn, in each process, that are not counted. */
#define FLOOR_WARM_UP	  5

#define FLOOR_WORKERS_MAX 1024

/* What the parallel loop brought, of one variant. */
struct floor_rate {
	uint64_t ok, failed;
	char failure[64];   /* the first one */
	uint64_t answer_ns; /* from the start of all to the last answer, all turns together */
	uint64_t end_ns;    /* and to the last end                                          */
	uint64_t worker_cpu_us, clone_cpu_us; /* CPU time of the loops, and of their clones */
};

struct floor_result {
	struct samples latency, stages[FLOOR_STAGES], end; /* nanoseconds */
	uint64_t failed;
	char failure[64]; /* the first one */
};

/* Boot and freeze the stub and take the machine apart. Ends the program when it fails. */
void floor_template_make(const struct floor_options *options, struct floor_template *ret);
void floor_template_done(struct floor_template *template);

/* The child's life. Never returns. */
_Noreturn void floor_child(const struct floor_template *template, enum floor_variant variant,
			   uint64_t clone_id, int pipe_fd);

/*
 * While some VM with a vCPU is alive on the host, KVM need neither switch virtualization on and off
 * on every CPU nor patch its static branches for each clone that comes and goes. These start and
 * end a process that holds one. Starting ends the program when it fails.
 */
pid_t floor_anchor_start(int kvm);
void floor_anchor_stop(pid_t pid);

/*
 * One clone: fork, read the child's message, wait for its end. pipe_fds: a pipe that no other
 * clone writes to meanwhile. False when it failed, with words for it in ret.
 */
bool floor_once(const struct floor_template *template, enum floor_variant variant,
		const int pipe_fds[2], uint64_t clone_id, struct floor_clone *ret);

/* Measure latencies, one clone at a time. */
void floor_run(const struct floor_options *options, const struct floor_template *template,
	       struct floor_result results[FLOOR_VARIANTS]);

/* parallel.c: measure clones a second. Ends the program when there can be no such loop. */
void floor_run_parallel(const struct floor_options *options, const struct floor_template *template,
			struct floor_rate rates[FLOOR_VARIANTS]);

/*
 * Descriptors of VMs that are open in all processes this user may look into. To be asked when this
 * program holds none.
 */
unsigned int floor_count_other_vms(void);

/* Print as a table, or write as JSON. Sorts the samples. 0, or -errno of the file. */
int floor_report(const struct floor_options *options, unsigned int other_vms,
		 struct floor_result results[FLOOR_VARIANTS],
		 const struct floor_rate rates[FLOOR_VARIANTS]);

#endif

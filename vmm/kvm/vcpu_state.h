/* SPDX-License-Identifier: MIT */
/*
 * The state of a vCPU as plain memory: captured once at the freeze, restored in every clone.
 *
 * Theory of operation. One ordered table (vcpu_state.c) names every piece of state with how it is
 * read and written, in the order KVM needs for writing. A clone's vCPU is fresh, and a fresh vCPU
 * already has most of that state: so at the freeze the captured state is compared with that of a
 * fresh scratch vCPU, and the plan keeps only what differs. The plan is then rehearsed: carried out
 * on the scratch vCPU, which is captured again and must equal the template. What does not survive
 * is found at the freeze, by name, and not in a clone.
 *
 * Each vCPU ioctl costs the kernel a vcpu_load, which is microseconds on some hosts, so registers,
 * segment registers and events go into kvm_run and are taken over by the first KVM_RUN where the
 * host offers that (api.rst, KVM_CAP_SYNC_REGS).
 */
#ifndef FORKVM_VMM_KVM_VCPU_STATE_H
#define FORKVM_VMM_KVM_VCPU_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"

struct vcpu_state {
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_mp_state mp_state;
	struct kvm_lapic_state lapic;
	uint64_t cr8;	       /* without in-kernel LAPIC kvm_run carries it, not sregs */
	void *xsave;	       /* host->xsave_size bytes; owned                         */
	struct kvm_msrs *msrs; /* every readable MSR the host lists; owned             */
	uint32_t msrs_refused; /* how many of the list could not be read               */
	uint64_t tsc_offset;   /* guest TSC - host TSC                                  */
	uint64_t host_tsc;     /* of the moment of this vCPU's capture                  */
};

/* Do two XSAVE areas of size bytes hold the same state? XSTATE_BV is the CPU's, and may differ. */
bool vcpu_xsave_equal(const void *a, const void *b, size_t size);

#define VCPU_ITEMS_MAX 16

struct vcpu_plan {
	uint32_t items;	       /* bit i: row i of the table must be written    */
	bool tsc_offset;       /* the TSC's offset must and can be set         */
	struct kvm_msrs *msrs; /* what the row "msrs" writes; owned            */
	/* For a vCPU that has run: all rows there are, and all MSRs. NULL: not asked for. Owned. */
	uint32_t all_items;
	struct kvm_msrs *all_msrs;
};

/*
 * Read everything. The vCPU must not run and have no instruction half done. *state is filled anew;
 * give it back with vcpu_state_done, also after an error.
 */
int vcpu_state_capture(const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		       const struct kvm_host *host, struct vcpu_state *state, struct error *error);

/* NULL members are fine. */
void vcpu_state_done(struct vcpu_state *state);

/*
 * Decide what a clone must write to reach state, and prove it on scratch: a fresh vCPU of a scratch
 * VM of the same kind, with CPUID applied if the template's had it. scratch is spoilt.
 */
int vcpu_plan_make(struct vcpu_plan *plan, const struct vcpu_state *state,
		   const struct kvm_vcpu *scratch, const struct kvm_vm *vm,
		   const struct kvm_host *host, struct error *error);

/*
 * Add to the plan what it takes to bring a vCPU back to state that has run since; scratch is one on
 * which vcpu_plan_make was done.
 */
int vcpu_plan_make_again(struct vcpu_plan *plan, const struct vcpu_state *state,
			 const struct kvm_vcpu *scratch, const struct kvm_vm *vm,
			 const struct kvm_host *host, struct error *error);

void vcpu_plan_done(struct vcpu_plan *plan);

/*
 * Set a fresh vCPU's TSC: for every vCPU first, then the VM's clock (vm_state_restore), then
 * vcpu_plan_apply. frozen_tsc: how many host TSC ticks the template has been frozen; guest time
 * stands still for them. The same number for every vCPU keeps their TSCs in step.
 */
int vcpu_plan_apply_tsc(const struct vcpu_plan *plan, const struct vcpu_state *state,
			const struct kvm_vcpu *vcpu, uint64_t frozen_tsc, struct error *error);

/*
 * Bring a vCPU that has run back to state: as vcpu_plan_apply, in the same order. It must have no
 * instruction half done.
 *
 * unprivileged: nothing was executed since that only a kernel may. Then there is nothing to be
 * written but general, segment and vector registers.
 */
int vcpu_plan_apply_again(const struct vcpu_plan *plan, const struct vcpu_state *state,
			  const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
			  const struct kvm_host *host, bool unprivileged, struct error *error);

/*
 * Is the vCPU in that state? Of MSRs those are compared that vcpu_plan_apply_again writes. -EIO in
 * words if not. What sits in kvm_run is taken over by KVM first.
 */
int vcpu_state_verify(const struct vcpu_plan *plan, const struct vcpu_state *state,
		      const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		      const struct kvm_host *host, struct error *error);

/*
 * Have the vCPU finish the instruction for which it left KVM_RUN, and execute no other. What it
 * asks of devices in doing so is not carried out. -errno.
 */
int vcpu_finish_instruction(const struct kvm_vcpu *vcpu);

/* Carry out the rest of the plan. Part of it may sit in kvm_run until the first KVM_RUN. */
int vcpu_plan_apply(const struct vcpu_plan *plan, const struct vcpu_state *state,
		    const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		    const struct kvm_host *host, struct error *error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The state of a VM that belongs to no vCPU: kvmclock, and with in-kernel interrupt controllers
 * their registers and the PIT's.
 */
#ifndef FORKVM_VMM_KVM_VM_STATE_H
#define FORKVM_VMM_KVM_VM_STATE_H

#include <linux/kvm.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"

struct vm_state {
	struct kvm_clock_data clock;   /* nanoseconds of kvmclock at the capture */
	uint64_t host_tsc;	       /* of that same moment                    */
	struct kvm_irqchip irqchip[3]; /* PIC master, PIC slave, I/O APIC */
	struct kvm_pit_state2 pit;
};

/*
 * Read everything, after the last vCPU and every device have stopped. The guest's time stands still
 * from here on, so this comes before the vCPUs' state, which takes longer to read.
 */
int vm_state_capture(const struct kvm_vm *vm, struct vm_state *state, struct error *error);

/* The host's time stamp counter, as KVM's offsets count it. */
uint64_t host_tsc(void);

/*
 * Write everything: after the vCPUs were made and have their TSCs, before their registers.
 * kvmclock goes on from the captured value: for the guest no time has passed.
 */
int vm_state_restore(const struct kvm_vm *vm, const struct vm_state *state, struct error *error);

/*
 * Are the interrupt controllers as they were captured? Edges that an I/O APIC remembers are left
 * out: KVM delivers them when it is written, or drops them. -EIO: one differs.
 */
int vm_state_verify(const struct kvm_vm *vm, const struct vm_state *state, struct error *error);

/* Of it, only the clock: once more, at any later time. */
int vm_state_restore_clock(const struct kvm_vm *vm, const struct vm_state *state,
			   struct error *error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Which parts of RAM a VM knows of.
 *
 * Theory of operation. Where KVM shadows page tables, a memslot costs time and kernel memory in
 * proportion to its size, so a clone registers only what the template populated. The rest are
 * holes: RAM that exists, reads as zeros, and is unknown to KVM. A guest that touches one leaves
 * KVM_RUN:
 *
 *	reading or writing	KVM_EXIT_MMIO; the window around the address is registered, the
 *				access carried out here on the same memory, and the instruction
 *				completes
 *	executing there, or an	KVM_EXIT_INTERNAL_ERROR (emulation), nothing has happened yet: what
 *	instruction KVM cannot	the instruction pointer points to is registered, or, if that is RAM
 *	emulate (SSE, AVX, ...)	already, all the rest; the instruction is run again
 *	page tables in a hole	they read as not present, as zeros do, so #PF to the guest
 *	KVM's own pages there	(kvmclock and its like) are pointed to once more when the hole
 *				is registered, so that KVM writes them from then on
 *
 * Windows double in size from touch to touch, so that a guest which fills all its RAM pays for a
 * dozen exits and not for thousands.
 */
#ifndef FORKVM_VMM_MACHINE_MEMSLOTS_H
#define FORKVM_VMM_MACHINE_MEMSLOTS_H

#include <stdbool.h>

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/extents.h"
#include "vmm/mem/guest_ram.h"

/* Register everything in extents with a new VM. */
int memslots_register(struct kvm_vm *vm, const struct guest_ram *ram, const struct extents *extents,
		      struct error *error);

/*
 * Register a window around gpa, which touches times before has been done in this VM, and add it to
 * extents. 1 when something was registered, 0 when gpa was registered before, -EFAULT when it is
 * not RAM. The caller keeps other threads out.
 */
int memslots_fill(struct kvm_vm *vm, const struct guest_ram *ram, struct extents *extents,
		  unsigned int touches, gpa_t gpa, struct error *error);

/* Register all holes. 1 when there were any, 0 when there were none. */
int memslots_fill_all(struct kvm_vm *vm, const struct guest_ram *ram, struct extents *extents,
		      struct error *error);

#endif

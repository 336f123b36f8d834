/* SPDX-License-Identifier: MIT */
/*
 * What a frozen machine is made of: for whoever brings it back to life, and for bench/floor, which
 * does so with its bare hands.
 */
#ifndef FORKVM_VMM_MACHINE_FROZEN_H
#define FORKVM_VMM_MACHINE_FROZEN_H

#include "vmm/kvm/vcpu_state.h"
#include "vmm/kvm/vm_state.h"
#include "vmm/mem/extents.h"
#include "vmm/mem/guest_ram.h"
#include "vmm/mem/page_set.h"

struct machine;

struct frozen_vcpu {
	struct vcpu_state state;
	struct vcpu_plan plan;
};

/* Pages of RAM that hold page tables, by number, in order; as far as vCPU 0's CR3 leads there. */
struct table_pages {
	uint32_t *list; /* owned; NULL: not known, or too many */
	uint32_t count;
};

struct machine_frozen {
	struct guest_ram ram;	/* private mapping of the sealed memory */
	struct extents extents; /* what a clone registers before its run */
	uint64_t populated;	/* bytes */
	gpa_t mailbox;		/* the guest's struct forkvm_mailbox, all of it in RAM */
	struct vm_state vm;
	struct frozen_vcpu *vcpus; /* owned; vcpu_count of them */
	unsigned int vcpu_count;
	struct table_pages tables;    /* of machines that can be reset                  */
	struct page_set *working_set; /* what clones are given beforehand; owned; NULL: nothing */
};

/* The frozen state; NULL before machine_freeze. It belongs to machine. */
const struct machine_frozen *machine_get_frozen(const struct machine *machine);

#endif

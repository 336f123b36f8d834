/* SPDX-License-Identifier: MIT */
/*
 * What a machine that can be reset keeps for it, in a clone.
 */
#ifndef FORKVM_VMM_MACHINE_RESET_H
#define FORKVM_VMM_MACHINE_RESET_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/dev/stub_port.h"
#include "vmm/kvm/stats.h"
#include "vmm/machine/devices.h"
#include "vmm/mem/extents.h"
#include "vmm/mem/page_set.h"

struct machine_reset {
	int pagemap_fd;		/* owned; -1: the kernel cannot tell which pages were written */
	struct kvm_stats stats; /* see machine_reset.c; fd -1: they say nothing here    */
	uint64_t stats_before[KVM_STATS_MAX];
	uint64_t ios_before, mmios_before;
	uint32_t slots;		/* memslots that the template's clones begin with       */
	struct extents extents; /* and what they cover; list owned                      */
	struct stub_port stub;	/* as the template left them                            */
	struct devices devices;
	struct page_set written; /* room */
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The anchor: a VM that does nothing, held so that other VMs are cheap to make.
 *
 * KVM switches virtualization on on every CPU for the first VM of a host and off with the last one,
 * and keeps static branches ("is there any vCPU without an in-kernel LAPIC?") that it patches into
 * the running kernel, with interrupts to all CPUs, whenever a count leaves or reaches zero. A clone
 * that is the only VM pays for both, coming and going. While one such vCPU exists anywhere on the
 * host, none does. There is a branch for vCPUs without a LAPIC in the kernel, and one for LAPICs
 * that their guest has not enabled yet: an anchor is of the kind that its clones are.
 */
#ifndef FORKVM_VMM_KVM_ANCHOR_H
#define FORKVM_VMM_KVM_ANCHOR_H

#include "vmm/base/error.h"
#include "vmm/kvm/host.h"

/*
 * Make a VM and a vCPU in the calling process and leave them open until it ends; they belong to its
 * address space, so it must not be a process that forks clones.
 * irqchip: as the clones' VMs have interrupt controllers.
 */
int kvm_anchor_hold(const struct kvm_host *host, bool irqchip, struct error *error);

#endif

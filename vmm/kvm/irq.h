/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in place of exits: an eventfd that interrupts the guest, and one that a guest's write
 * to an address signals. Both end with the VM, or when they are taken away.
 */
#ifndef FORKVM_VMM_KVM_IRQ_H
#define FORKVM_VMM_KVM_IRQ_H

#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/base/layout.h"
#include "vmm/kvm/vm.h"

/* From now on a write to eventfd fd is an edge on line gsi (api.rst, KVM_IRQFD). */
int kvm_irqfd_add(const struct kvm_vm *vm, int fd, uint32_t gsi, struct error *error);

/* Undo it. When this returns, every edge that was written has reached the interrupt controller. */
int kvm_irqfd_remove(const struct kvm_vm *vm, int fd, uint32_t gsi, struct error *error);

/*
 * From now on a 32-bit write of value at gpa signals eventfd fd instead of leaving KVM_RUN
 * (api.rst, KVM_IOEVENTFD).
 */
int kvm_ioeventfd_add(const struct kvm_vm *vm, int fd, gpa_t gpa, uint32_t value,
		      struct error *error);

#endif

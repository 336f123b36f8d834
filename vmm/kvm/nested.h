/* SPDX-License-Identifier: MIT */
/*
 * What KVM holds for a guest that is a hypervisor: nothing that this project carries over.
 */
#ifndef FORKVM_VMM_KVM_NESTED_H
#define FORKVM_VMM_KVM_NESTED_H

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"

/*
 * -EOPNOTSUPP in words if the vCPU's guest has such state: it is in VMX operation, or runs a guest
 * of its own. No guest that has a CPUID table is offered that (cpuid.h).
 */
int nested_state_refuse(const struct kvm_vcpu *vcpu, const struct kvm_host *host,
			struct error *error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The CPUID table of a vCPU.
 */
#ifndef FORKVM_VMM_KVM_CPUID_H
#define FORKVM_VMM_KVM_CPUID_H

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"

/*
 * Give vcpu everything the host's KVM supports, with its own APIC id in the leaves that carry one
 * (Intel SDM volume 2, CPUID, leaves 1, 0xb and 0x1f; AMD APM volume 3, 0x8000001e). Before MSRs
 * and registers: KVM judges those by this table.
 */
int cpuid_apply(const struct kvm_vcpu *vcpu, const struct kvm_host *host, unsigned int vcpus,
		struct error *error);

/* XCR0 for a guest that may use all of it but AMX (leaf 0xd, EDX:EAX), or 0 without XSAVE. */
uint64_t cpuid_xcr0(const struct kvm_host *host);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The CPUID table of a vCPU.
 */
#ifndef FORKVM_VMM_KVM_CPUID_H
#define FORKVM_VMM_KVM_CPUID_H

#include <stdbool.h>

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"

/*
 * Give vcpu everything the host's KVM supports but VMX and SVM, with its own APIC id and the number
 * of vCPUs, all cores of one package, in the leaves that carry them (Intel SDM volume 2, CPUID,
 * leaves 1, 4, 0xb and 0x1f; AMD APM volume 3, 0x80000008 and 0x8000001e). with_lapic: the VM has
 * in-kernel LAPICs, so their timers know TSC deadlines. Before MSRs and registers: KVM judges those
 * by this table.
 */
int cpuid_apply(const struct kvm_vcpu *vcpu, const struct kvm_host *host, unsigned int vcpus,
		bool with_lapic, struct error *error);

/* XCR0 for a guest that may use all of it but AMX (leaf 0xd, EDX:EAX), or 0 without XSAVE. */
uint64_t cpuid_xcr0(const struct kvm_host *host);

#endif

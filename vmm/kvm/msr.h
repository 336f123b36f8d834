/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: reading all that the host lists, and what is known of the odd ones.
 */
#ifndef FORKVM_VMM_KVM_MSR_H
#define FORKVM_VMM_KVM_MSR_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"

struct kvm_msr_entry;
struct kvm_msrs;

#define MSR_TSC		      0x10u
#define MSR_TSC_DEADLINE      0x6e0u
#define MSR_KVM_SYSTEM_TIME   0x12u
#define MSR_KVM_SYSTEM_TIME_2 0x4b564d01u

/*
 * Read every MSR of host->msrs. *ret gets those that could be read, in the host's order; free() it.
 * An MSR that this vCPU refuses to read (its CPUID lacks the feature) cannot have been set by the
 * guest either; *ret_refused counts them.
 */
int msr_read_all(const struct kvm_vcpu *vcpu, const struct kvm_host *host, struct kvm_msrs **ret,
		 uint32_t *ret_refused, struct error *error);

/*
 * Write msrs in order. A short count is an error that names the MSR and its value.
 */
int msr_write(const struct kvm_vcpu *vcpu, const struct kvm_msrs *msrs, struct error *error);

/*
 * Of captured, make the list that must be written to a fresh vCPU whose MSRs read as fresh: those
 * that differ, tried one by one on scratch (a vCPU that will be thrown away). One that scratch
 * refuses is dropped when the table of msr.c says by name why that is harmless, and is an error
 * otherwise. free() *ret.
 */
int msr_plan(const struct kvm_msrs *captured, const struct kvm_msrs *fresh,
	     const struct kvm_vcpu *scratch, struct kvm_msrs **ret, struct error *error);

/*
 * Of captured, make the list by which a vCPU that has run is brought back: all that scratch, which
 * will be thrown away, accepts. What it refuses no guest can have set. free() *ret.
 */
int msr_plan_all(const struct kvm_msrs *captured, const struct kvm_vcpu *scratch,
		 struct kvm_msrs **ret, struct error *error);

/* The entry of an MSR in a list, or NULL. It belongs to msrs. */
const struct kvm_msr_entry *msr_find(const struct kvm_msrs *msrs, uint32_t index);

/* Is have what an MSR may read as after wanted was written? */
bool msr_value_is_fine(uint32_t index, uint64_t wanted, uint64_t have);

/*
 * Rewrite those KVM paravirtual MSRs of vcpu that point into RAM with their present values, so that
 * KVM looks up again where they point: after a memslot has appeared. From the vCPU's own thread.
 */
int msr_rearm_paravirtual(const struct kvm_vcpu *vcpu, struct error *error);

#endif

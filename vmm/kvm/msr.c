/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers: see msr.h. Kernel documents: virt/kvm/api.rst, KVM_GET_MSRS and
 * KVM_SET_MSRS; virt/kvm/x86/msr.rst for the paravirtual ones.
 */
#include "vmm/kvm/msr.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#define MSR_KVM_WALL_CLOCK    0x11u
#define MSR_KVM_WALL_CLOCK_2  0x4b564d00u
#define MSR_KVM_ASYNC_PF_EN   0x4b564d02u
#define MSR_KVM_STEAL_TIME    0x4b564d03u
#define MSR_KVM_PV_EOI_EN     0x4b564d04u
#define MSR_KVM_ASYNC_PF_INT  0x4b564d06u
#define MSR_SYSENTER_ESP      0x175u
#define MSR_SYSENTER_EIP      0x176u
#define MSR_SMBASE	      0x9eu
#define MSR_SMI_COUNT	      0x34u
#define MSR_CORE_CAPABILITIES 0xcfu
#define MSR_MPERF	      0xe7u
#define MSR_APERF	      0xe8u
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_HV_VP_RUNTIME     0x40000010u
#define MSR_HV_TIME_REF_COUNT 0x40000020u
#define MSR_BNDCFGS	      0xd90u
#define MSR_XSS		      0xda0u
#define MSR_AMD64_DE_CFG      0xc0011029u

/*
 * MSRs with a peculiarity. Those that may be refused are all either a constant of the host, which
 * template and clone share, or belong to a feature whose value is only moved by hosts that accept
 * the write.
 */
static const struct {
	uint32_t index;
	const char *name;
	bool is_volatile;     /* two readings may differ            */
	bool refusal_is_fine; /* a write may be refused, see reason */
	const char *reason;
} peculiar[] = {
	{MSR_TSC, "IA32_TSC", true, false, "counts; restored by its offset"},
	{MSR_TSC_DEADLINE, "IA32_TSC_DEADLINE", true, false, "clears itself when it fires"},
	{MSR_SMI_COUNT, "MSR_SMI_COUNT", true, true, "counts"},
	{MSR_MPERF, "IA32_MPERF", true, true, "counts"},
	{MSR_APERF, "IA32_APERF", true, true, "counts"},
	{MSR_HV_VP_RUNTIME, "HV_X64_MSR_VP_RUNTIME", true, true, "counts"},
	{MSR_HV_TIME_REF_COUNT, "HV_X64_MSR_TIME_REF_COUNT", true, true, "counts with kvmclock"},
	{MSR_SMBASE, "MSR_IA32_SMBASE", false, true, "only SMM may move it, and no guest has SMM"},
	{MSR_CORE_CAPABILITIES, "IA32_CORE_CAPABILITIES", false, true, "constant of the host"},
	{MSR_ARCH_CAPABILITIES, "IA32_ARCH_CAPABILITIES", false, true, "constant of the host"},
	{MSR_BNDCFGS, "IA32_BNDCFGS", false, true, "MPX, which KVM no longer offers"},
	{MSR_XSS, "IA32_XSS", false, true, "without XSAVES in CPUID the guest cannot set it"},
	{MSR_AMD64_DE_CFG, "MSR_AMD64_DE_CFG", false, true, "constant of the host"},
	{MSR_KVM_ASYNC_PF_INT, "MSR_KVM_ASYNC_PF_INT", false, true,
	 "async page faults need the in-kernel LAPIC, which this VM lacks"},
};

/* Paravirtual MSRs that hold a guest address. */
static const uint32_t paravirtual[] = {
	MSR_KVM_SYSTEM_TIME, MSR_KVM_SYSTEM_TIME_2, MSR_KVM_ASYNC_PF_EN,
	MSR_KVM_STEAL_TIME,  MSR_KVM_PV_EOI_EN,
};

/*
 * A write to one of these has KVM write the time of boot into guest memory, once. The guest writes
 * them itself whenever it wants to know; in a clone there is nothing to be had from it but a copy
 * of a page.
 */
static bool acts_only_when_written(uint32_t index)
{
	return index == MSR_KVM_WALL_CLOCK || index == MSR_KVM_WALL_CLOCK_2;
}

static struct kvm_msrs *msrs_new(uint32_t capacity)
{
	return calloc(1, sizeof(struct kvm_msrs) + capacity * sizeof(struct kvm_msr_entry));
}

static bool is_volatile(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(peculiar); i++)
		if (peculiar[i].index == index)
			return peculiar[i].is_volatile;
	return false;
}

bool msr_value_is_fine(uint32_t index, uint64_t wanted, uint64_t have)
{
	/*
	 * A guest may put 64 bits there, past KVM; on AMD's processors, which use SYSENTER in
	 * 32-bit mode only, KVM writes the half that counts (AMD APM volume 2, 6.1.2).
	 */
	if (index == MSR_SYSENTER_ESP || index == MSR_SYSENTER_EIP)
		return have == wanted || have == (uint32_t)wanted;
	return have == wanted || is_volatile(index);
}

static bool refusal_is_fine(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(peculiar); i++)
		if (peculiar[i].index == index)
			return peculiar[i].refusal_is_fine;
	return false;
}

static const char *msr_name(uint32_t index)
{
	for (size_t i = 0; i < ARRAY_SIZE(peculiar); i++)
		if (peculiar[i].index == index)
			return peculiar[i].name;
	return "MSR";
}

int msr_read_all(const struct kvm_vcpu *vcpu, const struct kvm_host *host, struct kvm_msrs **ret,
		 uint32_t *ret_refused, struct error *error)
{
	_cleanup_free_ struct kvm_msrs *all = msrs_new(host->msrs->nmsrs);
	uint32_t refused = 0, kept = 0;

	if (!all)
		return error_set(error, ENOMEM, "no memory for MSRs");
	/* One by one: a bulk read stops at the first refusal. This is the freeze, not the clone. */
	for (uint32_t i = 0; i < host->msrs->nmsrs; i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = {.head.nmsrs = 1, .entry.index = host->msrs->indices[i]};
		int count = ioctl(vcpu->fd, KVM_GET_MSRS, &one);

		if (count < 0)
			return error_set_errno(error, errno, "KVM_GET_MSRS, vCPU %u", vcpu->index);
		if (count == 1)
			all->entries[kept++] = one.entry;
		else
			refused++;
	}
	all->nmsrs = kept;
	*ret_refused = refused;
	*ret = ptr_steal(all);
	return 0;
}

int msr_write(const struct kvm_vcpu *vcpu, const struct kvm_msrs *msrs, struct error *error)
{
	const struct kvm_msr_entry *bad;
	int count;

	if (!msrs->nmsrs)
		return 0;
	count = ioctl(vcpu->fd, KVM_SET_MSRS, msrs);
	if (count == (int)msrs->nmsrs)
		return 0;
	if (count < 0)
		return error_set_errno(error, errno, "KVM_SET_MSRS, vCPU %u", vcpu->index);
	bad = &msrs->entries[count];
	return error_set(error, EINVAL, "vCPU %u refuses %s %#x = %#llx", vcpu->index,
			 msr_name(bad->index), bad->index, (unsigned long long)bad->data);
}

const struct kvm_msr_entry *msr_find(const struct kvm_msrs *msrs, uint32_t index)
{
	for (uint32_t i = 0; i < msrs->nmsrs; i++)
		if (msrs->entries[i].index == index)
			return &msrs->entries[i];
	return NULL;
}

int msr_plan(const struct kvm_msrs *captured, const struct kvm_msrs *fresh,
	     const struct kvm_vcpu *scratch, struct kvm_msrs **ret, struct error *error)
{
	_cleanup_free_ struct kvm_msrs *plan = msrs_new(captured->nmsrs);

	if (!plan)
		return error_set(error, ENOMEM, "no memory for MSRs");
	for (uint32_t i = 0; i < captured->nmsrs; i++) {
		const struct kvm_msr_entry *entry = &captured->entries[i];
		const struct kvm_msr_entry *was = msr_find(fresh, entry->index);
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = {.head.nmsrs = 1, .entry = *entry};
		int rc;

		if (entry->index == MSR_TSC || acts_only_when_written(entry->index) ||
		    (is_volatile(entry->index) && refusal_is_fine(entry->index)) ||
		    (was && was->data == entry->data))
			continue;
		rc = msr_write(scratch, &one.head, error);
		if (rc == 0)
			plan->entries[plan->nmsrs++] = *entry;
		else if (!refusal_is_fine(entry->index))
			return rc;
		else
			error_clear(error);
	}
	*ret = ptr_steal(plan);
	return 0;
}

int msr_plan_all(const struct kvm_msrs *captured, const struct kvm_vcpu *scratch,
		 struct kvm_msrs **ret, struct error *error)
{
	struct kvm_msrs *plan = msrs_new(captured->nmsrs);

	if (!plan)
		return error_set(error, ENOMEM, "no memory for MSRs");
	for (uint32_t i = 0; i < captured->nmsrs; i++) {
		const struct kvm_msr_entry *entry = &captured->entries[i];
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = {.head.nmsrs = 1, .entry = *entry};
		struct error unused;

		if (entry->index == MSR_TSC || acts_only_when_written(entry->index) ||
		    (is_volatile(entry->index) && refusal_is_fine(entry->index)))
			continue;
		if (msr_write(scratch, &one.head, &unused) == 0)
			plan->entries[plan->nmsrs++] = *entry;
	}
	*ret = plan;
	return 0;
}

int msr_rearm_paravirtual(const struct kvm_vcpu *vcpu, struct error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(paravirtual); i++) {
		struct {
			struct kvm_msrs head;
			struct kvm_msr_entry entry;
		} one = {.head.nmsrs = 1, .entry.index = paravirtual[i]};
		int rc;

		if (ioctl(vcpu->fd, KVM_GET_MSRS, &one) != 1 || !(one.entry.data & 1))
			continue;
		rc = msr_write(vcpu, &one.head, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

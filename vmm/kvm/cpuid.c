/* SPDX-License-Identifier: MIT */
/*
 * The CPUID table of a vCPU: see cpuid.h.
 */
#include "vmm/kvm/cpuid.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#define LEAF1_ECX_XSAVE (1u << 26)
#define LEAF1_EDX_HTT	(1u << 28)
#define XCR0_AMX	(3ull << 17) /* XTILECFG and XTILEDATA: each process must ask for them */

/* The leaves that say which CPU this is, and how many there are. */
static void personalize(struct kvm_cpuid_entry2 *entry, unsigned int index, unsigned int vcpus)
{
	switch (entry->function) {
	case 1:
		entry->ebx = (entry->ebx & 0x0000ffff) | index << 24 | vcpus << 16;
		if (vcpus > 1)
			entry->edx |= LEAF1_EDX_HTT;
		break;
	case 0xb:
	case 0x1f:
		entry->edx = index;
		break;
	case 0x8000001e:
		entry->eax = index;
		break;
	default:
		break;
	}
}

int cpuid_apply(const struct kvm_vcpu *vcpu, const struct kvm_host *host, unsigned int vcpus,
		struct error *error)
{
	size_t size = sizeof(*host->cpuid) + host->cpuid->nent * sizeof(host->cpuid->entries[0]);
	_cleanup_free_ struct kvm_cpuid2 *table = malloc(size);

	if (!table)
		return error_set(error, ENOMEM, "no memory for a CPUID table");
	memcpy(table, host->cpuid, size);
	for (uint32_t i = 0; i < table->nent; i++)
		personalize(&table->entries[i], vcpu->index, vcpus);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, table) < 0)
		return error_set_errno(error, errno, "KVM_SET_CPUID2, vCPU %u, %u entries",
				       vcpu->index, table->nent);
	return 0;
}

uint64_t cpuid_xcr0(const struct kvm_host *host)
{
	bool has_xsave = false;
	uint64_t xcr0 = 0;

	for (uint32_t i = 0; i < host->cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *entry = &host->cpuid->entries[i];

		if (entry->function == 1)
			has_xsave = entry->ecx & LEAF1_ECX_XSAVE;
		if (entry->function == 0xd && entry->index == 0)
			xcr0 = (uint64_t)entry->edx << 32 | entry->eax;
	}
	return has_xsave ? xcr0 & ~XCR0_AMX : 0;
}

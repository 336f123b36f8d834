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

#define LEAF1_ECX_VMX	       (1u << 5)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_XSAVE	       (1u << 26)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF1_EDX_HTT	       (1u << 28)
#define LEAF80000001_ECX_SVM   (1u << 2)
#define LEAFB_LEVEL_SMT	       1u
#define LEAFB_LEVEL_CORE       2u
#define XCR0_AMX	       (3ull << 17) /* XTILECFG and XTILEDATA: each process must ask for them */

/* Bits of an APIC id that tell vcpus CPUs apart. */
static uint32_t id_bits(unsigned int vcpus)
{
	uint32_t bits = 0;

	while (1u << bits < vcpus)
		bits++;
	return bits;
}

/*
 * Leaves 0xb and 0x1f, "extended topology": one thread a core, all cores in one package. Intel SDM
 * volume 2, CPUID.
 */
static void describe_topology(struct kvm_cpuid_entry2 *entry, unsigned int index,
			      unsigned int vcpus)
{
	entry->eax = entry->ebx = entry->ecx = 0;
	entry->edx = index;
	if (entry->index == 0) {
		entry->ebx = 1;
		entry->ecx = LEAFB_LEVEL_SMT << 8;
	} else if (entry->index == 1) {
		entry->eax = id_bits(vcpus);
		entry->ebx = vcpus;
		entry->ecx = LEAFB_LEVEL_CORE << 8 | 1;
	} else {
		entry->ecx = entry->index & 0xff;
	}
}

/*
 * The leaves that say which CPU this is, how many there are, and what depends on a LAPIC. None has
 * virtualization of its own: a hypervisor's state in KVM is nothing that a clone could be given.
 */
static void personalize(struct kvm_cpuid_entry2 *entry, unsigned int index, unsigned int vcpus,
			bool with_deadline)
{
	switch (entry->function) {
	case 1:
		entry->ebx = (entry->ebx & 0x0000ffff) | index << 24 | vcpus << 16;
		if (vcpus > 1)
			entry->edx |= LEAF1_EDX_HTT;
		/* What a guest looks for before it asks for KVM's own leaves, its clock among them.
		 */
		entry->ecx |= LEAF1_ECX_HYPERVISOR;
		entry->ecx &= ~LEAF1_ECX_VMX;
		/* Never in the table that KVM hands out: api.rst, KVM_GET_SUPPORTED_CPUID. */
		if (with_deadline)
			entry->ecx |= LEAF1_ECX_TSC_DEADLINE;
		break;
	case 4: /* Intel: caches; in bits 31 to 26 how many core ids a package has, less one */
		if (entry->eax & 0x1f)
			entry->eax = (entry->eax & 0x03ffffff) | ((1u << id_bits(vcpus)) - 1) << 26;
		break;
	case 0xb:
	case 0x1f:
		describe_topology(entry, index, vcpus);
		break;
	case 0x80000001: /* AMD: more features */
		entry->ecx &= ~LEAF80000001_ECX_SVM;
		break;
	case 0x80000008: /* AMD: width of the core's part of an APIC id, cores less one */
		entry->ecx = id_bits(vcpus) << 12 | (vcpus - 1);
		break;
	case 0x8000001e: /* AMD: APIC id, core id with one thread a core, node */
		entry->eax = index;
		entry->ebx = index & 0xff;
		entry->ecx = 0;
		break;
	default:
		break;
	}
}

int cpuid_apply(const struct kvm_vcpu *vcpu, const struct kvm_host *host, unsigned int vcpus,
		bool with_lapic, struct error *error)
{
	size_t size = sizeof(*host->cpuid) + host->cpuid->nent * sizeof(host->cpuid->entries[0]);
	_cleanup_free_ struct kvm_cpuid2 *table = malloc(size);

	if (!table)
		return error_set(error, ENOMEM, "no memory for a CPUID table");
	memcpy(table, host->cpuid, size);
	for (uint32_t i = 0; i < table->nent; i++)
		personalize(&table->entries[i], vcpu->index, vcpus,
			    with_lapic && host->has_tsc_deadline);
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

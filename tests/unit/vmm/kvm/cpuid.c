/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/kvm/cpuid.c. */
#include "vmm/kvm/cpuid.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/unit/require.h"

#define ENTRIES 512u

static struct kvm_cpuid2 *read_back(const struct kvm_vcpu *vcpu)
{
	struct kvm_cpuid2 *table = calloc(1, sizeof(*table) + ENTRIES * sizeof(table->entries[0]));

	table->nent = ENTRIES;
	cr_assert_eq(ioctl(vcpu->fd, KVM_GET_CPUID2, table), 0, "%s", strerror(errno));
	return table;
}

static const struct kvm_cpuid_entry2 *find(const struct kvm_cpuid2 *table, uint32_t function)
{
	for (uint32_t i = 0; i < table->nent; i++)
		if (table->entries[i].function == function)
			return &table->entries[i];
	return NULL;
}

Test(cpuid, each_vcpu_has_its_own_number)
{
	struct kvm_host *host = require_kvm();
	struct error error = {0};
	struct kvm_vcpu vcpus[2];
	struct kvm_vm vm;

	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	for (unsigned int i = 0; i < 2; i++) {
		const struct kvm_cpuid_entry2 *leaf;
		struct kvm_cpuid2 *table;

		cr_assert_eq(kvm_vcpu_init(&vcpus[i], &vm, host, i, &error), 0, "%s", error.text);
		cr_assert_eq(cpuid_apply(&vcpus[i], host, 2, false, &error), 0, "%s", error.text);
		table = read_back(&vcpus[i]);
		cr_assert_eq(table->nent, host->cpuid->nent);
		leaf = find(table, 1);
		cr_assert_not_null(leaf);
		cr_assert_eq(leaf->ebx >> 24, i, "APIC id");
		cr_assert_eq(leaf->ebx >> 16 & 0xff, 2, "how many there are");
		leaf = find(table, 0xb);
		if (leaf)
			cr_assert_eq(leaf->edx, i);
		free(table);
	}
	kvm_vcpu_done(&vcpus[0]);
	kvm_vcpu_done(&vcpus[1]);
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

/* Whatever the host's KVM offers: its answer is spoilt here, so that there is something to hide. */
Test(cpuid, no_virtualization_in_it)
{
	struct kvm_host *host = require_kvm();
	const struct kvm_cpuid_entry2 *leaf;
	struct error error = {0};
	struct kvm_cpuid2 *table;
	struct kvm_vcpu vcpu;
	struct kvm_vm vm;

	for (uint32_t i = 0; i < host->cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &host->cpuid->entries[i];

		entry->ecx |= entry->function == 1 ? 1u << 5 : 0;
		entry->ecx |= entry->function == 0x80000001 ? 1u << 2 : 0;
	}
	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, 0, &error), 0, "%s", error.text);
	cr_assert_eq(cpuid_apply(&vcpu, host, 1, false, &error), 0, "%s", error.text);
	table = read_back(&vcpu);
	leaf = find(table, 1);
	cr_assert_not(leaf->ecx & 1u << 5, "VMX");
	leaf = find(table, 0x80000001);
	cr_assert(leaf && !(leaf->ecx & 1u << 2), "SVM");
	free(table);
	kvm_vcpu_done(&vcpu);
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

Test(cpuid, a_vcpu_that_is_none)
{
	struct kvm_host *host = require_kvm();
	struct kvm_vcpu vcpu = {.fd = -1};
	struct error error = {0};

	cr_assert_eq(cpuid_apply(&vcpu, host, 1, false, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "KVM_SET_CPUID2"), "%s", error.text);
	kvm_host_close(host);
}

/* A table made here: what xcr0 is made of. */
static uint64_t xcr0_of(uint32_t features, uint32_t eax, uint32_t edx)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[3];
	} table = {
		.head.nent = 3,
		.entries = {{.function = 1, .ecx = features},
			    {.function = 0xd, .index = 0, .eax = eax, .edx = edx},
			    {.function = 0xd, .index = 1, .eax = 0xffffffff, .edx = 0xffffffff}},
	};
	struct kvm_host host = {.cpuid = &table.head};

	return cpuid_xcr0(&host);
}

Test(cpuid, xcr0_is_all_that_the_host_offers_but_amx)
{
	const uint32_t xsave = 1u << 26;

	cr_assert_eq(xcr0_of(xsave, 7, 0), 7);
	cr_assert_eq(xcr0_of(xsave, 0xe7, 0), 0xe7);
	cr_assert_eq(xcr0_of(xsave, 0x602e7, 0), 0x2e7, "tiles must be asked for");
	cr_assert_eq(xcr0_of(xsave, 7, 1), 0x100000007ull);
	cr_assert_eq(xcr0_of(0, 7, 0), 0, "no XSAVE");
}

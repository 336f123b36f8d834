/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/kvm/msr.c. */
#include "vmm/kvm/msr.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "tests/unit/require.h"
#include "vmm/base/util.h"
#include "vmm/kvm/cpuid.h"

#define MSR_LSTAR     0xc0000082u
#define MSR_STAR      0xc0000081u
#define MSR_SMBASE    0x9eu
#define MSR_UNKNOWN   0x12345678u
#define NON_CANONICAL 0x8000000000000000ull /* no address; the CPU refuses it in LSTAR */
#define CLOCK_ENABLE  1u
#define CLOCK_GPA     0x2000u

static struct kvm_host *host;
static struct kvm_vm vm;
static struct kvm_vcpu vcpu;

static void set_up(void)
{
	struct error error = {0};

	host = require_kvm();
	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, 0, &error), 0, "%s", error.text);
	cr_assert_eq(cpuid_apply(&vcpu, host, 1, false, &error), 0, "%s", error.text);
}

static void tear_down(void)
{
	kvm_vcpu_done(&vcpu);
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

TestSuite(msr, .init = set_up, .fini = tear_down);

/* A list of up to four. */
struct list {
	struct kvm_msrs head;
	struct kvm_msr_entry entries[4];
};

static uint64_t read_one(uint32_t index)
{
	struct list one = {.head.nmsrs = 1, .entries = {{.index = index}}};

	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_MSRS, &one), 1, "MSR %#x", index);
	return one.entries[0].data;
}

Test(msr, all_of_the_hosts_list_is_read_or_counted_as_refused)
{
	struct kvm_msrs *all = NULL;
	struct error error = {0};
	uint32_t refused = 0, at = 0;

	cr_assert_eq(msr_read_all(&vcpu, host, &all, &refused, &error), 0, "%s", error.text);
	cr_assert_gt(all->nmsrs, 0);
	cr_assert_eq(all->nmsrs + refused, host->msrs->nmsrs);
	/* In the host's order. */
	for (uint32_t i = 0; i < all->nmsrs; i++) {
		while (at < host->msrs->nmsrs && host->msrs->indices[at] != all->entries[i].index)
			at++;
		cr_assert_lt(at, host->msrs->nmsrs, "MSR %#x", all->entries[i].index);
	}
	free(all);
}

Test(msr, write_and_read_back)
{
	struct list list = {.head.nmsrs = 2,
			    .entries = {{.index = MSR_LSTAR, .data = 0x7000},
					{.index = MSR_STAR, .data = 0x0023001000000000}}};
	struct error error = {0};

	cr_assert_eq(msr_write(&vcpu, &list.head, &error), 0, "%s", error.text);
	cr_assert_eq(read_one(MSR_LSTAR), 0x7000);
	cr_assert_eq(read_one(MSR_STAR), 0x0023001000000000);
	list.head.nmsrs = 0;
	cr_assert_eq(msr_write(&vcpu, &list.head, &error), 0, "nothing to write");
}

Test(msr, a_short_count_is_an_error_that_names_the_msr)
{
	struct list list = {.head.nmsrs = 3,
			    .entries = {{.index = MSR_LSTAR, .data = 0x7000},
					{.index = MSR_UNKNOWN, .data = 0xabcd},
					{.index = MSR_STAR, .data = 0x0023001000000000}}};
	struct error error = {0};

	cr_assert_eq(msr_write(&vcpu, &list.head, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "0x12345678 = 0xabcd"), "%s", error.text);
	cr_assert_eq(read_one(MSR_LSTAR), 0x7000, "what stands before it was written");
	cr_assert_neq(read_one(MSR_STAR), 0x0023001000000000, "what stands behind it was not");
}

Test(msr, a_vcpu_that_is_none)
{
	struct list list = {.head.nmsrs = 1, .entries = {{.index = MSR_LSTAR}}};
	struct kvm_vcpu none = {.fd = -1};
	struct kvm_msrs *all = NULL;
	struct error error = {0};
	uint32_t refused;

	cr_assert_eq(msr_write(&none, &list.head, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "KVM_SET_MSRS"), "%s", error.text);
	cr_assert_eq(msr_read_all(&none, host, &all, &refused, &error), -EBADF);
	cr_assert_null(all);
}

Test(msr, the_plan_is_what_differs)
{
	struct list captured = {.head.nmsrs = 4,
				.entries = {{.index = MSR_LSTAR, .data = 0x7000},
					    {.index = MSR_TSC, .data = 12345},
					    {.index = MSR_STAR, .data = 5},
					    {.index = MSR_SMBASE, .data = 0x30000}}};
	struct list fresh = {.head.nmsrs = 4,
			     .entries = {{.index = MSR_LSTAR, .data = 0},
					 {.index = MSR_TSC, .data = 1},
					 {.index = MSR_STAR, .data = 5},
					 {.index = MSR_SMBASE, .data = 0x30000}}};
	struct kvm_msrs *plan = NULL;
	struct error error = {0};

	cr_assert_eq(msr_plan(&captured.head, &fresh.head, &vcpu, &plan, &error), 0, "%s",
		     error.text);
	cr_assert_eq(plan->nmsrs, 1, "the TSC goes by its offset, the others are as they were");
	cr_assert_eq(plan->entries[0].index, MSR_LSTAR);
	cr_assert_eq(plan->entries[0].data, 0x7000);
	free(plan);
}

Test(msr, one_that_a_fresh_vcpu_does_not_even_have_is_written)
{
	struct list captured = {.head.nmsrs = 1, .entries = {{.index = MSR_LSTAR, .data = 0x7000}}};
	struct list fresh = {.head.nmsrs = 0};
	struct kvm_msrs *plan = NULL;
	struct error error = {0};

	cr_assert_eq(msr_plan(&captured.head, &fresh.head, &vcpu, &plan, &error), 0, "%s",
		     error.text);
	cr_assert_eq(plan->nmsrs, 1);
	free(plan);
}

Test(msr, a_refused_write_fails_the_plan)
{
	struct list captured = {.head.nmsrs = 1,
				.entries = {{.index = MSR_UNKNOWN, .data = NON_CANONICAL}}};
	struct list fresh = {.head.nmsrs = 0};
	struct kvm_msrs *plan = NULL;
	struct error error = {0};

	cr_assert_eq(msr_plan(&captured.head, &fresh.head, &vcpu, &plan, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "0x12345678"), "%s", error.text);
	cr_assert_null(plan);
}

/* SMBASE may be refused, by name: only a host with SMM takes it. */
Test(msr, a_refusal_that_is_known_to_be_harmless_drops_the_msr)
{
	struct list captured = {.head.nmsrs = 2,
				.entries = {{.index = MSR_SMBASE, .data = 0x7000},
					    {.index = MSR_LSTAR, .data = 0x7000}}};
	struct list fresh = {.head.nmsrs = 0};
	struct list one = captured;
	struct kvm_msrs *plan = NULL;
	struct error error = {0};
	bool taken;

	one.head.nmsrs = 1;
	taken = ioctl(vcpu.fd, KVM_SET_MSRS, &one) == 1;
	cr_assert_eq(msr_plan(&captured.head, &fresh.head, &vcpu, &plan, &error), 0, "%s",
		     error.text);
	cr_assert_eq(error.code, 0);
	cr_assert_eq(plan->nmsrs, taken ? 2 : 1);
	cr_assert_eq(plan->entries[plan->nmsrs - 1].index, MSR_LSTAR);
	free(plan);
}

Test(msr, only_counters_are_volatile)
{
	cr_assert(msr_value_is_fine(MSR_TSC, 1, 2));
	cr_assert(msr_value_is_fine(MSR_TSC_DEADLINE, 1, 2));
	cr_assert_not(msr_value_is_fine(MSR_LSTAR, 1, 2));
	cr_assert_not(msr_value_is_fine(MSR_SMBASE, 1, 2));
	cr_assert_not(msr_value_is_fine(MSR_UNKNOWN, 1, 2));
	cr_assert(msr_value_is_fine(MSR_UNKNOWN, 2, 2));
	/* SYSENTER's stack: on AMD the upper half is not kept. */
	cr_assert(msr_value_is_fine(0x175, 0xfffffe0000003000, 0x3000));
	cr_assert_not(msr_value_is_fine(0x175, 0xfffffe0000003000, 0x4000));
}

Test(msr, rearming_leaves_alone_what_is_off)
{
	struct error error = {0};

	cr_assert_eq(msr_rearm_paravirtual(&vcpu, &error), 0, "%s", error.text);
	cr_assert_eq(read_one(MSR_KVM_SYSTEM_TIME_2), 0);
}

/*
 * kvmclock pointed at memory that has no memslot yet: KVM cannot write it. After the memslot has
 * come, rearming makes the next entry do so.
 */
Test(msr, rearming_has_kvmclock_written_into_a_new_memslot)
{
	struct list list = {
		.head.nmsrs = 1,
		.entries = {{.index = MSR_KVM_SYSTEM_TIME_2, .data = CLOCK_GPA | CLOCK_ENABLE}}};
	uint8_t *memory =
		mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct error error = {0};
	uint8_t written = 0;

	cr_assert_neq(memory, MAP_FAILED);
	cr_assert_eq(msr_write(&vcpu, &list.head, &error), 0, "%s", error.text);
	vcpu.run->immediate_exit = 1;
	ioctl(vcpu.fd, KVM_RUN, 0);
	cr_assert_eq(kvm_vm_add_memslot(&vm, 0, MIB, memory, &error), 0, "%s", error.text);
	cr_assert_eq(msr_rearm_paravirtual(&vcpu, &error), 0, "%s", error.text);
	cr_assert_eq(read_one(MSR_KVM_SYSTEM_TIME_2), CLOCK_GPA | CLOCK_ENABLE);
	memory[0] = 0xf4; /* hlt: one entry, one exit */
	vcpu.run->immediate_exit = 0;
	ioctl(vcpu.fd, KVM_RUN, 0);
	for (size_t i = 0; i < 32; i++)
		written |= memory[CLOCK_GPA + i];
	cr_assert_neq(written, 0); /* the memory stays: it must outlive the VM */
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/kvm/vm.c and vmm/kvm/anchor.c. */
#include "vmm/kvm/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "vmm/base/util.h"
#include "vmm/kvm/anchor.h"

static struct kvm_host *host;
static struct kvm_vm vm;
static void *memory;

static void set_up(void)
{
	struct error error = {0};

	host = require_kvm();
	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	memory = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(memory, MAP_FAILED);
}

static void tear_down(void)
{
	kvm_vm_done(&vm);
	kvm_host_close(host);
	munmap(memory, MIB);
}

TestSuite(vm, .init = set_up, .fini = tear_down);

Test(vm, descriptors_do_not_survive_an_exec)
{
	struct error error = {0};
	struct kvm_vcpu vcpu;

	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, 0, &error), 0, "%s", error.text);
	cr_assert(fcntl(vm.fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(vcpu.fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_not_null(vcpu.run);
	cr_assert_eq(vcpu.index, 0);
	kvm_vcpu_done(&vcpu);
}

Test(vm, done_closes_everything_and_takes_it_twice)
{
	size_t fds = helper_count_fds();
	struct error error = {0};
	struct kvm_vcpu vcpu;
	struct kvm_vm other;

	cr_assert_eq(kvm_vm_init(&other, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &other, host, 3, &error), 0, "%s", error.text);
	cr_assert_eq(helper_count_fds(), fds + 2);
	for (int i = 0; i < 2; i++) {
		kvm_vcpu_done(&vcpu);
		kvm_vm_done(&other);
		cr_assert_eq(vcpu.fd, -1);
		cr_assert_null(vcpu.run);
		cr_assert_eq(other.fd, -1);
	}
	cr_assert_eq(helper_count_fds(), fds);
}

Test(vm, memslots_are_numbered)
{
	struct error error = {0};

	cr_assert_eq(kvm_vm_add_memslot(&vm, 0, MIB / 2, memory, &error), 0, "%s", error.text);
	cr_assert_eq(vm.slots, 1);
	cr_assert_eq(kvm_vm_add_memslot(&vm, 4 * GIB, MIB / 2, (char *)memory + MIB / 2, &error), 0,
		     "%s", error.text);
	cr_assert_eq(vm.slots, 2);
}

static void refuse_memslot(uint64_t gpa, uint64_t size, int code)
{
	uint32_t slots = vm.slots;
	struct error error = {0};

	cr_assert_eq(kvm_vm_add_memslot(&vm, gpa, size, memory, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, "memslot"), "%s", error.text);
	cr_assert_eq(vm.slots, slots);
}

Test(vm, memslots_that_cannot_be)
{
	struct error error = {0};

	refuse_memslot(1, PAGE_BYTES, EINVAL);
	refuse_memslot(0, 1, EINVAL);
	cr_assert_eq(kvm_vm_add_memslot(&vm, 0, MIB, memory, &error), 0, "%s", error.text);
	refuse_memslot(PAGE_BYTES, PAGE_BYTES, EEXIST);
	refuse_memslot(0, MIB, EEXIST);
}

Test(vm, vcpus_that_cannot_be)
{
	size_t fds = helper_count_fds();
	struct error error = {0};
	struct kvm_vcpu vcpu, again;

	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, 100000, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "100000"), "%s", error.text);
	cr_assert_eq(vcpu.fd, -1);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, 0, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&again, &vm, host, 0, &error), -EEXIST, "%s", error.text);
	kvm_vcpu_done(&again);
	kvm_vcpu_done(&vcpu);
	cr_assert_eq(helper_count_fds(), fds);
}

Test(vm, interrupt_controllers_come_before_vcpus_and_once)
{
	struct error error = {0};
	struct kvm_vcpu vcpu;
	struct kvm_vm other;

	cr_assert_eq(kvm_vm_add_irqchip(&vm, true, &error), 0, "%s", error.text);
	cr_assert(vm.irqchip);
	cr_assert_eq(kvm_vm_add_irqchip(&vm, true, &error), -EEXIST);

	cr_assert_eq(kvm_vm_init(&other, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &other, host, 0, &error), 0, "%s", error.text);
	cr_assert_lt(kvm_vm_add_irqchip(&other, true, &error), 0);
	cr_assert_not_null(strstr(error.text, "KVM_CREATE_IRQCHIP"), "%s", error.text);
	cr_assert_not(other.irqchip);
	kvm_vcpu_done(&vcpu);
	kvm_vm_done(&other);
}

static int init_without_descriptors(void *context)
{
	struct error error = {0};
	struct kvm_vm other;

	(void)context;
	if (kvm_vm_init(&other, host, &error) != -EMFILE || other.fd != -1)
		return 1;
	return !strstr(error.text, "KVM_CREATE_VM");
}

Test(vm, no_descriptors_left_for_a_vm)
{
	cr_assert_eq(helper_without_descriptors(init_without_descriptors, NULL), 0);
}

/* In a fork the parent's VM is of no use, and that is said: nothing of the parent's changes. */
static int use_in_fork(void *context)
{
	struct error error = {0};
	struct kvm_vcpu vcpu;

	(void)context;
	if (kvm_vm_add_memslot(&vm, 0, PAGE_BYTES, memory, &error) != -EIO)
		return 1;
	return kvm_vcpu_init(&vcpu, &vm, host, 0, &error) != -EIO;
}

static int make_in_fork(void *context)
{
	struct error error = {0};
	struct kvm_vcpu vcpu;
	struct kvm_vm own;

	(void)context;
	if (kvm_vm_init(&own, host, &error) < 0 ||
	    kvm_vm_add_memslot(&own, 0, PAGE_BYTES, memory, &error) < 0)
		return 1;
	return kvm_vcpu_init(&vcpu, &own, host, 0, &error) < 0;
}

Test(vm, a_fork_makes_its_own)
{
	cr_assert_eq(helper_in_child(use_in_fork, NULL), 0);
	cr_assert_eq(helper_in_child(make_in_fork, NULL), 0);
}

static int hold_anchor(void *context)
{
	size_t before = *(const size_t *)context;
	struct error error = {0};

	if (kvm_anchor_hold(host, false, &error) < 0)
		return 1;
	return helper_count_fds() != before + 2;
}

Test(anchor, holds_a_vm_and_a_vcpu_until_the_process_ends, .init = set_up, .fini = tear_down)
{
	size_t fds = helper_count_fds();

	cr_assert_eq(helper_in_child(hold_anchor, &fds), 0);
}

static int anchor_without_descriptors(void *context)
{
	struct error error = {0};

	(void)context;
	return kvm_anchor_hold(host, false, &error) != -EMFILE;
}

Test(anchor, no_descriptors_left, .init = set_up, .fini = tear_down)
{
	cr_assert_eq(helper_without_descriptors(anchor_without_descriptors, NULL), 0);
}

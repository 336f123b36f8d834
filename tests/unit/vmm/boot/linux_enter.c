/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/linux_enter.c: registers read back. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/unit/require.h"
#include "vmm/boot/linux.h"
#include "vmm/kvm/cpuid.h"

struct one_msr {
	struct kvm_msrs list;
	struct kvm_msr_entry entry;
};

static struct kvm_host *host;
static struct kvm_vm vm;
static struct kvm_vcpu vcpu;
static struct error error;

static void make_vcpu(unsigned int index)
{
	host = require_kvm();
	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vm_add_irqchip(&vm, true, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, index, &error), 0, "%s", error.text);
	cr_assert_eq(cpuid_apply(&vcpu, host, 2, true, &error), 0, "%s", error.text);
}

static void end(void)
{
	kvm_vcpu_done(&vcpu);
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

static uint64_t msr(uint32_t index)
{
	struct one_msr one = {.list.nmsrs = 1, .entry.index = index};

	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_MSRS, &one.list), 1);
	return one.entry.data;
}

/* What every vCPU gets. */
static void check_common(void)
{
	struct kvm_lapic_state lapic;
	uint32_t lint0;

	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_LAPIC, &lapic), 0);
	memcpy(&lint0, lapic.regs + 0x350, sizeof(lint0));
	cr_assert(lint0 & 1u << 16, "LINT0 is masked");
	cr_assert_eq(msr(0x2ff), 0x806, "MTRRs on, write-back");
	cr_assert(msr(0x1a0) & 1, "fast strings");
}

static void check_flat(const struct kvm_segment *segment, uint16_t selector)
{
	cr_assert_eq(segment->selector, selector);
	cr_assert_eq(segment->base, 0);
	cr_assert_eq(segment->limit, 0xffffffff);
	cr_assert(segment->present && segment->s && segment->g && segment->dpl == 0);
}

Test(linux_enter, in_64_bit_mode)
{
	const struct linux_entry entry = {
		.is_64bit = true, .entry = 0x1000200, .info = GPA_BOOT_INFO};
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	make_vcpu(0);
	cr_assert_eq(linux_enter(&vcpu, &entry, &error), 0, "%s", error.text);
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_REGS, &regs), 0);
	cr_assert_eq(regs.rip, 0x1000200);
	cr_assert_eq(regs.rsi, GPA_BOOT_INFO);
	cr_assert_eq(regs.rflags, 2, "interrupts off");
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_SREGS, &sregs), 0);
	check_flat(&sregs.cs, 0x10);
	check_flat(&sregs.ds, 0x18);
	check_flat(&sregs.es, 0x18);
	check_flat(&sregs.ss, 0x18);
	cr_assert(sregs.cs.l && !sregs.cs.db && sregs.cs.type == 11);
	cr_assert_eq(sregs.ds.type, 3);
	cr_assert_eq(sregs.gdt.base, GPA_BOOT_GDT);
	cr_assert_eq(sregs.gdt.limit, 31);
	cr_assert_eq(sregs.cr3, GPA_PAGE_TABLES);
	cr_assert_eq(sregs.cr0 & 0x80000001, 0x80000001, "paging");
	cr_assert(sregs.cr4 & 1u << 5, "PAE");
	cr_assert(sregs.efer & 1u << 10, "long mode");
	check_common();
	end();
}

Test(linux_enter, in_32_bit_mode)
{
	const struct linux_entry entry = {.entry = 0x1000850, .info = GPA_PVH_INFO};
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	make_vcpu(0);
	cr_assert_eq(linux_enter(&vcpu, &entry, &error), 0, "%s", error.text);
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_REGS, &regs), 0);
	cr_assert_eq(regs.rip, 0x1000850);
	cr_assert_eq(regs.rbx, GPA_PVH_INFO);
	cr_assert_eq(regs.rflags, 2);
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_SREGS, &sregs), 0);
	check_flat(&sregs.cs, 0x10);
	check_flat(&sregs.ds, 0x18);
	check_flat(&sregs.es, 0x18);
	check_flat(&sregs.ss, 0x18);
	cr_assert(!sregs.cs.l && sregs.cs.db && sregs.cs.type == 11);
	cr_assert_eq(sregs.tr.type, 11);
	cr_assert_eq(sregs.tr.limit, 0x67);
	cr_assert_eq(sregs.cr0, 0x11, "protected mode and nothing else");
	cr_assert_eq(sregs.cr4, 0);
	cr_assert_eq(sregs.efer, 0);
	check_common();
	end();
}

/* It waits for the boot CPU's start-up IPI, but has what firmware sets on every CPU. */
Test(linux_enter, another_cpu_than_the_first)
{
	const struct linux_entry entry = {
		.is_64bit = true, .entry = 0x1000200, .info = GPA_BOOT_INFO};
	struct kvm_regs before, after;

	make_vcpu(1);
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_REGS, &before), 0);
	cr_assert_eq(linux_enter(&vcpu, &entry, &error), 0, "%s", error.text);
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_REGS, &after), 0);
	cr_assert_eq(after.rip, before.rip);
	check_common();
	end();
}

Test(linux_enter, without_interrupt_controllers)
{
	const struct linux_entry entry = {.is_64bit = true};

	host = require_kvm();
	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, 0, &error), 0, "%s", error.text);
	cr_assert_eq(cpuid_apply(&vcpu, host, 1, false, &error), 0, "%s", error.text);
	cr_assert_eq(linux_enter(&vcpu, &entry, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "KVM_GET_LAPIC"), "%s", error.text);
	end();
}

Test(linux_enter, a_vcpu_that_is_none)
{
	const struct linux_entry entry = {.is_64bit = true};
	const struct kvm_vcpu none = {.fd = -1};

	cr_assert_eq(linux_enter(&none, &entry, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "KVM_GET_MSRS"), "%s", error.text);
}

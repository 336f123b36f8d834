/* SPDX-License-Identifier: MIT */
/*
 * First register values of a Linux guest: see linux.h. Documentation/arch/x86/boot.rst, "64-bit
 * Boot Protocol", of Linux; docs/misc/pvh.pandoc, "x86/HVM direct boot ABI", of Xen.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/boot/linux.h"
#include "vmm/boot/x86.h"
#include "vmm/kvm/msr.h"

/* Intel SDM volume 4. */
#define MSR_MISC_ENABLE		   0x1a0u
#define MISC_ENABLE_FAST_STRINGS   (1ull << 0)
#define MSR_MTRR_DEFAULT	   0x2ffu
#define MTRR_DEFAULT_ON_WRITE_BACK (1ull << 11 | 6)
#define DESCRIPTORS		   4u /* in the table at GPA_BOOT_GDT */

/* In the LAPIC's page. */
#define LAPIC_LVT_LINT0		   0x350u
#define LAPIC_LVT_MASKED	   (1u << 16)

/* A list of one, as the kernel's interface has it. */
struct one_msr {
	struct kvm_msrs list;
	struct kvm_msr_entry entry;
};

/*
 * Without firmware MTRRs are off, which Linux takes for a reason to do without PAT too; and a
 * processor whose string instructions are not said to be fast is not given them.
 */
static int set_msrs(const struct kvm_vcpu *vcpu, struct error *error)
{
	struct one_msr msr = {.list.nmsrs = 1, .entry.index = MSR_MISC_ENABLE};
	int rc = ioctl(vcpu->fd, KVM_GET_MSRS, &msr.list);

	if (rc != 1) /* 0: refused, without an errno */
		return error_set_errno(error, rc < 0 ? errno : EIO, "KVM_GET_MSRS %#x, vCPU %u",
				       MSR_MISC_ENABLE, vcpu->index);
	msr.entry.data |= MISC_ENABLE_FAST_STRINGS;
	rc = msr_write(vcpu, &msr.list, error);
	if (rc < 0)
		return rc;
	msr.entry.index = MSR_MTRR_DEFAULT;
	msr.entry.data = MTRR_DEFAULT_ON_WRITE_BACK;
	return msr_write(vcpu, &msr.list, error);
}

/*
 * KVM opens LINT0 of the boot CPU to its 8259, as a BIOS would, and nobody has told that which
 * vectors to use: an edge on a line would arrive as an exception. ACPI says that there is no 8259,
 * so a guest may not look for it; the pin is masked, as the architecture has it after a reset
 * (Intel SDM volume 3, 10.5.1).
 */
static int mask_lint0(const struct kvm_vcpu *vcpu, struct error *error)
{
	struct kvm_lapic_state lapic;
	uint32_t lvt;

	if (ioctl(vcpu->fd, KVM_GET_LAPIC, &lapic) < 0)
		return error_set_errno(error, errno, "KVM_GET_LAPIC, vCPU %u", vcpu->index);
	memcpy(&lvt, lapic.regs + LAPIC_LVT_LINT0, sizeof(lvt));
	lvt |= LAPIC_LVT_MASKED;
	memcpy(lapic.regs + LAPIC_LVT_LINT0, &lvt, sizeof(lvt));
	if (ioctl(vcpu->fd, KVM_SET_LAPIC, &lapic) < 0)
		return error_set_errno(error, errno, "KVM_SET_LAPIC, vCPU %u", vcpu->index);
	return 0;
}

static void set_64bit(struct kvm_sregs *sregs)
{
	sregs->cs = x86_flat_segment(SEGMENT_CODE_64, X86_BOOT_CS);
	sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs->cr3 = GPA_PAGE_TABLES;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
	sregs->gdt.base = GPA_BOOT_GDT;
	sregs->gdt.limit = DESCRIPTORS * sizeof(uint64_t) - 1;
}

/* Protected mode and nothing else; a guest has to bring its own descriptor table. */
static void set_32bit(struct kvm_sregs *sregs)
{
	sregs->cs = x86_flat_segment(SEGMENT_CODE_32, X86_BOOT_CS);
	sregs->cr0 = CR0_PE | CR0_ET;
	sregs->cr3 = 0;
	sregs->cr4 = 0;
	sregs->efer = 0;
	sregs->gdt.base = 0;
	sregs->gdt.limit = 0;
}

int linux_enter(const struct kvm_vcpu *vcpu, const struct linux_entry *entry, struct error *error)
{
	struct kvm_regs regs = {
		.rip = entry->entry,
		.rflags = RFLAGS_FIXED,
		.rsi = entry->is_64bit ? entry->info : 0,
		.rbx = entry->is_64bit ? 0 : entry->info,
	};
	struct kvm_sregs sregs;
	int rc = set_msrs(vcpu, error);

	if (rc == 0)
		rc = mask_lint0(vcpu, error);
	if (rc < 0 || vcpu->index != 0)
		return rc;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return error_set_errno(error, errno, "KVM_GET_SREGS, vCPU %u", vcpu->index);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss =
		x86_flat_segment(SEGMENT_DATA, X86_BOOT_DS);
	sregs.tr = x86_empty_tss();
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	if (entry->is_64bit)
		set_64bit(&sregs);
	else
		set_32bit(&sregs);
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		return error_set_errno(error, errno, "KVM_SET_SREGS, vCPU %u", vcpu->index);
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return error_set_errno(error, errno, "KVM_SET_REGS, vCPU %u", vcpu->index);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Starting a guest in 64-bit mode: see longmode.h. Intel SDM volume 3, chapters 2.5 (control
 * registers), 3.4.5 (segment descriptors) and 4.5 (4-level paging).
 */
#include "vmm/boot/longmode.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/util.h"
#include "vmm/boot/x86.h"
#include "vmm/kvm/cpuid.h"

#define PTE_PRESENT    (1ull << 0)
#define PTE_WRITABLE   (1ull << 1)
#define PTE_USER       (1ull << 2)
#define PTE_ACCESSED   (1ull << 5)
#define PTE_DIRTY      (1ull << 6)
#define PTE_LARGE      (1ull << 7)
/*
 * Accessed and dirty from the start: whoever walks these tables then has nothing to write into
 * them, and a clone's tables stay shared with the template's.
 */
#define PTE_TABLE      (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED)
#define PTE_PAGE       (PTE_TABLE | PTE_DIRTY | PTE_LARGE)

#define PTES_PER_TABLE 512u
#define LARGE_PAGE     (2 * MIB)

/* One page of the table area; NULL when it is used up. */
static uint64_t *next_table(const struct guest_ram *ram, gpa_t *at)
{
	uint64_t *table;

	if (*at + PAGE_BYTES > GPA_PAGE_TABLES_END)
		return NULL;
	table = guest_ram_at(ram, *at, PAGE_BYTES);
	if (table)
		memset(table, 0, PAGE_BYTES);
	*at += PAGE_BYTES;
	return table;
}

int longmode_write_page_tables(const struct guest_ram *ram, uint64_t top, struct error *error)
{
	gpa_t at = GPA_PAGE_TABLES;
	uint64_t *pml4 = next_table(ram, &at);
	gpa_t pdpt_gpa = at;
	uint64_t *pdpt = next_table(ram, &at);

	if (!pml4 || !pdpt || round_up(top, GIB) / GIB > PTES_PER_TABLE)
		return error_set(error, EFBIG, "too much RAM for the boot page tables");
	pml4[0] = pdpt_gpa | PTE_TABLE;
	for (uint64_t base = 0, i = 0; base < top; base += GIB, i++) {
		gpa_t directory_gpa = at;
		uint64_t *directory = next_table(ram, &at);

		if (!directory)
			return error_set(error, EFBIG, "too much RAM for the boot page tables");
		pdpt[i] = directory_gpa | PTE_TABLE;
		for (uint64_t j = 0; j < PTES_PER_TABLE; j++)
			directory[j] = (base + j * LARGE_PAGE) | PTE_PAGE;
	}
	return 0;
}

int longmode_write_tables(const struct guest_ram *ram, const struct image *image,
			  unsigned int vcpus, const char *args, struct error *error)
{
	const struct ram_region *last = &ram->regions[ram->region_count - 1];
	struct forkvm_boot_info *info = guest_ram_at(ram, GPA_BOOT_INFO, sizeof(*info));
	size_t length = args ? strlen(args) : 0;

	if (!info)
		return error_set(error, EFBIG, "no room for boot information");
	if (length >= FORKVM_MAX_ARGS)
		return error_set(error, E2BIG, "guest arguments of %zu bytes: %d are allowed",
				 length, FORKVM_MAX_ARGS - 1);
	memset(info, 0, sizeof(*info));
	info->magic = FORKVM_ABI_MAGIC;
	info->version = FORKVM_ABI_VERSION;
	info->ram_size = ram->size;
	info->low_ram_end = ram->regions[0].size;
	if (ram->region_count > 1)
		info->high_ram_end = ram->regions[1].gpa + ram->regions[1].size;
	info->free_start = round_up(image->end, PAGE_BYTES);
	info->vcpus = vcpus;
	info->args_len = (uint32_t)length;
	if (length)
		memcpy(info->args, args, length);
	return longmode_write_page_tables(ram, max_u64(GPA_HIGH_RAM, last->gpa + last->size),
					  error);
}

static int set_sregs(const struct kvm_vcpu *vcpu, bool with_xsave, struct error *error)
{
	struct kvm_segment data = x86_flat_segment(SEGMENT_DATA, 0x10);
	struct kvm_sregs sregs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return error_set_errno(error, errno, "KVM_GET_SREGS, vCPU %u", vcpu->index);
	sregs.cs = x86_flat_segment(SEGMENT_CODE_64, 0x08);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.tr = x86_empty_tss();
	sregs.gdt.base = sregs.idt.base = 0;
	sregs.gdt.limit = sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	sregs.cr3 = GPA_PAGE_TABLES;
	sregs.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | (with_xsave ? CR4_OSXSAVE : 0);
	sregs.efer = EFER_LME | EFER_LMA;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0)
		return error_set_errno(error, errno, "KVM_SET_SREGS, vCPU %u", vcpu->index);
	return 0;
}

int longmode_enter(const struct kvm_vcpu *vcpu, const struct kvm_host *host,
		   const struct image *image, bool with_cpuid, struct error *error)
{
	uint64_t xcr0 = with_cpuid ? cpuid_xcr0(host) : 0;
	struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = xcr0}}};
	struct kvm_regs regs = {
		.rip = image->entry,
		.rflags = RFLAGS_FIXED,
		.rdi = GPA_BOOT_INFO,
		.rsi = vcpu->index,
	};
	int rc = set_sregs(vcpu, xcr0 != 0, error);

	if (rc < 0)
		return rc;
	if (xcr0 && ioctl(vcpu->fd, KVM_SET_XCRS, &xcrs) < 0)
		return error_set_errno(error, errno, "KVM_SET_XCRS %#llx, vCPU %u",
				       (unsigned long long)xcr0, vcpu->index);
	if (ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return error_set_errno(error, errno, "KVM_SET_REGS, vCPU %u", vcpu->index);
	return 0;
}

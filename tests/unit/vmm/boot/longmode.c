/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/longmode.c: page tables walked by hand, registers read back. */
#include "vmm/boot/longmode.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "guest-stubs/stub_abi.h"
#include "tests/unit/require.h"
#include "vmm/base/util.h"
#include "vmm/kvm/cpuid.h"

#define PRESENT_WRITABLE_USER 7u
#define LARGE		      0x80u
#define ADDRESS_MASK	      0x000ffffffffff000ull

static const struct image image = {.entry = FORKVM_STUB_LOAD_GPA,
				   .end = FORKVM_STUB_LOAD_GPA + 5000};

static struct guest_ram make_ram(uint64_t size)
{
	struct error error = {0};
	struct guest_ram ram;

	cr_assert_eq(guest_ram_init(&ram, size, NULL, &error), 0, "%s", error.text);
	return ram;
}

static void write_tables(const struct guest_ram *ram, unsigned int vcpus, const char *args)
{
	struct error error = {0};

	cr_assert_eq(longmode_write_tables(ram, &image, vcpus, args, &error), 0, "%s", error.text);
}

/* Where a linear address leads by the tables at GPA_PAGE_TABLES; UINT64_MAX: nowhere. */
static uint64_t walk(const struct guest_ram *ram, uint64_t linear)
{
	gpa_t table = GPA_PAGE_TABLES;

	for (unsigned int shift = 39; shift >= 21; shift -= 9) {
		const uint64_t *entries = guest_ram_at(ram, table, PAGE_BYTES);
		uint64_t entry;

		cr_assert_not_null(entries, "a table at %#llx", (unsigned long long)table);
		entry = entries[linear >> shift & 511];
		if (!entry)
			return UINT64_MAX;
		cr_assert_eq(entry & PRESENT_WRITABLE_USER, PRESENT_WRITABLE_USER);
		if (entry & LARGE) {
			cr_assert_eq(shift, 21);
			return (entry & ADDRESS_MASK) + (linear & (2 * MIB - 1));
		}
		table = entry & ADDRESS_MASK;
	}
	cr_assert_fail("a table below the last level");
	return UINT64_MAX;
}

Test(longmode, everything_below_4_gib_is_mapped_one_to_one)
{
	struct guest_ram ram = make_ram(2 * MIB);

	write_tables(&ram, 1, NULL);
	for (uint64_t linear = 0; linear < 4 * GIB; linear += 2 * MIB)
		cr_assert_eq(walk(&ram, linear + 12345), linear + 12345);
	cr_assert_eq(walk(&ram, 4 * GIB), UINT64_MAX);
	guest_ram_done(&ram);
}

Test(longmode, ram_above_4_gib_too)
{
	struct guest_ram ram = make_ram(6 * GIB);

	write_tables(&ram, 1, NULL);
	for (uint64_t linear = 0; linear < 7 * GIB; linear += 2 * MIB)
		cr_assert_eq(walk(&ram, linear), linear);
	cr_assert_eq(walk(&ram, 7 * GIB), UINT64_MAX);
	guest_ram_done(&ram);
}

Test(longmode, the_most_ram_there_can_be)
{
	struct guest_ram ram = make_ram(128 * GIB);
	struct error error = {0};

	write_tables(&ram, 1, NULL);
	cr_assert_eq(walk(&ram, 129 * GIB - 1), 129 * GIB - 1);
	guest_ram_done(&ram);
	/* One page a GiB: the area for tables ends before the image does begin. */
	ram = make_ram(200 * GIB);
	cr_assert_eq(longmode_write_tables(&ram, &image, 1, NULL, &error), -EFBIG);
	guest_ram_done(&ram);
	ram = make_ram(600 * GIB);
	cr_assert_eq(longmode_write_tables(&ram, &image, 1, NULL, &error), -EFBIG);
	guest_ram_done(&ram);
}

Test(longmode, tables_stay_within_their_area)
{
	struct guest_ram ram = make_ram(128 * GIB);
	const uint8_t *after = guest_ram_at(&ram, GPA_PAGE_TABLES_END, 0);
	const uint8_t *first = guest_ram_at(&ram, 0, PAGE_BYTES);

	write_tables(&ram, 1, NULL);
	for (size_t i = 0; i < FORKVM_STUB_LOAD_GPA - GPA_PAGE_TABLES_END; i++)
		cr_assert_eq(after[i], 0);
	for (size_t i = 0; i < PAGE_BYTES; i++)
		cr_assert_eq(first[i], 0);
	guest_ram_done(&ram);
}

Test(longmode, boot_information)
{
	struct guest_ram ram = make_ram(6 * GIB);
	const struct forkvm_boot_info *info = guest_ram_at(&ram, GPA_BOOT_INFO, sizeof(*info));

	write_tables(&ram, 3, "a=1 b=2");
	cr_assert_eq(info->magic, FORKVM_ABI_MAGIC);
	cr_assert_eq(info->version, FORKVM_ABI_VERSION);
	cr_assert_eq(info->ram_size, 6 * GIB);
	cr_assert_eq(info->low_ram_end, GPA_LOW_RAM_MAX);
	cr_assert_eq(info->high_ram_end, 7 * GIB);
	cr_assert_eq(info->free_start, FORKVM_STUB_LOAD_GPA + 2 * PAGE_BYTES);
	cr_assert_eq(info->vcpus, 3);
	cr_assert_eq(info->args_len, 7);
	cr_assert_str_eq(info->args, "a=1 b=2");
	guest_ram_done(&ram);
}

Test(longmode, boot_information_of_a_small_guest)
{
	struct guest_ram ram = make_ram(2 * MIB);
	const struct forkvm_boot_info *info = guest_ram_at(&ram, GPA_BOOT_INFO, sizeof(*info));

	write_tables(&ram, 1, NULL);
	cr_assert_eq(info->low_ram_end, 2 * MIB);
	cr_assert_eq(info->high_ram_end, 0);
	cr_assert_eq(info->args_len, 0);
	cr_assert_str_empty(info->args);
	guest_ram_done(&ram);
}

Test(longmode, arguments_have_a_limit)
{
	struct guest_ram ram = make_ram(2 * MIB);
	const struct forkvm_boot_info *info = guest_ram_at(&ram, GPA_BOOT_INFO, sizeof(*info));
	char args[FORKVM_MAX_ARGS + 1];
	struct error error = {0};

	memset(args, 'a', sizeof(args));
	args[FORKVM_MAX_ARGS] = '\0';
	cr_assert_eq(longmode_write_tables(&ram, &image, 1, args, &error), -E2BIG);
	cr_assert_not_null(strstr(error.text, "1023"), "%s", error.text);
	args[FORKVM_MAX_ARGS - 1] = '\0';
	write_tables(&ram, 1, args);
	cr_assert_eq(info->args_len, FORKVM_MAX_ARGS - 1);
	cr_assert_eq(info->args[FORKVM_MAX_ARGS - 1], '\0');
	guest_ram_done(&ram);
}

static void enter(bool with_cpuid, unsigned int index)
{
	struct kvm_host *host = require_kvm();
	struct error error = {0};
	struct kvm_sregs sregs;
	struct kvm_vcpu vcpu;
	struct kvm_regs regs;
	struct kvm_xcrs xcrs;
	struct kvm_vm vm;
	uint64_t xcr0 = cpuid_xcr0(host);

	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&vcpu, &vm, host, index, &error), 0, "%s", error.text);
	if (with_cpuid)
		cr_assert_eq(cpuid_apply(&vcpu, host, 2, false, &error), 0, "%s", error.text);
	cr_assert_eq(longmode_enter(&vcpu, host, &image, with_cpuid, &error), 0, "%s", error.text);

	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_REGS, &regs), 0);
	cr_assert_eq(regs.rip, image.entry);
	cr_assert_eq(regs.rdi, GPA_BOOT_INFO);
	cr_assert_eq(regs.rsi, index);
	cr_assert_eq(regs.rflags, 2, "interrupts off");
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_SREGS, &sregs), 0);
	cr_assert_eq(sregs.cr3, GPA_PAGE_TABLES);
	cr_assert(sregs.efer & 1u << 10, "long mode active");
	cr_assert_eq(sregs.cs.l, 1);
	cr_assert_eq(sregs.cs.dpl, 0);
	cr_assert_eq(ioctl(vcpu.fd, KVM_GET_XCRS, &xcrs), 0);
	if (with_cpuid && xcr0) {
		cr_assert(sregs.cr4 & 1u << 18, "OSXSAVE");
		cr_assert_eq(xcrs.xcrs[0].value, xcr0);
	} else {
		cr_assert_not(sregs.cr4 & 1u << 18, "OSXSAVE");
	}
	kvm_vcpu_done(&vcpu);
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

Test(longmode, first_registers_with_cpuid)
{
	enter(true, 0);
}

Test(longmode, first_registers_without_cpuid)
{
	enter(false, 1);
}

Test(longmode, a_vcpu_that_is_none)
{
	struct kvm_vcpu vcpu = {.fd = -1};
	struct kvm_host *host = require_kvm();
	struct error error = {0};

	cr_assert_eq(longmode_enter(&vcpu, host, &image, false, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "KVM_GET_SREGS"), "%s", error.text);
	kvm_host_close(host);
}

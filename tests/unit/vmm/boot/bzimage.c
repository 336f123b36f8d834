/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/bzimage.c, with bzImages made here, number by number wrong. */
#include "vmm/boot/bzimage.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/vmm/boot/kernels.h"
#include "vmm/boot/e820.h"

#define RAM_SIZE (64 * MIB)

static struct guest_ram ram;
static struct kernels_bzimage file;
static struct linux_kernel kernel;
static struct error error;

static void set_up(void)
{
	ram = kernels_make_ram(RAM_SIZE);
	kernels_make_bzimage(&file);
	kernel = (struct linux_kernel){.entry = 1};
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(bzimage, .init = set_up, .fini = tear_down);

static int load(size_t size)
{
	error = (struct error){0};
	return bzimage_load((const uint8_t *)&file, size, &ram, &kernel, &error);
}

static void accept(void)
{
	cr_assert_eq(load(sizeof(file)), 0, "%s", error.text);
}

/* Refused with code and words that have part in them; *ret stays as it was. */
static void refuse(int code, const char *part)
{
	cr_assert_eq(load(sizeof(file)), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_eq(kernel.entry, 1);
	cr_assert_eq(bzimage_load((const uint8_t *)&file, sizeof(file), &ram, &kernel, NULL), -code,
		     "without a place for words");
}

static const struct boot_params *params(void)
{
	return guest_ram_at(&ram, GPA_BOOT_INFO, sizeof(struct boot_params));
}

Test(bzimage, is_known_by_its_header)
{
	const uint8_t *bytes = (const uint8_t *)&file;

	cr_assert(bzimage_is(bytes, sizeof(file)));
	/* Magic and flag are all that it takes, and no byte beyond the file's end is read. */
	for (size_t size = 0; size < 0x206; size++)
		cr_assert_not(bzimage_is(bytes, size), "%zu", size);
	cr_assert(bzimage_is(bytes, 0x206));
	file.header.boot_flag++;
	cr_assert_not(bzimage_is(bytes, sizeof(file)));
	file.header.boot_flag--;
	file.header.header++;
	cr_assert_not(bzimage_is(bytes, sizeof(file)));
}

Test(bzimage, a_good_one_is_loaded)
{
	const uint8_t *at = guest_ram_at(&ram, KERNELS_LOAD, KERNELS_INIT_SIZE);

	accept();
	cr_assert(kernel.is_64bit);
	cr_assert_eq(kernel.entry, KERNELS_LOAD + 0x200);
	cr_assert_eq(kernel.end, KERNELS_LOAD + KERNELS_INIT_SIZE);
	cr_assert_eq(kernel.initrd_limit, GPA_HIGH_RAM);
	cr_assert_eq(kernel.cmdline_max, 2047);
	for (size_t i = 0; i < KERNELS_PAYLOAD + 16; i++)
		cr_assert_eq(at[i], i < KERNELS_PAYLOAD ? KERNELS_CODE : 0, "%zu", i);
}

Test(bzimage, the_zero_page)
{
	const struct linux_initrd initrd = {.gpa = 0x3000000, .size = 0x12345};
	struct e820_range ranges[E820_RANGES_MAX];
	unsigned int count = e820_fill(&ram, ranges);
	const struct boot_params *zero_page = params();
	uint8_t *bytes = guest_ram_at(&ram, GPA_BOOT_INFO, PAGE_BYTES);

	memset(bytes, 0xff, PAGE_BYTES);
	accept();
	cr_assert_eq(bzimage_finish(&ram, &initrd, &error), 0, "%s", error.text);
	cr_assert_eq(zero_page->sentinel, 0);
	cr_assert_eq(zero_page->hdr.header, 0x53726448);
	cr_assert_eq(zero_page->hdr.version, 0x020f);
	cr_assert_eq(zero_page->hdr.init_size, KERNELS_INIT_SIZE);
	cr_assert_eq(zero_page->hdr.kernel_info_offset, 0);
	cr_assert_eq(zero_page->hdr.type_of_loader, 0xff);
	cr_assert_eq(zero_page->hdr.setup_data, 0, "nothing of ours");
	cr_assert_eq(zero_page->hdr.cmd_line_ptr, GPA_CMDLINE);
	cr_assert_eq(zero_page->hdr.ramdisk_image, 0x3000000);
	cr_assert_eq(zero_page->hdr.ramdisk_size, 0x12345);
	cr_assert_eq(zero_page->ext_ramdisk_image, 0);
	cr_assert_eq(zero_page->ext_cmd_line_ptr, 0);
	cr_assert_eq(zero_page->acpi_rsdp_addr, GPA_ACPI);
	cr_assert_eq(zero_page->e820_entries, count);
	for (unsigned int i = 0; i < count; i++) {
		cr_assert_eq(zero_page->e820_table[i].addr, ranges[i].gpa);
		cr_assert_eq(zero_page->e820_table[i].size, ranges[i].size);
		cr_assert_eq(zero_page->e820_table[i].type, ranges[i].type);
	}
	for (size_t i = 0; i < 0x70; i++)
		cr_assert_eq(bytes[i], 0, "before the first field that is set");
}

/* The byte before the magic tells where the header ends: an older, shorter one. */
Test(bzimage, a_shorter_header)
{
	file.header.jump = (uint16_t)(0xeb | (0x264 - 0x202) << 8);
	file.header.handover_offset = 0x7777;
	accept();
	cr_assert_eq(params()->hdr.init_size, KERNELS_INIT_SIZE);
	cr_assert_eq(params()->hdr.handover_offset, 0, "beyond the header's end");
	kernel.entry = 1;
	file.header.jump = (uint16_t)(0xeb | (0x260 - 0x202) << 8);
	refuse(ENOEXEC, "not complete");
}

Test(bzimage, tables_for_the_entry)
{
	const struct linux_initrd none = {0};
	const uint64_t *gdt = guest_ram_at(&ram, GPA_BOOT_GDT, 4 * sizeof(*gdt));
	const uint64_t *pml4 = guest_ram_at(&ram, GPA_PAGE_TABLES, PAGE_BYTES);
	const uint8_t *after = guest_ram_at(&ram, GPA_PAGE_TABLES + 6 * PAGE_BYTES, 0);

	accept();
	cr_assert_eq(bzimage_finish(&ram, &none, &error), 0, "%s", error.text);
	cr_assert_eq(gdt[0], 0);
	cr_assert_eq(gdt[2], 0x00af9b000000ffff, "64-bit code");
	cr_assert_eq(gdt[3], 0x00cf93000000ffff, "data");
	cr_assert_neq(pml4[0], 0);
	cr_assert_eq(pml4[1], 0);
	/* 4 GiB take six pages, which is what the map leaves for them. */
	cr_assert_leq(GPA_PAGE_TABLES + 6 * PAGE_BYTES, GPA_PVH_INFO);
	for (gpa_t i = 0; i < GPA_BOOT_GDT - (GPA_PAGE_TABLES + 6 * PAGE_BYTES); i++)
		cr_assert_eq(after[i], 0);
	cr_assert_eq(params()->hdr.ramdisk_image, 0);
	cr_assert_eq(params()->hdr.ramdisk_size, 0);
}

/* Every shorter file ends inside something. */
Test(bzimage, truncated_anywhere)
{
	for (size_t size = 0; size < sizeof(file); size++)
		cr_assert_lt(load(size), 0, "%zu bytes", size);
	for (size_t size = 0x270; size < sizeof(file); size++)
		cr_assert_eq(load(size), -EBADMSG, "%zu bytes: %s", size, error.text);
	accept();
}

Test(bzimage, a_signature_behind_the_kernel)
{
	file.header.syssize = KERNELS_PAYLOAD / 16 - 1;
	accept();
}

Test(bzimage, four_sectors_of_setup_if_it_does_not_say)
{
	const uint8_t *at = guest_ram_at(&ram, KERNELS_LOAD, 1);

	file.header.setup_sects = 0;
	file.header.syssize = 0x300 / 16;
	((uint8_t *)&file)[5 * 512] = 0x42;
	accept();
	cr_assert_eq(*at, 0x42);
}

Test(bzimage, sizes_of_nonsense)
{
	file.header.syssize = 0;
	refuse(ENOEXEC, "0 bytes of kernel");
	file.header.syssize = 0x200 / 16;
	refuse(ENOEXEC, "broken");
	file.header.syssize = UINT32_MAX;
	refuse(EBADMSG, "truncated");
	kernels_make_bzimage(&file);
	file.header.setup_sects = 255;
	refuse(EBADMSG, "truncated");
	kernels_make_bzimage(&file);
	file.header.init_size = 0;
	refuse(ENOEXEC, "not complete");
	kernels_make_bzimage(&file);
	file.header.cmdline_size = 0;
	refuse(ENOEXEC, "not complete");
}

Test(bzimage, too_old)
{
	file.header.version = 0x020b;
	refuse(EPROTONOSUPPORT, "boot protocol 2.11");
	file.header.version = 0x020c;
	accept();
}

Test(bzimage, of_another_kind)
{
	file.header.xloadflags = XLF_CAN_BE_LOADED_ABOVE_4G;
	refuse(EPROTONOSUPPORT, "32-bit");
	kernels_make_bzimage(&file);
	file.header.loadflags = 0;
	refuse(ENOEXEC, "zImage");
}

Test(bzimage, that_needs_more_ram)
{
	file.header.init_size = (uint32_t)(RAM_SIZE - KERNELS_LOAD);
	accept();
	kernel.entry = 1;
	file.header.init_size++;
	refuse(EFBIG, "give it more");
	cr_assert_not_null(strstr(error.text, "takes 49 MiB from 16 MiB on"), "%s", error.text);
	file.header.init_size = UINT32_MAX;
	refuse(EFBIG, "give it more");
	/* The file itself may be the larger one. */
	kernels_make_bzimage(&file);
	file.header.init_size = 1;
	accept();
	cr_assert_eq(kernel.end, KERNELS_LOAD + KERNELS_PAYLOAD);
}

Test(bzimage, where_it_wants_to_be)
{
	file.header.pref_address = 0x1100000;
	accept();
	cr_assert_eq(kernel.entry, 0x1200000 + 0x200, "aligned");
	file.header.pref_address = 0;
	accept();
	cr_assert_eq(kernel.entry, GPA_KERNEL + 0x200);
	file.header.pref_address = UINT64_MAX;
	accept();
	cr_assert_eq(kernel.entry, GPA_KERNEL + 0x200);
	file.header.pref_address = KERNELS_LOAD;
	file.header.kernel_alignment = 0x80000000;
	kernel.entry = 1;
	refuse(EFBIG, "2048 MiB on");
}

Test(bzimage, that_cannot_be_moved)
{
	file.header.relocatable_kernel = 0;
	file.header.kernel_alignment = 0;
	file.header.pref_address = 0x123000;
	accept();
	cr_assert_eq(kernel.entry, 0x123000 + 0x200);
	kernel.entry = 1;
	file.header.pref_address = 0x9000;
	refuse(ENOEXEC, "0x9000 only");
	file.header.pref_address = GPA_LOW_RAM_MAX;
	refuse(ENOEXEC, "only");
	file.header.pref_address = UINT64_MAX;
	refuse(ENOEXEC, "only");
}

Test(bzimage, alignments_of_nonsense)
{
	static const uint32_t wrong[] = {0, 1, 0x800, 0x1001, 0x300000, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		file.header.kernel_alignment = wrong[i];
		refuse(ENOEXEC, "alignment");
	}
}

Test(bzimage, how_far_it_reaches_for_an_initrd)
{
	file.header.xloadflags = XLF_KERNEL_64;
	accept();
	cr_assert_eq(kernel.initrd_limit, 0x80000000);
	file.header.initrd_addr_max = UINT32_MAX;
	accept();
	cr_assert_eq(kernel.initrd_limit, GPA_HIGH_RAM);
	file.header.initrd_addr_max = 0;
	accept();
	cr_assert_eq(kernel.initrd_limit, 1);
}

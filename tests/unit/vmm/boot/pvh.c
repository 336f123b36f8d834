/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/pvh.c. */
#include "vmm/boot/pvh.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/vmm/boot/kernels.h"
#include "vmm/boot/e820.h"

#define RAM_SIZE (64 * MIB)

static struct guest_ram ram;
static struct kernels_vmlinux file;
static struct linux_kernel kernel;
static struct error error;

static void set_up(void)
{
	ram = kernels_make_ram(RAM_SIZE);
	kernels_make_vmlinux(&file);
	kernel = (struct linux_kernel){.entry = 1};
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(pvh, .init = set_up, .fini = tear_down);

static int load(void)
{
	error = (struct error){0};
	return pvh_load((const uint8_t *)&file, sizeof(file), &ram, &kernel, &error);
}

static void refuse(int code, const char *part)
{
	cr_assert_eq(load(), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_eq(kernel.entry, 1);
}

Test(pvh, a_good_one_is_loaded)
{
	const uint8_t *at = guest_ram_at(&ram, KERNELS_LOAD, KERNELS_INIT_SIZE);

	cr_assert_eq(load(), 0, "%s", error.text);
	cr_assert_not(kernel.is_64bit);
	cr_assert_eq(kernel.entry, KERNELS_LOAD + 0x10);
	cr_assert_eq(kernel.end, KERNELS_LOAD + KERNELS_INIT_SIZE);
	cr_assert_eq(kernel.cmdline_max, 2047);
	for (size_t i = 0; i < KERNELS_PAYLOAD + 16; i++)
		cr_assert_eq(at[i], i < KERNELS_PAYLOAD ? KERNELS_CODE : 0, "%zu", i);
}

Test(pvh, an_entry_of_32_bits)
{
	file.note.n_descsz = 4;
	file.segments[1].p_filesz = sizeof(Elf64_Nhdr) + 4 + 4;
	file.entry |= 0xffffffffull << 32; /* not the note's */
	cr_assert_eq(load(), 0, "%s", error.text);
	cr_assert_eq(kernel.entry, KERNELS_LOAD + 0x10);
}

Test(pvh, without_its_note)
{
	file.note.n_type = 17;
	refuse(ENOEXEC, "CONFIG_PVH");
	file.note.n_type = 18;
	file.name[0] = 'x';
	refuse(ENOEXEC, "CONFIG_PVH");
	file.name[0] = 'X';
	file.note.n_descsz = 5;
	refuse(ENOEXEC, "CONFIG_PVH");
	file.note.n_descsz = 8;
	file.header.e_phnum = 1;
	refuse(ENOEXEC, "CONFIG_PVH");
}

Test(pvh, an_entry_outside_ram)
{
	file.entry = RAM_SIZE;
	refuse(ENOEXEC, "PVH entry");
	file.entry = UINT64_MAX;
	refuse(ENOEXEC, "PVH entry");
}

/* 32-bit code cannot start above 4 GiB, even where there is RAM. */
Test(pvh, an_entry_above_4_gib)
{
	guest_ram_done(&ram);
	ram = kernels_make_ram(4 * GIB);
	file.entry = GPA_HIGH_RAM + 0x1000;
	refuse(ENOEXEC, "PVH entry");
}

Test(pvh, whatever_the_elf_loader_refuses)
{
	file.segments[0].p_memsz = RAM_SIZE;
	refuse(EFBIG, "give it more");
	kernels_make_vmlinux(&file);
	file.header.e_machine = EM_AARCH64;
	refuse(ENOEXEC, "wrong architecture");
}

Test(pvh, the_start_information)
{
	const struct linux_initrd initrd = {.gpa = 0x3000000, .size = 0x12345};
	const struct pvh_start_info *info = guest_ram_at(&ram, GPA_PVH_INFO, PAGE_BYTES);
	struct e820_range ranges[E820_RANGES_MAX];
	unsigned int count = e820_fill(&ram, ranges);
	const struct pvh_module *module;
	const struct pvh_range *range;

	cr_assert_eq(load(), 0, "%s", error.text);
	cr_assert_eq(pvh_finish(&ram, &initrd, &error), 0, "%s", error.text);
	cr_assert_eq(info->magic, 0x336ec578);
	cr_assert_eq(info->version, 1);
	cr_assert_eq(info->flags, 0);
	cr_assert_eq(info->cmdline, GPA_CMDLINE);
	cr_assert_eq(info->rsdp, GPA_ACPI);
	cr_assert_eq(info->modules_count, 1);
	module = guest_ram_at(&ram, info->modules, sizeof(*module));
	cr_assert_eq(module->gpa, 0x3000000);
	cr_assert_eq(module->size, 0x12345);
	cr_assert_eq(module->cmdline, 0);
	cr_assert_eq(info->memory_map_count, count);
	range = guest_ram_at(&ram, info->memory_map, count * sizeof(*range));
	for (unsigned int i = 0; i < count; i++) {
		cr_assert_eq(range[i].gpa, ranges[i].gpa);
		cr_assert_eq(range[i].size, ranges[i].size);
		cr_assert_eq(range[i].type, ranges[i].type);
	}
}

Test(pvh, the_start_information_without_an_initrd)
{
	const struct linux_initrd none = {0};
	const struct pvh_start_info *info = guest_ram_at(&ram, GPA_PVH_INFO, PAGE_BYTES);

	cr_assert_eq(pvh_finish(&ram, &none, &error), 0, "%s", error.text);
	cr_assert_eq(info->modules_count, 0);
	cr_assert_eq(info->modules, 0);
}

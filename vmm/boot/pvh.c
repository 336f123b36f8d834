/* SPDX-License-Identifier: MIT */
/*
 * Loading an uncompressed vmlinux: see pvh.h.
 */
#include "vmm/boot/pvh.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"
#include "vmm/boot/e820.h"
#include "vmm/boot/image.h"

/* All that is at GPA_PVH_INFO. */
struct pvh_page {
	struct pvh_start_info info;
	struct pvh_module initrd;
	struct pvh_range ranges[E820_RANGES_MAX];
};

static_assert(sizeof(struct pvh_start_info) == 56, "start_info.h, struct hvm_start_info");
static_assert(sizeof(struct pvh_module) == 32, "start_info.h, struct hvm_modlist_entry");
static_assert(sizeof(struct pvh_range) == 24, "start_info.h, struct hvm_memmap_table_entry");
static_assert(GPA_PVH_INFO + sizeof(struct pvh_page) <= GPA_BOOT_GDT, "has its page for itself");

int pvh_load(const uint8_t *file, size_t size, const struct guest_ram *ram,
	     struct linux_kernel *ret, struct error *error)
{
	struct image image = {0};
	int rc = elf_load(file, size, ram, &image, error);

	if (rc < 0)
		return rc;
	if (!image.has_pvh_entry)
		return error_set(
			error, ENOEXEC,
			"an ELF file without a PVH entry: if it is a vmlinux, it was built "
			"without CONFIG_PVH, and its bzImage is wanted");
	if (image.pvh_entry >= GPA_LOW_RAM_MAX || !guest_ram_at(ram, image.pvh_entry, 1))
		return error_set(error, ENOEXEC, "broken: its PVH entry point %#llx is not in RAM",
				 (unsigned long long)image.pvh_entry);
	*ret = (struct linux_kernel){
		.entry = image.pvh_entry,
		.end = image.end,
		.initrd_limit = GPA_HIGH_RAM, /* Linux keeps 32 bits of it */
		.cmdline_max = PVH_CMDLINE_MAX,
	};
	return 0;
}

int pvh_finish(const struct guest_ram *ram, const struct linux_initrd *initrd, struct error *error)
{
	struct pvh_page *page = guest_ram_at(ram, GPA_PVH_INFO, sizeof(*page));
	struct e820_range ranges[E820_RANGES_MAX];
	unsigned int count;

	if (!page)
		return error_set(error, EFBIG, "no room for start information: give it more RAM");
	memset(page, 0, sizeof(*page));
	count = e820_fill(ram, ranges);
	for (unsigned int i = 0; i < count; i++)
		page->ranges[i] = (struct pvh_range){
			.gpa = ranges[i].gpa, .size = ranges[i].size, .type = ranges[i].type};
	page->initrd = (struct pvh_module){.gpa = initrd->gpa, .size = initrd->size};
	page->info = (struct pvh_start_info){
		.magic = PVH_MAGIC,
		.version = PVH_VERSION,
		.modules_count = initrd->size ? 1 : 0,
		.modules = initrd->size ? GPA_PVH_INFO + offsetof(struct pvh_page, initrd) : 0,
		.cmdline = GPA_CMDLINE,
		.rsdp = GPA_ACPI,
		.memory_map = GPA_PVH_INFO + offsetof(struct pvh_page, ranges),
		.memory_map_count = count,
	};
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Boot information under QEMU, made from what PVH tells (Xen's
 * xen/include/public/arch-x86/hvm/start_info.h): what forkvm's loader would have written.
 *
 * This is ring 0, which some hosts emulate: it runs once, in the template, and does little.
 */
#include "guest-stubs/runtime/stub.h"

#define PVH_MAGIC	   0x336ec578u
#define RANGE_RAM	   1
#define FOUR_GIB	   (1ull << 32)
#define GIB		   (1ull << 30)
#define LARGE_PAGE	   (2ull << 20)
#define ENTRIES		   512
#define PTE_TABLE	   0x27 /* accessed, user, writable, present */
#define PTE_PAGE	   0xe7 /* and large, dirty */
#define MAPPED_DIRECTORIES 4	/* by pvh.S */

struct start_info {
	uint32_t magic, version, flags, modules_count;
	uint64_t modules, cmdline, rsdp, memory_map;
	uint32_t memory_map_count, reserved;
};

struct range {
	uint64_t gpa, size;
	uint32_t type, reserved;
};

extern uint64_t pvh_pdpt[ENTRIES];
extern char stub_image_end[];
const struct forkvm_boot_info *pvh_boot_info(const struct start_info *start);

static struct forkvm_boot_info boot_info;

/* Where RAM ends: that with the image in it, and that above 4 GiB. */
static void find_ram(const struct start_info *start)
{
	const struct range *map = (const struct range *)start->memory_map;

	for (uint32_t i = 0; i < start->memory_map_count; i++) {
		uint64_t end = map[i].gpa + map[i].size;

		if (map[i].type != RANGE_RAM)
			continue;
		if (map[i].gpa <= FORKVM_STUB_LOAD_GPA && end > FORKVM_STUB_LOAD_GPA)
			boot_info.low_ram_end = end & -(uint64_t)STUB_PAGE_SIZE;
		else if (map[i].gpa == FOUR_GIB)
			boot_info.high_ram_end = end & -(uint64_t)STUB_PAGE_SIZE;
	}
	boot_info.ram_size = boot_info.low_ram_end;
	if (boot_info.high_ram_end)
		boot_info.ram_size += boot_info.high_ram_end - FOUR_GIB;
}

/* Map RAM above 4 GiB; its tables are in the first free pages. */
static void map_high_ram(void)
{
	uint64_t index = MAPPED_DIRECTORIES;

	for (uint64_t base = FOUR_GIB; base < boot_info.high_ram_end; base += GIB) {
		uint64_t *directory = (uint64_t *)boot_info.free_start;

		boot_info.free_start += STUB_PAGE_SIZE;
		for (unsigned int i = 0; i < ENTRIES; i++)
			directory[i] = (base + i * LARGE_PAGE) | PTE_PAGE;
		pvh_pdpt[index++] = (uintptr_t)directory | PTE_TABLE;
	}
}

static void copy_args(const char *from)
{
	while (from && *from && boot_info.args_len < FORKVM_MAX_ARGS - 1)
		boot_info.args[boot_info.args_len++] = *from++;
}

/* What is not as it should be leaves the magic out, of which the runtime complains. */
const struct forkvm_boot_info *pvh_boot_info(const struct start_info *start)
{
	if (start->magic == PVH_MAGIC && start->version >= 1) {
		boot_info.magic = FORKVM_ABI_MAGIC;
		boot_info.version = FORKVM_ABI_VERSION;
	}
	boot_info.vcpus = 1;
	boot_info.free_start =
		((uintptr_t)stub_image_end + STUB_PAGE_SIZE - 1) & -(uint64_t)STUB_PAGE_SIZE;
	find_ram(start);
	map_high_ram();
	copy_args((const char *)start->cmdline);
	return &boot_info;
}

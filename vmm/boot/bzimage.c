/* SPDX-License-Identifier: MIT */
/*
 * Loading a bzImage: see bzimage.h. The file is foreign: every number in it is checked before it is
 * used.
 */
#include "vmm/boot/bzimage.h"

#include <asm/bootparam.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/util.h"
#include "vmm/boot/e820.h"
#include "vmm/boot/longmode.h"
#include "vmm/boot/x86.h"

#define HEADER_AT	  offsetof(struct boot_params, hdr)
#define HEADER_END_AT	  0x202u /* the byte before it counts on from here to the header's end */
#define BOOT_FLAG	  0xaa55u
#define MAGIC		  0x53726448u /* "HdrS" */
#define VERSION_MIN	  0x020cu     /* has xloadflags: Linux 3.8 */
#define SECTOR		  512u
#define SETUP_DEFAULT	  4u /* sectors of setup code where the header says 0 */
#define PARAGRAPH	  16u
#define ENTRY_64	  0x200u
#define LOADER_UNASSIGNED 0xffu

static_assert(HEADER_AT == 0x1f1, "boot.rst, \"The Real-Mode Kernel Header\"");
static_assert(sizeof(struct boot_params) == PAGE_BYTES, "zero-page.rst");

/* The setup header of the file, zeros beyond its end. */
static struct setup_header read_header(const uint8_t *file, size_t size)
{
	struct setup_header header = {0};
	size_t end = min_u64(size, HEADER_AT + sizeof(header));

	if (end >= HEADER_END_AT)
		end = min_u64(end, HEADER_END_AT + (uint64_t)file[HEADER_END_AT - 1]);
	if (end > HEADER_AT)
		memcpy(&header, file + HEADER_AT, end - HEADER_AT);
	return header;
}

bool bzimage_is(const uint8_t *file, size_t size)
{
	struct setup_header header = read_header(file, size);

	return header.boot_flag == BOOT_FLAG && header.header == MAGIC;
}

static int check_header(const struct setup_header *header, struct error *error)
{
	if (header->version < VERSION_MIN)
		return error_set(error, EPROTONOSUPPORT,
				 "too old: it speaks boot protocol %u.%02u, and 2.12 (Linux 3.8) "
				 "is wanted",
				 header->version >> 8, header->version & 0xffu);
	if (!(header->loadflags & LOADED_HIGH))
		return error_set(error, ENOEXEC, "a zImage: a bzImage is wanted");
	if (!(header->xloadflags & XLF_KERNEL_64))
		return error_set(error, EPROTONOSUPPORT,
				 "a 32-bit kernel: one for x86-64 is wanted");
	if (header->init_size == 0 || header->cmdline_size == 0)
		return error_set(error, ENOEXEC, "broken: its setup header is not complete");
	if (header->relocatable_kernel &&
	    (header->kernel_alignment < PAGE_BYTES ||
	     (header->kernel_alignment & (header->kernel_alignment - 1))))
		return error_set(error, ENOEXEC, "broken: an alignment of %#x in its setup header",
				 header->kernel_alignment);
	return 0;
}

/* Where the kernel goes: where it wants to run, if it says that of a place there can be. */
static int choose_place(const struct setup_header *header, uint64_t *ret, struct error *error)
{
	bool is_sound = header->pref_address >= FORKVM_STUB_LOAD_GPA &&
			header->pref_address < GPA_LOW_RAM_MAX;

	if (!header->relocatable_kernel) {
		if (!is_sound)
			return error_set(error, ENOEXEC,
					 "broken: it can run at %#llx only, where no RAM is",
					 (unsigned long long)header->pref_address);
		*ret = header->pref_address;
	} else {
		*ret = round_up(is_sound ? header->pref_address : GPA_KERNEL,
				header->kernel_alignment);
	}
	return 0;
}

/* The part of the file that is loaded. */
static int find_payload(const struct setup_header *header, size_t size, size_t *ret_offset,
			struct error *error)
{
	size_t sectors = header->setup_sects ? header->setup_sects : SETUP_DEFAULT;
	size_t offset = (sectors + 1) * SECTOR;
	uint64_t wanted = (uint64_t)header->syssize * PARAGRAPH;

	if (wanted <= ENTRY_64)
		return error_set(error, ENOEXEC, "broken: %llu bytes of kernel by its header",
				 (unsigned long long)wanted);
	if (size < offset || size - offset < wanted)
		return error_set(error, EBADMSG,
				 "truncated: %zu KiB, its header wants %llu: fetch or build it "
				 "again",
				 size / (size_t)KIB, (unsigned long long)((offset + wanted) / KIB));
	*ret_offset = offset;
	return 0;
}

int bzimage_load(const uint8_t *file, size_t size, const struct guest_ram *ram,
		 struct linux_kernel *ret, struct error *error)
{
	struct setup_header header = read_header(file, size);
	struct boot_params *params = guest_ram_at(ram, GPA_BOOT_INFO, sizeof(*params));
	uint64_t place = 0, takes;
	size_t offset = 0;
	void *at;
	int rc = check_header(&header, error);

	if (rc == 0)
		rc = find_payload(&header, size, &offset, error);
	if (rc == 0)
		rc = choose_place(&header, &place, error);
	if (rc < 0)
		return rc;
	takes = max_u64(header.init_size, size - offset);
	at = guest_ram_at(ram, place, takes);
	if (!at || !params)
		return error_set(error, EFBIG,
				 "the kernel takes %llu MiB from %llu MiB on, and there are %llu "
				 "MiB of RAM: give it more",
				 (unsigned long long)(round_up(takes, MIB) / MIB),
				 (unsigned long long)(place / MIB),
				 (unsigned long long)(ram->size / MIB));
	memcpy(at, file + offset, size - offset);
	memset(params, 0, sizeof(*params));
	params->hdr = header;
	*ret = (struct linux_kernel){
		.is_64bit = true,
		.entry = place + ENTRY_64,
		.end = place + takes,
		.initrd_limit = header.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G
					? GPA_HIGH_RAM
					: (uint64_t)header.initrd_addr_max + 1,
		.cmdline_max = header.cmdline_size,
	};
	return 0;
}

static void fill_memory_map(const struct guest_ram *ram, struct boot_params *params)
{
	struct e820_range ranges[E820_RANGES_MAX];
	unsigned int count = e820_fill(ram, ranges);

	static_assert(E820_RANGES_MAX <= E820_MAX_ENTRIES_ZEROPAGE, "the zero page has room");
	for (unsigned int i = 0; i < count; i++)
		params->e820_table[i] = (struct boot_e820_entry){
			.addr = ranges[i].gpa, .size = ranges[i].size, .type = ranges[i].type};
	params->e820_entries = (uint8_t)count;
}

/* "64-bit Boot Protocol": __BOOT_CS is 0x10, __BOOT_DS is 0x18. */
static int write_descriptors(const struct guest_ram *ram, struct error *error)
{
	const uint64_t table[] = {
		0,
		0,
		x86_descriptor(x86_flat_segment(SEGMENT_CODE_64, X86_BOOT_CS)),
		x86_descriptor(x86_flat_segment(SEGMENT_DATA, X86_BOOT_DS)),
	};
	void *at = guest_ram_at(ram, GPA_BOOT_GDT, sizeof(table));

	if (!at)
		return error_set(error, EFBIG, "no room for a descriptor table: give it more RAM");
	memcpy(at, table, sizeof(table));
	return 0;
}

int bzimage_finish(const struct guest_ram *ram, const struct linux_initrd *initrd,
		   struct error *error)
{
	struct boot_params *params = guest_ram_at(ram, GPA_BOOT_INFO, sizeof(*params));
	struct setup_header *header = &params->hdr;
	int rc;

	assert(params); /* bzimage_load has seen to it */
	header->type_of_loader = LOADER_UNASSIGNED;
	header->setup_data = 0;
	header->cmd_line_ptr = (uint32_t)GPA_CMDLINE;
	header->ramdisk_image = (uint32_t)initrd->gpa;
	header->ramdisk_size = (uint32_t)initrd->size;
	params->ext_ramdisk_image = (uint32_t)(initrd->gpa >> 32);
	params->ext_ramdisk_size = (uint32_t)(initrd->size >> 32);
	params->acpi_rsdp_addr = GPA_ACPI;
	fill_memory_map(ram, params);
	rc = write_descriptors(ram, error);
	if (rc == 0)
		rc = longmode_write_page_tables(ram, GPA_HIGH_RAM, error);
	return rc;
}

/* SPDX-License-Identifier: MIT */
/* The smallest kernels there are: see kernels.h. */
#include "tests/unit/vmm/boot/kernels.h"

#include <assert.h>
#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

static_assert(sizeof(struct kernels_bzimage) == KERNELS_SETUP + KERNELS_PAYLOAD, "packed");

void kernels_make_bzimage(struct kernels_bzimage *file)
{
	memset(file, 0xff, sizeof(*file)); /* what is not of the header must not be looked at */
	memset(file->payload, KERNELS_CODE, sizeof(file->payload));
	file->header = (struct setup_header){
		.setup_sects = 1,
		.syssize = KERNELS_PAYLOAD / 16,
		.boot_flag = 0xaa55,
		.jump = 0x6aeb, /* over the header */
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 2 * MIB,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64 | XLF_CAN_BE_LOADED_ABOVE_4G,
		.cmdline_size = 2047,
		.setup_data = 0x1234,
		.pref_address = KERNELS_LOAD,
		.init_size = KERNELS_INIT_SIZE,
	};
}

void kernels_make_vmlinux(struct kernels_vmlinux *file)
{
	*file = (struct kernels_vmlinux){
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				       EV_CURRENT},
			   .e_type = ET_EXEC,
			   .e_machine = EM_X86_64,
			   .e_version = EV_CURRENT,
			   .e_entry = KERNELS_LOAD,
			   .e_phoff = offsetof(struct kernels_vmlinux, segments),
			   .e_ehsize = sizeof(Elf64_Ehdr),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD,
			      .p_offset = offsetof(struct kernels_vmlinux, payload),
			      .p_paddr = KERNELS_LOAD,
			      .p_filesz = KERNELS_PAYLOAD,
			      .p_memsz = KERNELS_INIT_SIZE},
			     {.p_type = PT_NOTE,
			      .p_offset = offsetof(struct kernels_vmlinux, note),
			      .p_filesz = sizeof(Elf64_Nhdr) + 4 + 8}},
		.note = {.n_namesz = 4, .n_descsz = 8, .n_type = 18},
		.name = "Xen",
		.entry = KERNELS_LOAD + 0x10,
	};
	memset(file->payload, KERNELS_CODE, sizeof(file->payload));
}

struct guest_ram kernels_make_ram(uint64_t size)
{
	struct error error = {0};
	struct guest_ram ram;

	cr_assert_eq(guest_ram_init(&ram, size, NULL, &error), 0, "%s", error.text);
	return ram;
}

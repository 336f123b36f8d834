/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/elf.c, with ELF files made here, byte by byte wrong. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/util.h"
#include "vmm/boot/image.h"

#define RAM_SIZE  (4 * MIB)
#define LOAD_GPA  ((uint64_t)FORKVM_STUB_LOAD_GPA)
#define TEXT_AT	  0x200u /* of the segment's bytes in the file */
#define TEXT_SIZE 16u
#define NOTE_AT	  0x300u
#define SEGMENTS  3

/* A file with room for everything: header, program headers, a text segment, a note. */
struct file {
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS];
	uint8_t rest[1024];
};

struct note {
	Elf64_Nhdr header;
	char name[8];
	struct forkvm_note desc;
};

static struct guest_ram ram;
static struct file file;
static struct image image;
static struct error error;

static void set_up(void)
{
	cr_assert_eq(guest_ram_init(&ram, RAM_SIZE, NULL, &error), 0, "%s", error.text);
	file = (struct file){
		.header =
			{
				.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					    ELFDATA2LSB, EV_CURRENT},
				.e_type = ET_EXEC,
				.e_machine = EM_X86_64,
				.e_version = EV_CURRENT,
				.e_entry = LOAD_GPA,
				.e_phoff = offsetof(struct file, segments),
				.e_ehsize = sizeof(Elf64_Ehdr),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = 1,
			},
		.segments = {{
			.p_type = PT_LOAD,
			.p_offset = TEXT_AT,
			.p_vaddr = LOAD_GPA,
			.p_paddr = LOAD_GPA,
			.p_filesz = TEXT_SIZE,
			.p_memsz = 2 * TEXT_SIZE,
		}},
	};
	memset((uint8_t *)&file + TEXT_AT, 0x90, TEXT_SIZE);
	image = (struct image){.entry = 1, .end = 2, .needs = 3};
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(elf, .init = set_up, .fini = tear_down);

static int load(size_t size)
{
	error = (struct error){0};
	return elf_load((const uint8_t *)&file, size, &ram, &image, &error);
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
	cr_assert_eq(image.entry, 1);
	cr_assert_eq(image.end, 2);
	cr_assert_eq(image.needs, 3);
}

static struct note *add_note(void)
{
	struct note *note = (struct note *)(void *)((uint8_t *)&file + NOTE_AT);

	file.segments[1] =
		(Elf64_Phdr){.p_type = PT_NOTE, .p_offset = NOTE_AT, .p_filesz = sizeof(*note)};
	file.header.e_phnum = 2;
	*note = (struct note){
		.header = {.n_namesz = 7,
			   .n_descsz = sizeof(note->desc),
			   .n_type = FORKVM_NOTE_NEEDS},
		.name = FORKVM_NOTE_NAME,
		.desc = {.abi_version = FORKVM_ABI_VERSION, .needs = FORKVM_NEED_IRQCHIP},
	};
	return note;
}

Test(elf, a_good_one_is_loaded)
{
	const uint8_t *at = guest_ram_at(&ram, LOAD_GPA, 2 * TEXT_SIZE);

	accept();
	cr_assert_eq(image.entry, LOAD_GPA);
	cr_assert_eq(image.end, LOAD_GPA + 2 * TEXT_SIZE);
	cr_assert_eq(image.needs, FORKVM_NEED_CPUID, "the default, without a note");
	for (size_t i = 0; i < 2 * TEXT_SIZE; i++)
		cr_assert_eq(at[i], i < TEXT_SIZE ? 0x90 : 0);
}

/* Every shorter file ends inside something: header, program headers or segment. */
Test(elf, truncated_anywhere)
{
	for (size_t size = 0; size < TEXT_AT + TEXT_SIZE; size++) {
		cr_assert_eq(load(size), -ENOEXEC, "%zu bytes: %s", size, error.text);
		cr_assert_not_null(strstr(error.text, "truncated"), "%zu: %s", size, error.text);
	}
	cr_assert_eq(load(TEXT_AT + TEXT_SIZE), 0, "%s", error.text);
}

Test(elf, not_an_elf)
{
	memcpy(&file, "#!/bin/sh\n", 10);
	refuse(ENOEXEC, "not an ELF");
}

Test(elf, of_another_architecture)
{
	file.header.e_machine = EM_AARCH64;
	refuse(ENOEXEC, "wrong architecture");
	file.header.e_machine = EM_X86_64;
	file.header.e_ident[EI_CLASS] = ELFCLASS32;
	refuse(ENOEXEC, "wrong architecture");
	file.header.e_ident[EI_CLASS] = ELFCLASS64;
	file.header.e_ident[EI_DATA] = ELFDATA2MSB;
	refuse(ENOEXEC, "wrong architecture");
}

Test(elf, of_another_type)
{
	static const uint16_t types[] = {ET_NONE, ET_REL, ET_DYN, ET_CORE};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		file.header.e_type = types[i];
		refuse(ENOEXEC, "static");
	}
}

Test(elf, dynamically_linked)
{
	file.segments[1] = (Elf64_Phdr){.p_type = PT_INTERP};
	file.header.e_phnum = 2;
	refuse(ENOEXEC, "dynamically");
}

Test(elf, program_headers_that_are_not)
{
	file.header.e_phnum = 0;
	refuse(ENOEXEC, "no program headers");
	file.header.e_phnum = 1;
	file.header.e_phentsize = sizeof(Elf64_Phdr) - 1;
	refuse(ENOEXEC, "no program headers");
	file.header.e_phentsize = sizeof(Elf64_Phdr);
	file.header.e_phoff = sizeof(file);
	refuse(ENOEXEC, "truncated");
	file.header.e_phoff = UINT64_MAX;
	refuse(ENOEXEC, "truncated");
	file.header.e_phoff = UINT64_MAX - sizeof(Elf64_Phdr) + 1;
	refuse(ENOEXEC, "truncated");
	file.header.e_phoff = sizeof(Elf64_Ehdr);
	file.header.e_phnum = UINT16_MAX;
	refuse(ENOEXEC, "truncated");
}

Test(elf, nothing_to_load)
{
	file.segments[0].p_type = PT_NULL;
	refuse(ENOEXEC, "nothing to load");
	file.segments[0].p_type = PT_LOAD;
	file.segments[0].p_filesz = file.segments[0].p_memsz = 0;
	refuse(ENOEXEC, "nothing to load");
}

Test(elf, segment_bytes_outside_the_file)
{
	file.segments[0].p_offset = sizeof(file) - TEXT_SIZE + 1;
	refuse(ENOEXEC, "truncated");
	file.segments[0].p_offset = UINT64_MAX;
	refuse(ENOEXEC, "truncated");
	file.segments[0].p_offset = UINT64_MAX - TEXT_SIZE + 1;
	refuse(ENOEXEC, "truncated");
	file.segments[0].p_offset = 1;
	file.segments[0].p_filesz = file.segments[0].p_memsz = UINT64_MAX;
	refuse(ENOEXEC, "truncated");
}

Test(elf, segment_larger_in_the_file_than_in_memory)
{
	file.segments[0].p_memsz = TEXT_SIZE - 1;
	refuse(ENOEXEC, "larger in the file");
}

Test(elf, segment_that_does_not_fit_the_ram)
{
	file.segments[0].p_memsz = RAM_SIZE - LOAD_GPA;
	accept();
	set_up();
	file.segments[0].p_memsz = RAM_SIZE - LOAD_GPA + 1;
	refuse(EFBIG, "does not fit");
	file.segments[0].p_memsz = UINT64_MAX - LOAD_GPA + 1; /* ends at 2^64 */
	refuse(EFBIG, "does not fit");
	file.segments[0].p_memsz = UINT64_MAX;
	refuse(EFBIG, "does not fit");
	file.segments[0].p_memsz = TEXT_SIZE;
	file.segments[0].p_paddr = RAM_SIZE - TEXT_SIZE + 1;
	refuse(EFBIG, "does not fit");
	file.segments[0].p_paddr = UINT64_MAX - TEXT_SIZE + 1;
	refuse(EFBIG, "does not fit");
	file.segments[0].p_paddr = GPA_LOW_RAM_MAX;
	refuse(EFBIG, "does not fit");
}

Test(elf, segment_over_the_boot_structures)
{
	file.segments[0].p_paddr = 0x1000;
	refuse(ENOEXEC, "lies below");
	file.segments[0].p_paddr = LOAD_GPA - 1;
	refuse(ENOEXEC, "lies below");
}

Test(elf, entry_outside_ram)
{
	file.header.e_entry = RAM_SIZE;
	refuse(ENOEXEC, "entry point");
	file.header.e_entry = UINT64_MAX;
	refuse(ENOEXEC, "entry point");
}

Test(elf, the_end_is_the_highest_of_all_segments)
{
	file.segments[1] = file.segments[2] = file.segments[0];
	file.segments[1].p_paddr = LOAD_GPA + MIB;
	file.segments[2].p_paddr = LOAD_GPA + 0x1000;
	file.header.e_phnum = 3;
	accept();
	cr_assert_eq(image.end, LOAD_GPA + MIB + 2 * TEXT_SIZE);
}

Test(elf, a_note_says_what_it_needs)
{
	add_note();
	accept();
	cr_assert_eq(image.needs, FORKVM_NEED_IRQCHIP);
	add_note()->desc.needs = 0;
	accept();
	cr_assert_eq(image.needs, 0);
}

Test(elf, a_note_for_another_abi)
{
	add_note()->desc.abi_version = FORKVM_ABI_VERSION + 1;
	refuse(ENOEXEC, "ABI 2");
}

/* What is not our note is left alone, however odd it is. */
Test(elf, notes_of_others)
{
	struct note *note = add_note();

	note->name[0] = 'x';
	accept();
	cr_assert_eq(image.needs, FORKVM_NEED_CPUID);
	note = add_note();
	note->header.n_type++;
	accept();
	cr_assert_eq(image.needs, FORKVM_NEED_CPUID);
	note = add_note();
	note->header.n_descsz = 4;
	accept();
	cr_assert_eq(image.needs, FORKVM_NEED_CPUID);
	note = add_note();
	note->header.n_namesz = UINT32_MAX;
	accept();
	note->header.n_namesz = 7;
	note->header.n_descsz = UINT32_MAX;
	accept();
	note->header.n_namesz = UINT32_MAX;
	accept();
	cr_assert_eq(image.needs, FORKVM_NEED_CPUID);
}

Test(elf, ours_behind_another_note)
{
	struct note *note = add_note();

	note[1] = note[0];
	note[0].header.n_type = 99;
	file.segments[1].p_filesz = 2 * sizeof(*note);
	accept();
	cr_assert_eq(image.needs, FORKVM_NEED_IRQCHIP);
	/* Empty notes: the walk must end. */
	memset(note, 0, 2 * sizeof(*note));
	accept();
	cr_assert_eq(image.needs, FORKVM_NEED_CPUID);
}

Test(elf, notes_outside_the_file)
{
	add_note();
	file.segments[1].p_offset = sizeof(file) - 1;
	refuse(ENOEXEC, "truncated");
	file.segments[1].p_offset = 0;
	file.segments[1].p_filesz = UINT64_MAX;
	refuse(ENOEXEC, "truncated");
}

Test(elf, a_note_cut_short)
{
	for (size_t size = 0; size < sizeof(struct note); size++) {
		add_note();
		file.segments[1].p_filesz = size;
		accept();
		cr_assert_eq(image.needs, FORKVM_NEED_CPUID, "%zu bytes of note", size);
	}
}

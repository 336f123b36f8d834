/* SPDX-License-Identifier: MIT */
/*
 * Loading static x86-64 ELF files: see image.h. Every offset and size in the file is checked
 * before it is used; the file is only ever read through in_file().
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/util.h"
#include "vmm/boot/image.h"

/* xen/include/public/elfnote.h: where a guest starts in 32-bit mode without paging. */
#define XEN_NOTE_NAME	      "Xen"
#define XEN_NOTE_PHYS32_ENTRY 18u

struct elf {
	const uint8_t *file;
	size_t size;
	Elf64_Ehdr header;
};

/* length bytes at offset, or NULL when they are not all in the file. */
static const void *in_file(const struct elf *elf, uint64_t offset, uint64_t length)
{
	if (offset > elf->size || length > elf->size - offset)
		return NULL;
	return elf->file + offset;
}

static int check_header(struct elf *elf, struct error *error)
{
	const void *header = in_file(elf, 0, sizeof(elf->header));

	if (!header)
		return error_set(error, ENOEXEC, "truncated: %zu bytes are less than an ELF header",
				 elf->size);
	memcpy(&elf->header, header, sizeof(elf->header));
	if (memcmp(elf->header.e_ident, ELFMAG, SELFMAG) != 0)
		return error_set(error, ENOEXEC, "not an ELF file");
	if (elf->header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf->header.e_ident[EI_DATA] != ELFDATA2LSB || elf->header.e_machine != EM_X86_64)
		return error_set(error, ENOEXEC,
				 "wrong architecture (class %u, machine %u): x86-64 is wanted",
				 elf->header.e_ident[EI_CLASS], elf->header.e_machine);
	if (elf->header.e_type != ET_EXEC)
		return error_set(error, ENOEXEC,
				 "ELF type %u: a static, non-relocatable executable is wanted",
				 elf->header.e_type);
	if (elf->header.e_phentsize != sizeof(Elf64_Phdr) || elf->header.e_phnum == 0)
		return error_set(error, ENOEXEC, "no program headers");
	if (!in_file(elf, elf->header.e_phoff, elf->header.e_phnum * sizeof(Elf64_Phdr)))
		return error_set(error, ENOEXEC, "truncated: program headers end outside the file");
	return 0;
}

static int load_segment(const struct elf *elf, const Elf64_Phdr *segment, unsigned int number,
			const struct guest_ram *ram, struct image *image, struct error *error)
{
	const void *bytes = in_file(elf, segment->p_offset, segment->p_filesz);
	void *at;

	if (segment->p_memsz == 0)
		return 0;
	if (!bytes)
		return error_set(error, ENOEXEC, "truncated: segment %u ends outside the file",
				 number);
	if (segment->p_filesz > segment->p_memsz)
		return error_set(error, ENOEXEC, "segment %u is larger in the file than in memory",
				 number);
	at = guest_ram_at(ram, segment->p_paddr, segment->p_memsz);
	if (!at)
		return error_set(error, EFBIG,
				 "segment %u, %llu KiB at %#llx, does not fit into %llu MiB of "
				 "RAM: give it more",
				 number, (unsigned long long)segment->p_memsz / KIB,
				 (unsigned long long)segment->p_paddr,
				 (unsigned long long)(ram->size / MIB));
	if (segment->p_paddr < FORKVM_STUB_LOAD_GPA)
		return error_set(error, ENOEXEC,
				 "segment %u at %#llx lies below %#x, where boot structures are",
				 number, (unsigned long long)segment->p_paddr,
				 FORKVM_STUB_LOAD_GPA);
	memcpy(at, bytes, segment->p_filesz);
	/* The rest of RAM is zeros already. A later segment may overlay an earlier one. */
	if (segment->p_paddr + segment->p_memsz > image->end)
		image->end = segment->p_paddr + segment->p_memsz;
	return 0;
}

/* The bytes of one note's name and description, which are all in the file. */
struct note {
	Elf64_Nhdr header;
	const uint8_t *name, *desc;
};

static bool note_is(const struct note *note, const char *name, uint32_t type)
{
	size_t size = strlen(name) + 1;

	return note->header.n_type == type && note->header.n_namesz == size &&
	       memcmp(note->name, name, size) == 0;
}

/* Keep what a note says that is for us. */
static int take_note(const struct note *note, struct image *image, struct error *error)
{
	uint32_t size = note->header.n_descsz;

	if (note_is(note, FORKVM_NOTE_NAME, FORKVM_NOTE_NEEDS) &&
	    size >= sizeof(struct forkvm_note)) {
		struct forkvm_note needs;

		memcpy(&needs, note->desc, sizeof(needs));
		if (needs.abi_version != FORKVM_ABI_VERSION)
			return error_set(error, ENOEXEC,
					 "built for stub ABI %u, this forkvm speaks %u",
					 needs.abi_version, FORKVM_ABI_VERSION);
		image->needs = needs.needs;
	} else if (note_is(note, XEN_NOTE_NAME, XEN_NOTE_PHYS32_ENTRY) &&
		   (size == sizeof(uint32_t) || size == sizeof(uint64_t))) {
		image->pvh_entry = 0;
		memcpy(&image->pvh_entry, note->desc, size);
		image->has_pvh_entry = true;
	}
	return 0;
}

/* Walk a PT_NOTE segment (gABI, "Note Section"). */
static int read_notes(const struct elf *elf, const Elf64_Phdr *segment, struct image *image,
		      struct error *error)
{
	const uint8_t *at = in_file(elf, segment->p_offset, segment->p_filesz);
	uint64_t left = segment->p_filesz;
	int rc = 0;

	if (!at)
		return error_set(error, ENOEXEC, "truncated: notes end outside the file");
	while (rc == 0 && left >= sizeof(Elf64_Nhdr)) {
		struct note note;
		uint64_t name_size, length;

		memcpy(&note.header, at, sizeof(note.header));
		name_size = round_up(note.header.n_namesz, 4);
		length = sizeof(note.header) + name_size + round_up(note.header.n_descsz, 4);
		if (length > left)
			return 0; /* not ours to judge: other tools' notes are often odd */
		note.name = at + sizeof(note.header);
		note.desc = note.name + name_size;
		rc = take_note(&note, image, error);
		at += length;
		left -= length;
	}
	return rc;
}

int elf_load(const uint8_t *file, size_t size, const struct guest_ram *ram, struct image *ret,
	     struct error *error)
{
	struct elf elf = {.file = file, .size = size};
	struct image image = {.needs = FORKVM_NEED_CPUID};
	int rc = check_header(&elf, error);

	for (unsigned int i = 0; rc == 0 && i < elf.header.e_phnum; i++) {
		Elf64_Phdr segment;

		memcpy(&segment, file + elf.header.e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type == PT_LOAD)
			rc = load_segment(&elf, &segment, i, ram, &image, error);
		else if (segment.p_type == PT_NOTE)
			rc = read_notes(&elf, &segment, &image, error);
		else if (segment.p_type == PT_INTERP)
			rc = error_set(error, ENOEXEC,
				       "dynamically linked: a static one is wanted");
	}
	if (rc < 0)
		return rc;
	if (image.end == 0)
		return error_set(error, ENOEXEC, "nothing to load in it");
	image.entry = elf.header.e_entry;
	if (!guest_ram_at(ram, image.entry, 1))
		return error_set(error, ENOEXEC, "entry point %#llx is not in RAM",
				 (unsigned long long)image.entry);
	*ret = image;
	return 0;
}

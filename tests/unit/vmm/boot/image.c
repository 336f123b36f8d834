/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/image.c. */
#include "vmm/boot/image.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stubs/stub_abi.h"
#include "tests/unit/helper.h"
#include "vmm/base/util.h"

static struct guest_ram make_ram(uint64_t size)
{
	struct error error = {0};
	struct guest_ram ram;

	cr_assert_eq(guest_ram_init(&ram, size, NULL, &error), 0, "%s", error.text);
	return ram;
}

/* image_load of path fails with code, and its words begin with the path and have part in them. */
static void refuse(const char *path, int code, const char *part)
{
	struct guest_ram ram = make_ram(2 * MIB);
	size_t fds = helper_count_fds();
	struct error error = {0};
	struct image image;

	cr_assert_eq(image_load(path, &ram, &image, &error), -code, "%s", error.text);
	cr_assert_eq(error.code, code);
	cr_assert_not_null(strstr(error.text, path), "'%s' does not name %s", error.text, path);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_eq(image_load(path, &ram, &image, NULL), -code, "without a place for words");
	cr_assert_eq(helper_count_fds(), fds);
	guest_ram_done(&ram);
}

Test(image, reads_a_file_whole)
{
	char path[HELPER_PATH_SIZE];
	struct error error = {0};
	uint8_t *bytes = NULL;
	size_t size = 0;

	helper_file(path, "", "some bytes", 10);
	cr_assert_eq(image_read(path, IMAGE_SIZE_MAX, &bytes, &size, &error), 0, "%s", error.text);
	cr_assert_eq(size, 10);
	cr_assert_eq(memcmp(bytes, "some bytes", 10), 0);
	free(bytes);
	unlink(path);
}

Test(image, missing)
{
	refuse("/nowhere/at/all", ENOENT, "No such file");
}

Test(image, empty)
{
	char path[HELPER_PATH_SIZE];

	helper_file(path, "", "", 0);
	refuse(path, ENODATA, "empty");
	unlink(path);
}

Test(image, not_a_regular_file)
{
	refuse("/dev/zero", EINVAL, "regular");
	refuse("/tmp", EINVAL, "regular");
}

/* Opening one waits for a writer, if it is not done with care. */
Test(image, a_fifo, .timeout = 10)
{
	char path[HELPER_PATH_SIZE];

	helper_path(path, ".fifo");
	cr_assert_eq(mkfifo(path, 0600), 0);
	refuse(path, EINVAL, "regular");
	unlink(path);
}

/* As somebody who is not root, who may read everything. */
static int load_as_nobody(void *context)
{
	struct error error = {0};
	struct image image;
	struct guest_ram ram;

	if (geteuid() == 0 && seteuid(65534) < 0)
		return 100;
	if (guest_ram_init(&ram, 2 * MIB, NULL, &error) < 0)
		return 101;
	if (image_load(context, &ram, &image, &error) != -EACCES)
		return 102;
	return strstr(error.text, "Permission denied") ? 0 : 103;
}

Test(image, no_permission)
{
	char path[HELPER_PATH_SIZE];

	helper_file(path, "", "x", 1);
	cr_assert_eq(chmod(path, 0), 0);
	cr_assert_eq(helper_in_child(load_as_nobody, path), 0);
	unlink(path);
}

Test(image, too_large)
{
	char path[HELPER_PATH_SIZE];

	helper_file(path, "", "x", 1);
	cr_assert_eq(truncate(path, IMAGE_SIZE_MAX + 1), 0);
	refuse(path, EFBIG, "256");
	unlink(path);
}

Test(image, neither_elf_nor_flat)
{
	char path[HELPER_PATH_SIZE];

	helper_file(path, ".txt", "just text", 9);
	refuse(path, ENOEXEC, "not an ELF");
	unlink(path);
	helper_file(path, "",
		    "\x7f"
		    "EL",
		    3);
	refuse(path, ENOEXEC, "not an ELF");
	unlink(path);
	/* The end of a folder's name is not the file's. */
	helper_file(path, ".bin.txt", "just text", 9);
	refuse(path, ENOEXEC, "not an ELF");
	unlink(path);
}

/* A file that starts as an ELF is one, whatever its name. */
Test(image, broken_elf_with_the_name_of_a_flat_one)
{
	char path[HELPER_PATH_SIZE];

	helper_file(path, ".bin",
		    "\x7f"
		    "ELF",
		    4);
	refuse(path, ENOEXEC, "truncated");
	unlink(path);
}

Test(image, flat_is_loaded_at_its_place)
{
	char path[HELPER_PATH_SIZE];
	struct guest_ram ram = make_ram(2 * MIB);
	struct error error = {0};
	struct image image;

	helper_file(path, ".bin", "\xf4\xf4", 2);
	cr_assert_eq(image_load(path, &ram, &image, &error), 0, "%s", error.text);
	cr_assert_eq(image.entry, FORKVM_STUB_LOAD_GPA);
	cr_assert_eq(image.end, FORKVM_STUB_LOAD_GPA + 2);
	cr_assert_eq(image.needs, FORKVM_NEED_CPUID);
	cr_assert_eq(memcmp(guest_ram_at(&ram, FORKVM_STUB_LOAD_GPA, 3), "\xf4\xf4\0", 3), 0);
	guest_ram_done(&ram);
	unlink(path);
}

Test(image, flat_up_to_the_last_byte_of_ram)
{
	struct guest_ram ram = make_ram(2 * MIB);
	uint8_t *bytes = calloc(1, MIB + 1);
	struct error error = {0};
	struct image image;

	cr_assert_eq(flat_load(bytes, MIB, &ram, &image, &error), 0, "%s", error.text);
	cr_assert_eq(flat_load(bytes, MIB + 1, &ram, &image, &error), -EFBIG);
	cr_assert_not_null(strstr(error.text, "give it more"), "%s", error.text);
	free(bytes);
	guest_ram_done(&ram);
}

Test(image, the_stubs_load)
{
	static const char *const stubs[] = {STUB("hello"), STUB("echo"), STUB("fpu"), STUB("smp")};
	struct guest_ram ram = make_ram(8 * MIB);
	struct error error = {0};
	struct image image;

	for (size_t i = 0; i < ARRAY_SIZE(stubs); i++) {
		cr_assert_eq(image_load(stubs[i], &ram, &image, &error), 0, "%s", error.text);
		cr_assert_geq(image.entry, FORKVM_STUB_LOAD_GPA);
		cr_assert_lt(image.entry, image.end);
	}
	guest_ram_done(&ram);
}

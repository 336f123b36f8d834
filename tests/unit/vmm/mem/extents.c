/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/mem/extents.c. */
#include "vmm/mem/extents.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "vmm/base/util.h"

static void touch(const struct guest_ram *ram, gpa_t gpa)
{
	uint8_t *at = guest_ram_at(ram, gpa, 1);

	cr_assert_not_null(at);
	*at = 0xaa;
}

static struct guest_ram make_ram(uint64_t size)
{
	struct error error = {0};
	struct guest_ram ram;

	cr_assert_eq(guest_ram_init(&ram, size, NULL, &error), 0, "%s", error.text);
	return ram;
}

/* The extents as "gpa+size gpa+size ", in pages. */
static const char *describe(const struct extents *extents, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < extents->count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%llx+%llx ",
					 (unsigned long long)(extents->list[i].gpa / PAGE_BYTES),
					 (unsigned long long)(extents->list[i].size / PAGE_BYTES));
	return text;
}

static uint64_t expect(const struct guest_ram *ram, uint64_t gap, size_t max, const char *wanted)
{
	struct error error = {0};
	struct extents extents;
	uint64_t populated = 0;
	char text[256];

	cr_assert_eq(extents_find(ram, gap, max, &extents, &populated, &error), 0, "%s",
		     error.text);
	cr_assert_str_eq(describe(&extents, text, sizeof(text)), wanted);
	extents_done(&extents);
	return populated;
}

Test(extents, nothing_populated)
{
	struct guest_ram ram = make_ram(8 * MIB);

	cr_assert_eq(expect(&ram, 0, 16, ""), 0);
	guest_ram_done(&ram);
}

Test(extents, each_run_of_pages_is_one)
{
	struct guest_ram ram = make_ram(8 * MIB);

	touch(&ram, 0);
	touch(&ram, 0x5000);
	touch(&ram, 0x6fff);
	touch(&ram, 8 * MIB - 1);
	cr_assert_eq(expect(&ram, 0, 16, "0+1 5+2 7ff+1 "), 4 * PAGE_BYTES);
	guest_ram_done(&ram);
}

Test(extents, neighbours_closer_than_the_gap_become_one)
{
	struct guest_ram ram = make_ram(8 * MIB);

	touch(&ram, 0x1000);
	touch(&ram, 0x4000); /* two pages between */
	touch(&ram, 0x10000);
	cr_assert_eq(expect(&ram, 2 * PAGE_BYTES, 16, "1+1 4+1 10+1 "), 3 * PAGE_BYTES);
	cr_assert_eq(expect(&ram, 2 * PAGE_BYTES + 1, 16, "1+4 10+1 "), 3 * PAGE_BYTES);
	guest_ram_done(&ram);
}

Test(extents, the_gap_grows_until_they_are_few_enough)
{
	struct guest_ram ram = make_ram(64 * MIB);

	/* Distances 2, 4, 8, ... 128 pages. */
	for (uint64_t page = 1; page <= 128; page *= 2)
		touch(&ram, page * PAGE_BYTES);
	expect(&ram, PAGE_BYTES, 16, "1+2 4+1 8+1 10+1 20+1 40+1 80+1 ");
	expect(&ram, PAGE_BYTES, 7, "1+2 4+1 8+1 10+1 20+1 40+1 80+1 ");
	expect(&ram, PAGE_BYTES, 6, "1+4 8+1 10+1 20+1 40+1 80+1 ");
	expect(&ram, PAGE_BYTES, 2, "1+40 80+1 ");
	expect(&ram, PAGE_BYTES, 1, "1+80 ");
	guest_ram_done(&ram);
}

Test(extents, regions_are_never_joined)
{
	struct guest_ram ram = make_ram(6 * GIB);

	touch(&ram, GPA_LOW_RAM_MAX - 1);
	touch(&ram, GPA_HIGH_RAM);
	touch(&ram, GPA_HIGH_RAM + 3 * GIB - 1);
	cr_assert_eq(expect(&ram, 64 * GIB, 16, "bffff+1 100000+c0000 "), 3 * PAGE_BYTES);
	cr_assert_eq(expect(&ram, 0, 16, "bffff+1 100000+1 1bffff+1 "), 3 * PAGE_BYTES);
	cr_assert_eq(expect(&ram, 1, 1, "bffff+1 100000+c0000 "), 3 * PAGE_BYTES);
	guest_ram_done(&ram);
}

Test(extents, all_is_one_for_each_region)
{
	struct guest_ram ram = make_ram(6 * GIB);
	struct error error = {0};
	struct extents extents;
	char text[64];

	cr_assert_eq(extents_all(&ram, &extents, &error), 0);
	cr_assert_str_eq(describe(&extents, text, sizeof(text)), "0+c0000 100000+c0000 ");
	extents_done(&extents);
	cr_assert_null(extents.list);
	guest_ram_done(&ram);
}

Test(extents, work_on_a_file_by_name)
{
	char path[HELPER_PATH_SIZE], text[64];
	struct error error = {0};
	struct extents extents;
	struct guest_ram ram;
	uint64_t populated;

	helper_path(path, ".ram");
	cr_assert_eq(guest_ram_init(&ram, 8 * MIB, path, &error), 0, "%s", error.text);
	touch(&ram, 4 * MIB);
	fsync(ram.fd);
	cr_assert_eq(extents_find(&ram, MIB, 16, &extents, &populated, &error), 0);
	/* A file system may report more than was written, up to everything, but never less. */
	cr_assert_eq(extents.count, 1, "%s", describe(&extents, text, sizeof(text)));
	cr_assert_leq(extents.list[0].gpa, 4 * MIB);
	cr_assert_gt(extents.list[0].gpa + extents.list[0].size, 4 * MIB);
	extents_done(&extents);
	guest_ram_done(&ram);
	unlink(path);
}

Test(extents, a_bad_descriptor_is_an_error)
{
	struct guest_ram ram = make_ram(2 * MIB);
	struct error error = {0};
	struct extents extents;
	uint64_t populated;
	int fd = ram.fd;

	ram.fd = -1;
	cr_assert_lt(extents_find(&ram, 0, 16, &extents, &populated, &error), 0);
	cr_assert_not_null(strstr(error.text, "populated"), "%s", error.text);
	ram.fd = fd;
	guest_ram_done(&ram);
}

/* What the memory file holds in pages, as its blocks tell. */
static size_t file_pages(const struct guest_ram *ram)
{
	struct extents extents;
	uint64_t populated;

	cr_assert_eq(extents_find(ram, 0, 1000, &extents, &populated, NULL), 0);
	extents_done(&extents);
	return populated / PAGE_BYTES;
}

Test(extents, detached_holes_read_as_zeros_and_leave_the_file_alone)
{
	struct guest_ram ram = make_ram(8 * MIB);
	struct error error = {0};
	struct extents extents;
	uint64_t populated;

	touch(&ram, 0x1000);
	touch(&ram, 0x4000);
	touch(&ram, 7 * MIB);
	cr_assert_eq(extents_find(&ram, PAGE_BYTES, 16, &extents, &populated, &error), 0);
	cr_assert_eq(guest_ram_seal(&ram, &error), 0, "%s", error.text);
	cr_assert_eq(extents_detach_holes(&ram, &extents, &error), 0, "%s", error.text);

	for (gpa_t at = 0; at < 8 * MIB; at += PAGE_BYTES) {
		bool is_data = at == 0x1000 || at == 0x4000 || at == 7 * MIB;

		cr_assert_eq(ram.host[at], is_data ? 0xaa : 0, "at %llx", (unsigned long long)at);
	}
	for (gpa_t at = 0; at < 8 * MIB; at += PAGE_BYTES)
		ram.host[at] = 0x55;
	cr_assert_eq(file_pages(&ram), 3);
	extents_done(&extents);
	guest_ram_done(&ram);
}

Test(extents, detach_holes_of_a_large_guest)
{
	struct guest_ram ram = make_ram(6 * GIB);
	struct error error = {0};
	struct extents extents;
	uint64_t populated;

	touch(&ram, GPA_LOW_RAM_MAX - 1);
	touch(&ram, GPA_HIGH_RAM + GIB);
	cr_assert_eq(extents_find(&ram, MIB, 16, &extents, &populated, &error), 0);
	cr_assert_eq(guest_ram_seal(&ram, &error), 0, "%s", error.text);
	cr_assert_eq(extents_detach_holes(&ram, &extents, &error), 0, "%s", error.text);
	cr_assert_eq(*(uint8_t *)guest_ram_at(&ram, GPA_LOW_RAM_MAX - 1, 1), 0xaa);
	cr_assert_eq(*(uint8_t *)guest_ram_at(&ram, GPA_HIGH_RAM + GIB, 1), 0xaa);
	touch(&ram, 0);
	touch(&ram, GPA_HIGH_RAM);
	touch(&ram, GPA_HIGH_RAM + 3 * GIB - 1);
	cr_assert_eq(file_pages(&ram), 2);
	extents_done(&extents);
	guest_ram_done(&ram);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/storage/qcow2.c. */
#include "forkserver/storage/qcow2.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

static uint8_t bytes[QCOW2_HEADER_SIZE];
static struct qcow2_header header;
static struct error error;

static void put(size_t at, size_t size, uint64_t value)
{
	for (size_t i = 0; i < size; i++)
		bytes[at + i] = (uint8_t)(value >> 8 * (size - 1 - i));
}

/* 1 GiB in clusters of 64 KiB: two tables. */
static void set_up(void)
{
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, "QFI\xfb", 4);
	put(4, 4, 3);
	put(20, 4, 16);
	put(24, 8, GIB);
	put(36, 4, 2);
	put(40, 8, 0x30000);
}

TestSuite(qcow2, .init = set_up);

static int parse(void)
{
	return qcow2_parse(bytes, sizeof(bytes), &header, &error);
}

static void refuse(int code, const char *words)
{
	header = (struct qcow2_header){.size = 77};
	cr_assert_eq(parse(), -code, "%s", words);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	cr_assert_eq(header.size, 77, "it is left alone");
	set_up();
}

Test(qcow2, good)
{
	cr_assert(qcow2_is(bytes, 4));
	cr_assert_not(qcow2_is(bytes, 3));
	cr_assert_eq(parse(), 0, "%s", error.text);
	cr_assert_eq(header.size, GIB);
	cr_assert_not(header.names_others);
	cr_assert_eq(header.least_bytes, 0x30000 + 16);
	put(4, 4, 2);
	cr_assert_eq(parse(), 0, "%s", error.text);
	cr_assert_eq(qcow2_parse(bytes, 72, &header, &error), 0);
}

Test(qcow2, other_files)
{
	put(8, 8, 104);
	cr_assert_eq(parse(), 0);
	cr_assert(header.names_others);
	set_up();
	put(72, 8, 4);
	cr_assert_eq(parse(), 0);
	cr_assert(header.names_others);
	put(4, 4, 2);
	cr_assert_eq(parse(), 0);
	cr_assert_not(header.names_others, "version 2 has no such bits");
}

Test(qcow2, refusals)
{
	bytes[0] = 'q';
	refuse(EINVAL, "no qcow2");
	put(4, 4, 4);
	refuse(EOPNOTSUPP, "version 4");
	put(32, 4, 2);
	refuse(EOPNOTSUPP, "encrypted");
	put(20, 4, 8);
	refuse(EINVAL, "cluster");
	put(20, 4, 22);
	refuse(EINVAL, "cluster");
	put(20, 4, UINT32_MAX);
	refuse(EINVAL, "cluster");
	put(24, 8, UINT64_MAX);
	refuse(EINVAL, "size");
	put(36, 4, 1);
	refuse(EINVAL, "number of tables");
	put(36, 4, UINT32_MAX);
	refuse(EINVAL, "number of tables");
	put(40, 8, 0x30001);
	refuse(EINVAL, "place");
	put(40, 8, UINT64_MAX << 16);
	refuse(EINVAL, "place");
}

Test(qcow2, cut_at_every_byte)
{
	for (size_t len = 0; len < sizeof(bytes); len++) {
		cr_assert_eq(qcow2_parse(bytes, len, &header, &error), -EINVAL, "%zu", len);
		cr_assert(len < 4 || strstr(error.text, "truncated"), "%zu: %s", len, error.text);
	}
}

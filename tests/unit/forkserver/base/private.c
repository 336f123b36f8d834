/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/private.c. */
#include "forkserver/base/private.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "vmm/base/util.h"

/* Can this process read the byte? Asked of the kernel, so that nothing crashes. */
static int can_read(void *at)
{
	int ends[2];
	ssize_t written;

	if (pipe(ends) < 0)
		return -1;
	written = write(ends[1], at, 1);
	close(ends[0]);
	close(ends[1]);
	return written == 1;
}

Test(private, zeros_that_can_be_written)
{
	uint8_t *memory = private_map(10 * PAGE_BYTES);

	cr_assert_not_null(memory);
	for (size_t i = 0; i < 10 * PAGE_BYTES; i++)
		cr_assert_eq(memory[i], 0);
	memset(memory, 1, 10 * PAGE_BYTES);
	private_discard(memory, 2 * PAGE_BYTES);
	cr_assert_eq(memory[0], 0);
	cr_assert_eq(memory[2 * PAGE_BYTES], 1);
	private_unmap(memory, 10 * PAGE_BYTES);
	private_unmap(NULL, 10 * PAGE_BYTES);
}

Test(private, a_child_does_not_have_it)
{
	uint8_t *memory = private_map(PAGE_BYTES);

	memory[0] = 1;
	cr_assert_eq(can_read(memory), 1);
	cr_assert_eq(helper_in_child(can_read, memory), 0);
	private_unmap(memory, PAGE_BYTES);
}

Test(private, more_than_there_can_be)
{
	errno = 0;
	cr_assert_null(private_map((size_t)1 << 60));
	cr_assert_eq(errno, ENOMEM);
}

static int parse_in_child(void *context)
{
	return can_read(context);
}

Test(private, json_values_are_in_it)
{
	json_t *value;

	cr_assert_eq(private_json_init(), 0);
	value = json_loads("{\"a\":[1,2,{\"b\":\"text\"}]}", 0, NULL);
	cr_assert_not_null(value);
	cr_assert_eq(json_array_size(json_object_get(value, "a")), 3);
	cr_assert_eq(helper_in_child(parse_in_child, value), 0);
	json_decref(value);
	private_json_reset();
}

/* The same memory serves one line after another; a line that would take too much is refused. */
Test(private, json_values_do_not_pile_up)
{
	static char line[131072];
	json_t *first, *value;

	cr_assert_eq(private_json_init(), 0);
	first = json_loads("[1]", 0, NULL);
	private_json_reset();
	memset(line, '[', 1);
	for (size_t i = 1; i + 3 < sizeof(line) - 2; i += 3)
		memcpy(line + i, "{},", 3);
	memcpy(line + strlen(line) - 1, "]", 1);
	for (int i = 0; i < 50; i++) {
		value = json_loads(line, 0, NULL);
		cr_assert_not_null(value, "round %d", i);
		private_json_reset();
	}
	value = json_loads("[1]", 0, NULL);
	cr_assert_eq(value, first, "from the start again");
	private_json_reset();
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/proto/line.c. */
#include "forkserver/proto/line.h"

#include <criterion/criterion.h>
#include <string.h>

static char memory[16];
static struct line_buffer buffer;

static void set_up(void)
{
	line_buffer_init(&buffer, memory, sizeof(memory));
}

TestSuite(line, .init = set_up);

static void receive(const char *text)
{
	size_t room, len = strlen(text);
	char *space = line_buffer_space(&buffer, &room);

	cr_assert_geq(room, len);
	memcpy(space, text, len);
	line_buffer_received(&buffer, len);
}

static void expect(const char *wanted)
{
	char *line = NULL;
	size_t len = 0;

	cr_assert(line_buffer_has_line(&buffer));
	cr_assert(line_buffer_next(&buffer, &line, &len));
	cr_assert_eq(len, strlen(wanted));
	cr_assert_eq(memcmp(line, wanted, len), 0, "%.*s", (int)len, line);
}

static void expect_none(size_t pending)
{
	char *line;
	size_t len;

	cr_assert_not(line_buffer_has_line(&buffer));
	cr_assert_not(line_buffer_next(&buffer, &line, &len));
	cr_assert_eq(line_buffer_pending(&buffer), pending);
}

Test(line, nothing_at_first)
{
	size_t room;

	expect_none(0);
	cr_assert_eq(line_buffer_space(&buffer, &room), memory);
	cr_assert_eq(room, sizeof(memory));
}

Test(line, one_and_many)
{
	receive("one\n");
	expect("one");
	expect_none(0);
	receive("a\n\nb\nc");
	expect("a");
	expect("");
	expect("b");
	expect_none(1);
	receive("d\n");
	expect("cd");
	expect_none(0);
}

Test(line, byte_by_byte)
{
	for (const char *at = "piece"; *at; at++) {
		char one[2] = {*at, '\0'};

		receive(one);
		cr_assert_not(line_buffer_has_line(&buffer));
	}
	receive("\n");
	expect("piece");
}

Test(line, bytes_are_not_text)
{
	char *line;
	size_t len, room;
	char *space = line_buffer_space(&buffer, &room);

	memcpy(space, "a\0b\n", 4);
	line_buffer_received(&buffer, 4);
	cr_assert(line_buffer_next(&buffer, &line, &len));
	cr_assert_eq(len, 3);
	cr_assert_eq(memcmp(line, "a\0b", 3), 0);
}

/* Room comes back as lines are taken, and what is unread survives the move. */
Test(line, room_is_used_again)
{
	size_t room;

	for (int i = 0; i < 100; i++) {
		receive("12345678\nabc");
		expect("12345678");
		expect_none(3);
		receive("d\n");
		expect("abcd");
	}
	line_buffer_space(&buffer, &room);
	cr_assert_eq(room, sizeof(memory));
}

Test(line, a_line_that_fills_all)
{
	size_t room;

	receive("0123456789abcde\n");
	line_buffer_space(&buffer, &room);
	cr_assert_eq(room, 0);
	expect("0123456789abcde");
	receive("0123456789abcdef");
	line_buffer_space(&buffer, &room);
	cr_assert_eq(room, 0, "no room, no line: it is too long");
	expect_none(16);
}

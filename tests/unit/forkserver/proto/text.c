/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/proto/text.c. */
#include "forkserver/proto/text.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect(const struct text *text, const char *wanted)
{
	cr_assert_eq(text->len, strlen(wanted), "%.*s", (int)text->len, text->data);
	cr_assert_eq(memcmp(text->data, wanted, text->len), 0, "%.*s", (int)text->len, text->data);
}

Test(text, piece_by_piece)
{
	char memory[32];
	struct text text;

	text_init(&text, memory, sizeof(memory));
	expect(&text, "");
	text_append(&text, "ab", 2);
	text_printf(&text, "%d-%s", 5, "x");
	text_append(&text, "", 0);
	expect(&text, "ab5-x");
	cr_assert_not(text.overflow);
}

Test(text, all_or_nothing)
{
	char memory[4];
	struct text text;

	text_init(&text, memory, sizeof(memory));
	text_append(&text, "abc", 3);
	text_append(&text, "de", 2);
	cr_assert(text.overflow);
	expect(&text, "abc");
	text_append(&text, "d", 1);
	expect(&text, "abc");
	text_printf(&text, "d");
	expect(&text, "abc");

	text_init(&text, memory, sizeof(memory));
	text_append(&text, "abcd", 4);
	cr_assert_not(text.overflow);
	text_printf(&text, "%s", "");
	expect(&text, "abcd");
}

Test(text, printf_that_does_not_fit)
{
	char memory[4];
	struct text text;

	text_init(&text, memory, sizeof(memory));
	text_printf(&text, "%s", "abc");
	cr_assert_not(text.overflow);
	text_printf(&text, "%s", "abc");
	cr_assert(text.overflow);
	expect(&text, "abc");
}

static void quote(const char *bytes, size_t len, const char *wanted)
{
	char memory[64];
	struct text text;

	text_init(&text, memory, sizeof(memory));
	text_json_string(&text, bytes, len);
	cr_assert_not(text.overflow);
	expect(&text, wanted);
}

Test(text, json_strings)
{
	quote("", 0, "\"\"");
	quote("plain text", 10, "\"plain text\"");
	quote("\"\\", 2, "\"\\\"\\\\\"");
	quote("a\nb\t\x01\x7f", 6, "\"a\\u000ab\\u0009\\u0001\\u007f\"");
	quote("a\0b", 3, "\"a\\u0000b\"");
	quote("\xc3\xa4\xff", 3, "\"???\"");
}

Test(text, json_string_that_does_not_fit)
{
	char memory[8];
	struct text text;

	text_init(&text, memory, sizeof(memory));
	text_json_string(&text, "\x01\x01", 2);
	cr_assert(text.overflow);
}

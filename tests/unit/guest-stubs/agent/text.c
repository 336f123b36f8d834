/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/text.c. */
#include "guest-stubs/agent/text.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(text, hex)
{
	static const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
	char buffer[16];
	struct text text = text_on(buffer, sizeof(buffer));

	text_hex(&text, bytes, sizeof(bytes));
	cr_assert_str_eq(buffer, "000fa5ff");
	cr_assert_eq(text.len, 8);
	cr_assert_not(text.cut);
	text_hex(&text, bytes, sizeof(bytes));
	cr_assert_str_eq(buffer, "000fa5ff000fa5f");
	cr_assert(text.cut);
}

static void expect_json(const char *string, const char *wanted)
{
	char buffer[128];
	struct text text = text_on(buffer, sizeof(buffer));

	text_json(&text, string);
	cr_assert_str_eq(buffer, wanted);
}

Test(text, json)
{
	expect_json("", "\"\"");
	expect_json("clone-7", "\"clone-7\"");
	expect_json("a\"b\\c", "\"a\\\"b\\\\c\"");
	expect_json("\n\x01\x7f", "\"\\u000a\\u0001\\u007f\"");
	expect_json("\xc3\xa9", "\"\xc3\xa9\"");
}

Test(text, is_cut_where_it_ends)
{
	char buffer[4];
	struct text text = text_on(buffer, sizeof(buffer));

	text_printf(&text, "%s", "abc");
	cr_assert(!text.cut && text.len == 3);
	text_printf(&text, "%d", 1);
	cr_assert(text.cut && text.len == 3);
	cr_assert_str_eq(buffer, "abc");
	text_json(&text, "x");
	cr_assert_str_eq(buffer, "abc");
	text = text_on(buffer, 1);
	text_hex(&text, "x", 1);
	cr_assert_str_eq(buffer, "");
}

Test(text, trim)
{
	char line[] = " a b \t\r\n", blank[] = " \n", none[] = "";

	text_trim(line);
	cr_assert_str_eq(line, " a b");
	text_trim(blank);
	cr_assert_str_eq(blank, "");
	text_trim(none);
	cr_assert_str_eq(none, "");
}

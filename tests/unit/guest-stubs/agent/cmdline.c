/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/cmdline.c. */
#include "guest-stubs/agent/cmdline.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_words(const char *text, const char *const *wanted)
{
	char line[256], *at = line, *word;

	strcpy(line, text);
	while ((word = cmdline_next(&at))) {
		cr_assert_not_null(*wanted, "'%s': one word more: '%s'", text, word);
		cr_assert_str_eq(word, *wanted, "'%s': '%s', not '%s'", text, word, *wanted);
		wanted++;
	}
	cr_assert_null(*wanted, "'%s': no word '%s'", text, *wanted);
	cr_assert_null(cmdline_next(&at));
}

#define EXPECT_WORDS(text, ...) expect_words(text, (const char *const[]){__VA_ARGS__ NULL})

Test(cmdline, words)
{
	EXPECT_WORDS("", );
	EXPECT_WORDS(" \n", );
	EXPECT_WORDS("quiet", "quiet", );
	EXPECT_WORDS("a=1  b=2\tc\n", "a=1", "b=2", "c", );
}

Test(cmdline, quotes_keep_blanks)
{
	EXPECT_WORDS("x=\"a b\" y", "x=a b", "y", );
	EXPECT_WORDS("\"x=a b\" y", "x=a b", "y", );
	EXPECT_WORDS("x=a\" \"b", "x=a b", );
	EXPECT_WORDS("x=\"\"", "x=", );
	EXPECT_WORDS("x=\"no end", "x=no end", );
	EXPECT_WORDS("\"\"", "", );
	EXPECT_WORDS("x='a b'", "x='a", "b'", );
}

static void expect_option(const char *text, const char *wanted_name, const char *wanted_value)
{
	char word[64], *name = NULL, *value = NULL;

	strcpy(word, text);
	cr_assert(cmdline_option(word, &name, &value), "'%s'", text);
	cr_assert_str_eq(name, wanted_name, "'%s'", text);
	if (wanted_value)
		cr_assert_str_eq(value, wanted_value, "'%s'", text);
	else
		cr_assert_null(value, "'%s'", text);
}

Test(cmdline, options)
{
	expect_option("forkvm.once", "once", NULL);
	expect_option("forkvm.once=", "once", "");
	expect_option("forkvm.setup=a=b c", "setup", "a=b c");
	expect_option("forkvm.hostname_prefix=my_vm", "hostname-prefix", "my_vm");
	expect_option("forkvm.", "", NULL);
}

Test(cmdline, others_words)
{
	static const char *const others[] = {"", "quiet", "forkvm", "xforkvm.once", "FORKVM.once"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		char word[64], *name = NULL, *value = NULL;

		strcpy(word, others[i]);
		cr_assert_not(cmdline_option(word, &name, &value), "'%s'", others[i]);
		cr_assert_null(name);
		cr_assert_str_eq(word, others[i]);
	}
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/options.c. */
#include "guest-stubs/agent/options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct options options;
static struct options_error error;

static void set_up(void)
{
	options_init(&options);
}

TestSuite(options, .init = set_up);

Test(options, start_values)
{
	cr_assert(options.reseed && options.clock && options.hostname && options.machine_id);
	cr_assert(options.hooks);
	cr_assert_not(options.once || options.stay || options.hooks_must_succeed);
	cr_assert_str_eq(options.hostname_prefix, "clone");
	cr_assert_eq(options.hook_timeout_s, 10);
	cr_assert_eq(options.pretend_clone, 0);
	cr_assert_eq(options.end, END_DEFAULT);
	cr_assert_null(options.handler);
}

Test(options, flags)
{
	static const char *const on[] = {NULL, "1", "on", "ON", "yes"};
	static const char *const off[] = {"0", "off", "No"};

	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
		options_init(&options);
		cr_assert_eq(options_set(&options, "once", on[i], &error), 0);
		cr_assert_eq(options_set(&options, "no-clock", on[i], &error), 0);
		cr_assert(options.once && !options.clock);
	}
	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		cr_assert_eq(options_set(&options, "once", off[i], &error), 0);
		cr_assert_eq(options_set(&options, "no-clock", off[i], &error), 0);
		cr_assert(!options.once && options.clock);
	}
	cr_assert_eq(options_set(&options, "once", "maybe", &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "maybe"));
}

Test(options, numbers)
{
	static const char *const bad[] = {"", "x", "-1", "1s", " 1", "1.5"};

	cr_assert_eq(options_set(&options, "hook-timeout", "0", &error), 0);
	cr_assert_eq(options.hook_timeout_s, 0);
	cr_assert_eq(options_set(&options, "handler-timeout", "86400", &error), 0);
	cr_assert_eq(options.handler_timeout_s, 86400);
	cr_assert_eq(options_set(&options, "hook-timeout", "86401", &error), -ERANGE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(options_set(&options, "hook-timeout", bad[i], &error), -EINVAL, "'%s'",
			     bad[i]);
	cr_assert_eq(options.hook_timeout_s, 0, "a bad value changes nothing");
}

Test(options, clone_ids)
{
	cr_assert_eq(options_set(&options, "pretend-clone", NULL, &error), 0);
	cr_assert_eq(options.pretend_clone, 1);
	cr_assert_eq(options_set(&options, "pretend-clone", "18446744073709551615", &error), 0);
	cr_assert_eq(options.pretend_clone, UINT64_MAX);
	cr_assert_eq(options_set(&options, "pretend-clone", "18446744073709551616", &error),
		     -ERANGE);
	cr_assert_eq(options_set(&options, "pretend-clone", "0", &error), -ERANGE);
}

Test(options, names_of_things)
{
	cr_assert_eq(options_set(&options, "end", "poweroff", &error), 0);
	cr_assert_eq(options.end, END_POWEROFF);
	cr_assert_eq(options_set(&options, "absent", "stay", &error), 0);
	cr_assert_eq(options.absent, END_STAY);
	cr_assert_eq(options_set(&options, "log", "both", &error), 0);
	cr_assert_eq(options.log, LOG_BOTH);
	cr_assert_eq(options_set(&options, "end", "explode", &error), -EINVAL);
	cr_assert_eq(options_set(&options, "log", "", &error), -EINVAL);
}

Test(options, lists)
{
	for (int i = 0; i < OPTIONS_LIST_MAX; i++)
		cr_assert_eq(options_set(&options, "setup", "true", &error), 0);
	cr_assert_eq(options_set(&options, "setup", "true", &error), -E2BIG);
	cr_assert_eq(options.setup.count, OPTIONS_LIST_MAX);
	cr_assert_eq(options.modules.count, 0);
}

Test(options, what_is_none)
{
	cr_assert_eq(options_set(&options, "no-such", "1", &error), -ENOENT);
	cr_assert_eq(options_set(&options, "", NULL, &error), -ENOENT);
	cr_assert_eq(options_set(&options, "handler", NULL, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "handler"));
}

Test(options, from_the_kernels_command_line)
{
	char line[] =
		"console=ttyS0 quiet forkvm.once forkvm.setup=\"echo a b\" forkvm.module=/x.ko "
		"forkvm.hostname_prefix=vm forkvm.setup=second -- --handler=no forkvm.stay";

	cr_assert_eq(options_from_cmdline(&options, line, &error), 0, "%s", error.text);
	cr_assert(options.once && !options.stay);
	cr_assert_eq(options.setup.count, 2);
	cr_assert_str_eq(options.setup.items[0], "echo a b");
	cr_assert_str_eq(options.setup.items[1], "second");
	cr_assert_str_eq(options.modules.items[0], "/x.ko");
	cr_assert_str_eq(options.hostname_prefix, "vm");
	cr_assert_null(options.handler);
}

Test(options, errors_of_the_kernels_command_line)
{
	char unknown[] = "forkvm.nope=1", valueless[] = "forkvm.handler";

	cr_assert_eq(options_from_cmdline(&options, unknown, &error), -ENOENT);
	cr_assert_eq(options_from_cmdline(&options, valueless, &error), -EINVAL);
}

static int from_argv(bool lenient, char *first, char *second)
{
	char name[] = "agent";
	char *argv[] = {name, first, second, NULL};

	return options_from_argv(&options, second ? 3 : 2, argv, lenient, &error);
}

Test(options, from_arguments)
{
	char apart[] = "--handler", value[] = "cat", joined[] = "--handler=sort -r";
	char flag[] = "--once", prefix[] = "--hostname-prefix";

	cr_assert_eq(from_argv(false, apart, value), 0);
	cr_assert_str_eq(options.handler, "cat");
	cr_assert_eq(from_argv(false, joined, flag), 0);
	cr_assert_str_eq(options.handler, "sort -r");
	cr_assert(options.once);
	cr_assert_eq(from_argv(false, prefix, NULL), -EINVAL);
}

Test(options, an_init_is_given_words_that_are_not_its_own)
{
	char word[] = "single", flag[] = "--once", unknown[] = "--bogus";

	cr_assert_eq(from_argv(true, word, flag), 0);
	cr_assert(options.once);
	cr_assert_eq(from_argv(false, word, flag), -EINVAL);
	cr_assert_eq(from_argv(true, unknown, NULL), -ENOENT);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/modules.c. */
#include "guest-stubs/agent/modules.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_split(const char *text, const char *wanted_path, const char *wanted_parameters)
{
	const char *path = NULL, *parameters = NULL;
	char line[128];

	strcpy(line, text);
	cr_assert(modules_split(line, &path, &parameters), "'%s'", text);
	cr_assert_str_eq(path, wanted_path);
	cr_assert_str_eq(parameters, wanted_parameters);
}

Test(modules, lines)
{
	expect_split("/lib/modules/virtio.ko\n", "/lib/modules/virtio.ko", "");
	expect_split("  kvm.ko \t nested=1 ept=0 \n", "kvm.ko", "nested=1 ept=0");
}

Test(modules, lines_that_name_none)
{
	static const char *const none[] = {"", "\n", "  \t\n", "# a comment\n", "  # another"};

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		const char *path = NULL, *parameters = NULL;
		char line[64];

		strcpy(line, none[i]);
		cr_assert_not(modules_split(line, &path, &parameters), "'%s'", none[i]);
		cr_assert_null(path);
	}
}

Test(modules, what_is_missing_is_counted)
{
	struct options options;

	options_init(&options);
	options.modules_list = "/nonexistent/list";
	options.modules.items[options.modules.count++] = "/nonexistent/a.ko";
	options.modules.items[options.modules.count++] = "b.ko x=1";
	options.modules_dir = "/nonexistent";
	cr_assert_eq(modules_insert(&options), 2);
}

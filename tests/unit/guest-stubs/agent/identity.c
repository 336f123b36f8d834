/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/identity.c. */
#include "guest-stubs/agent/identity.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

static struct identity example(void)
{
	struct identity identity = {
		.given = {.clone_id = UINT64_MAX, .wall_clock_ns = 5},
		.hostname = "clone-\"1\"",
		.machine_id = "00112233445566778899aabbccddeeff",
		.reseeded = true,
		.hooks_run = 3,
		.hooks_failed = 1,
	};

	memset(identity.given.generation_id, 0xab, FORKVM_GENERATION_ID_SIZE);
	memset(identity.given.seed, 0x5e, FORKVM_SEED_SIZE);
	memset(identity.from_urandom, 0x11, IDENTITY_DRAW_SIZE);
	memset(identity.from_getrandom, 0x22, IDENTITY_DRAW_SIZE);
	return identity;
}

static void expect_string(const json_t *root, const char *name, const char *wanted)
{
	const char *value = json_string_value(json_object_get(root, name));

	cr_assert_not_null(value, "%s", name);
	cr_assert_str_eq(value, wanted, "%s", name);
}

Test(identity, json)
{
	const struct identity identity = example();
	const struct identity_times times = {1700000000000000000, 2, 3};
	char buffer[2048], digits[65];
	struct text text = text_on(buffer, sizeof(buffer));
	json_t *root;

	identity_json(&text, &identity, 9, &times);
	cr_assert_not(text.cut);
	cr_assert_eq(buffer[text.len - 1], '\n');
	cr_assert_eq(strchr(buffer, '\n'), buffer + text.len - 1, "one line");
	cr_assert_not_null(strstr(buffer, "\"clone_id\":18446744073709551615,"));
	cr_assert_null(strstr(buffer, "5e5e5e5e"), "the seed is told");
	/* jansson's integers have a sign: that number was looked at above. */
	root = json_loads(strchr(buffer, ',') + 1, JSON_DISABLE_EOF_CHECK, NULL);
	cr_assert_null(root);
	*strstr(buffer, "18446744073709551615") = '0';
	memset(strstr(buffer, "08446744073709551615"), ' ', 19);
	root = json_loads(buffer, 0, NULL);
	cr_assert_not_null(root, "%s", buffer);
	expect_string(root, "generation_id", "abababababababababababababababab");
	expect_string(root, "hostname", "clone-\"1\"");
	expect_string(root, "machine_id", identity.machine_id);
	memset(digits, '1', 64);
	digits[64] = '\0';
	expect_string(root, "urandom", digits);
	memset(digits, '2', 64);
	expect_string(root, "getrandom", digits);
	cr_assert_eq(json_integer_value(json_object_get(root, "request_seq")), 9);
	cr_assert_eq(json_integer_value(json_object_get(root, "wall_clock_ns")),
		     1700000000000000000);
	cr_assert(json_is_true(json_object_get(root, "reseeded")));
	cr_assert(json_is_false(json_object_get(root, "clock_set")));
	cr_assert_eq(json_integer_value(json_object_get(root, "hooks_failed")), 1);
	json_decref(root);
}

Test(identity, hostnames)
{
	char hostname[IDENTITY_HOSTNAME_SIZE], prefix[100];

	identity_hostname(hostname, "clone", 7);
	cr_assert_str_eq(hostname, "clone-7");
	memset(prefix, 'x', sizeof(prefix));
	prefix[sizeof(prefix) - 1] = '\0';
	identity_hostname(hostname, prefix, UINT64_MAX);
	cr_assert_eq(strlen(hostname), IDENTITY_HOSTNAME_SIZE - 1);
	cr_assert_str_eq(strchr(hostname, '-'), "-18446744073709551615");
}

Test(identity, machine_ids)
{
	uint8_t random[16];
	char machine_id[IDENTITY_MACHINE_ID_SIZE];

	memset(random, 0xff, sizeof(random));
	identity_machine_id(machine_id, random);
	cr_assert_str_eq(machine_id, "ffffffffffff4fffbfffffffffffffff");
	memset(random, 0, sizeof(random));
	identity_machine_id(machine_id, random);
	cr_assert_str_eq(machine_id, "00000000000040008000000000000000");
}

static const char *find(const struct environment *environment, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; environment->variables[i]; i++) {
		if (!strncmp(environment->variables[i], name, len) &&
		    environment->variables[i][len] == '=')
			return environment->variables[i] + len + 1;
	}
	return NULL;
}

Test(identity, environments)
{
	char home[] = "HOME=/root", stale[] = "FORKVM_CLONE_ID=1";
	char *inherited[] = {home, stale, NULL};
	const struct identity identity = example();
	struct environment environment;

	environment_init(&environment, inherited);
	environment_add_identity(&environment, &identity, 4);
	cr_assert_str_eq(find(&environment, "HOME"), "/root");
	cr_assert_str_eq(find(&environment, "FORKVM_CLONE_ID"), "18446744073709551615");
	cr_assert_str_eq(find(&environment, "FORKVM_GENERATION_ID"),
			 "abababababababababababababababab");
	cr_assert_str_eq(find(&environment, "FORKVM_REQUEST_SEQ"), "4");
	cr_assert_str_eq(find(&environment, "FORKVM_HOOKS_FAILED"), "1");
	cr_assert_not_null(find(&environment, "PATH"));
	for (size_t i = 0; environment.variables[i]; i++)
		cr_assert_null(strstr(environment.variables[i], "5e5e5e5e"), "the seed is told");
}

Test(identity, an_environment_has_its_limits)
{
	char path[] = "PATH=/x", many[] = "A=1";
	char *inherited[ENVIRONMENT_MAX * 2];
	struct environment environment;
	size_t count = 0;

	inherited[0] = path;
	for (size_t i = 1; i < ENVIRONMENT_MAX * 2 - 1; i++)
		inherited[i] = many;
	inherited[ENVIRONMENT_MAX * 2 - 1] = NULL;
	environment_init(&environment, inherited);
	cr_assert_str_eq(find(&environment, "PATH"), "/x");
	cr_assert_not(environment_add(&environment, "B=%*d", ENVIRONMENT_SIZE, 1));
	while (environment_add(&environment, "C%zu=1", count))
		count++;
	cr_assert_lt(environment.count, ENVIRONMENT_MAX);
	cr_assert_null(environment.variables[environment.count]);
	cr_assert_str_eq(find(&environment, "C0"), "1");
}

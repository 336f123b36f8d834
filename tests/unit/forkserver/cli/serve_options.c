/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/cli/serve_options.c. */
#include "forkserver/cli/serve_options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

static struct serve_command command;
static struct error error;

/* Take options and values, by turns, as getopt would give them; a flag's value is NULL. */
static int take(const char *const *words)
{
	int rc = 0;

	error = (struct error){0};
	serve_options_init(&command);
	for (; rc == 0 && *words; words += 2) {
		const struct option *entry = serve_option_table;

		while (entry->name && strcmp(entry->name, words[0]) != 0)
			entry++;
		cr_assert_not_null(entry->name, "%s", words[0]);
		rc = serve_options_set(&command, entry->val, words[1], &error);
	}
	return rc == 0 ? serve_options_finish(&command, &error) : rc;
}

#define TAKE(...) take((const char *const[]){__VA_ARGS__, NULL})

static void expect_refusal(int rc, const char *word)
{
	cr_assert(rc == -EINVAL || rc == -ERANGE, "%d, %s", rc, word);
	cr_assert_not_null(strstr(error.text, word), "%s: %s", word, error.text);
}

Test(serve_options, one_guest_of_one_kind)
{
	expect_refusal(TAKE("mem", "64"), "--stub or --kernel");
	expect_refusal(TAKE("stub", "a", "kernel", "b"), "not both");
	cr_assert_eq(TAKE("stub", "a"), 0, "%s", error.text);
	cr_assert_str_eq(command.options.stub, "a");
	cr_assert_null(command.options.guest.kernel);
	cr_assert_eq(TAKE("kernel", "b", "initrd", "c", "cmdline", "d"), 0, "%s", error.text);
	cr_assert_null(command.options.stub);
	cr_assert_str_eq(command.options.guest.kernel, "b");
	cr_assert_str_eq(command.options.guest.initrd, "c");
	cr_assert_str_eq(command.options.guest.cmdline, "d");
}

Test(serve_options, what_only_one_kind_has)
{
	expect_refusal(TAKE("kernel", "a", "args", "b"), "--cmdline");
	expect_refusal(TAKE("stub", "a", "initrd", "b"), "--initrd is for Linux");
	expect_refusal(TAKE("stub", "a", "cmdline", "b"), "--args");
	expect_refusal(TAKE("stub", "a", "serial", "log"), "no serial port");
	expect_refusal(TAKE("template-on", "x", "stub", "a"), "no serial port");
}

Test(serve_options, what_depends_on_the_kind)
{
	cr_assert_eq(TAKE("stub", "a"), 0);
	cr_assert_not(command.options.machine.rng);
	cr_assert_eq(command.options.boot_timeout_ns, 30 * NS_PER_SEC);
	cr_assert_eq(TAKE("stub", "a", "rng", NULL), 0);
	cr_assert(command.options.machine.rng);
	cr_assert_eq(TAKE("kernel", "a"), 0);
	cr_assert(command.options.machine.rng);
	cr_assert_eq(command.options.boot_timeout_ns, 120 * NS_PER_SEC);
	cr_assert_eq(TAKE("no-rng", NULL, "kernel", "a", "boot-timeout", "0"), 0);
	cr_assert_not(command.options.machine.rng);
	cr_assert_eq(command.options.boot_timeout_ns, 0);
	expect_refusal(TAKE("kernel", "a", "rng", NULL, "no-rng", NULL), "not both");
}

Test(serve_options, serial_ports)
{
	static const struct {
		const char *text;
		struct serve_serial wanted;
	} good[] = {
		{"log", {SERVE_SERIAL_LOG, 0, NULL}},
		{"none", {SERVE_SERIAL_NONE, 0, NULL}},
		{"stdio", {SERVE_SERIAL_STDIO, 0, NULL}},
		{"fd:0", {SERVE_SERIAL_FD, 0, NULL}},
		{"fd:77", {SERVE_SERIAL_FD, 77, NULL}},
		{"./log", {SERVE_SERIAL_FILE, 0, "./log"}},
		{"/tmp/x", {SERVE_SERIAL_FILE, 0, "/tmp/x"}},
	};
	static const char *const bad[] = {"", "fd:", "fd:x", "fd:-1", "fd:99999999999", "fd:3 "};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const struct serve_serial *serial = &command.options.serial;

		cr_assert_eq(TAKE("kernel", "k", "serial", good[i].text), 0, "%s", error.text);
		cr_assert_eq(serial->kind, good[i].wanted.kind, "%s", good[i].text);
		cr_assert_eq(serial->fd, good[i].wanted.fd, "%s", good[i].text);
		cr_assert_eq(!serial->path, !good[i].wanted.path);
		if (serial->path)
			cr_assert_str_eq(serial->path, good[i].wanted.path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refusal(TAKE("kernel", "k", "serial", bad[i]), "--serial");
	cr_assert_eq(TAKE("kernel", "k"), 0);
	cr_assert_eq(command.options.serial.kind, SERVE_SERIAL_LOG, "where nothing is said");
}

Test(serve_options, patterns)
{
	char text[MACHINE_PATTERN_MAX + 2];

	memset(text, 'x', sizeof(text));
	text[MACHINE_PATTERN_MAX + 1] = '\0';
	expect_refusal(TAKE("kernel", "k", "template-on", text), "1 to 255");
	expect_refusal(TAKE("kernel", "k", "template-on", ""), "0 bytes");
	text[MACHINE_PATTERN_MAX] = '\0';
	cr_assert_eq(TAKE("kernel", "k", "template-on", text), 0, "%s", error.text);
	cr_assert_eq(command.options.machine.template_on, text);
}

Test(serve_options, times)
{
	cr_assert_eq(TAKE("stub", "a", "boot-timeout", "250ms", "freeze-after", "2m"), 0);
	cr_assert_eq(command.options.boot_timeout_ns, 250000000);
	cr_assert_eq(command.options.freeze_after_ns, 120 * NS_PER_SEC);
	expect_refusal(TAKE("stub", "a", "freeze-after", "soon"), "--freeze-after");
	cr_assert_eq(TAKE("stub", "a"), 0);
	cr_assert_eq(command.options.freeze_after_ns, 0);
}

Test(serve_options, spares)
{
	static const char *const bad[] = {
		"",	  ":",	 "x",  "3:",	":3",
		"3:2",	  "3:x", "-1", "1:2:3", "99999999999999999999999999",
		"4:10001"};
	const struct pool_limits *spares = &command.options.spares;

	cr_assert_eq(TAKE("stub", "a"), 0);
	cr_assert_eq(spares->high, 0, "none unless asked for");
	cr_assert_eq(TAKE("stub", "a", "spares", "7"), 0, "%s", error.text);
	cr_assert_eq(spares->low, 7);
	cr_assert_eq(spares->high, 7);
	cr_assert_eq(TAKE("stub", "a", "spares", "0:32", "spare-age", "5m", "spare-memory", "64",
			  "spare-rate", "100"),
		     0, "%s", error.text);
	cr_assert_eq(spares->low, 0);
	cr_assert_eq(spares->high, 32);
	cr_assert_eq(spares->age_ns, 300 * NS_PER_SEC);
	cr_assert_eq(spares->memory, 64 * MIB);
	cr_assert_eq(spares->rate, 100);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refusal(TAKE("stub", "a", "spares", bad[i]), "--spares");
	expect_refusal(TAKE("stub", "a", "spare-age", "5"), "(--spares)");
	expect_refusal(TAKE("stub", "a", "spare-cpus", "any"), "(--spares)");
	expect_refusal(TAKE("stub", "a", "spares", "0", "spare-rate", "5"), "(--spares)");
}

Test(serve_options, spare_cpus)
{
	static const char *const bad[] = {"", "auto,1", "1-", "3-1", "1,,2", "0x1", "1024"};
	const struct spare_cpus_options *cpus = &command.options.spare_cpus;

	cr_assert_eq(TAKE("stub", "a", "spares", "4"), 0, "%s", error.text);
	cr_assert_eq(cpus->how, CPU_SPLIT_AUTO);
	cr_assert_eq(TAKE("stub", "a", "spares", "4", "spare-cpus", "any"), 0, "%s", error.text);
	cr_assert_eq(cpus->how, CPU_SPLIT_NONE);
	cr_assert_eq(TAKE("stub", "a", "spares", "4", "spare-cpus", "1,4-6"), 0, "%s", error.text);
	cr_assert_eq(cpus->how, CPU_SPLIT_GIVEN);
	cr_assert_eq(CPU_COUNT(&cpus->cpus), 4);
	cr_assert_eq(TAKE("stub", "a", "spares", "4", "spare-cpus", "auto"), 0, "%s", error.text);
	cr_assert_eq(cpus->how, CPU_SPLIT_AUTO);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		expect_refusal(TAKE("stub", "a", "spares", "4", "spare-cpus", bad[i]),
			       "--spare-cpus");
}

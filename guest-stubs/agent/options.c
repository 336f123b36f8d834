/* SPDX-License-Identifier: MIT */
/*
 * Options, by one table: see options.h.
 */
#include "guest-stubs/agent/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "guest-stubs/agent/cmdline.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECONDS_MAX  (24ull * 60 * 60)

enum kind {
	FLAG,	    /* bool, set */
	FLAG_OFF,   /* bool, cleared */
	TEXT,	    /* const char *, empty allowed */
	LIST,	    /* struct options_list */
	SECONDS,    /* uint64_t */
	CLONE_ID,   /* uint64_t, from 1; 1 without a value */
	ACTION,	    /* enum end_action */
	LOG_TARGET, /* enum log_target */
};

static const struct option {
	const char *name;
	enum kind kind;
	size_t offset;
	const char *help;
} table[] = {
#define AT(member) offsetof(struct options, member)
	{"module", LIST, AT(modules), "PATH[ PARAMETERS]: insert this kernel module"},
	{"modules-dir", TEXT, AT(modules_dir), "DIR: where paths of modules start"},
	{"modules-list", TEXT, AT(modules_list), "FILE: modules to insert, one a line"},
	{"setup", LIST, AT(setup), "CMD: run before the template point"},
	{"freeze", LIST, AT(freeze), "CGROUP: stands still until a clone is renewed"},
	{"handler", TEXT, AT(handler), "CMD: run for each request"},
	{"handler-timeout", SECONDS, AT(handler_timeout_s), "SECONDS: how long it may take"},
	{"hooks-dir", TEXT, AT(hooks_dir), "DIR: what each new clone runs"},
	{"hook-timeout", SECONDS, AT(hook_timeout_s), "SECONDS: how long each hook may take"},
	{"hooks-must-succeed", FLAG, AT(hooks_must_succeed), "a clone whose hook fails ends"},
	{"hostname-prefix", TEXT, AT(hostname_prefix), "TEXT: clones are called TEXT-ID"},
	{"no-reseed", FLAG_OFF, AT(reseed), "leave the kernel's random generator alone"},
	{"no-clock", FLAG_OFF, AT(clock), "leave the wall clock alone"},
	{"no-hostname", FLAG_OFF, AT(hostname), "leave the hostname alone"},
	{"no-machine-id", FLAG_OFF, AT(machine_id), "leave the machine id alone"},
	{"no-hooks", FLAG_OFF, AT(hooks), "run no hooks"},
	{"serial-console", TEXT, AT(serial_console), "TEXT: a clone writes it to the console"},
	{"once", FLAG, AT(once), "end the clone after its first answer"},
	{"stay", FLAG, AT(stay), "after the first answer, keep the guest running"},
	{"end", ACTION, AT(end), "poweroff|reboot|halt|done|exit|stay: what the end is"},
	{"absent", ACTION, AT(absent), "the same, where there is no forkvm"},
	{"log", LOG_TARGET, AT(log), "console|host|both: where messages go"},
	{"verbose", FLAG, AT(verbose), "tell each step"},
	{"pretend-clone", CLONE_ID, AT(pretend_clone), "[=ID]: for tests: play the host"},
	{"pretend-request", LIST, AT(pretend_requests), "TEXT: a request of that host"},
	{"pretend-spare", FLAG, AT(pretend_spare), "that host has no request at first"},
	{"help", FLAG, AT(help), "print this"},
#undef AT
};

static const char *const action_names[] = {
	[END_DEFAULT] = "default", [END_POWEROFF] = "poweroff", [END_REBOOT] = "reboot",
	[END_HALT] = "halt",	   [END_DONE] = "done",		[END_EXIT] = "exit",
	[END_STAY] = "stay",
};
static const char *const log_names[] = {
	[LOG_CONSOLE] = "console",
	[LOG_HOST] = "host",
	[LOG_BOTH] = "both",
};

void options_init(struct options *options)
{
	*options = (struct options){
		.modules_dir = "/",
		.modules_list = "/etc/forkvm/modules",
		.hooks_dir = "/etc/forkvm/clone.d",
		.hostname_prefix = "clone",
		.hook_timeout_s = 10,
		.reseed = true,
		.clock = true,
		.hostname = true,
		.machine_id = true,
		.hooks = true,
	};
}

static int __attribute__((format(printf, 3, 4)))
fail(struct options_error *error, int number, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -number;
}

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < COUNT(table); i++) {
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

bool options_takes_value(const char *name)
{
	const struct option *option = find(name);

	return option && option->kind != FLAG && option->kind != FLAG_OFF &&
	       option->kind != CLONE_ID;
}

static int set_flag(const struct option *option, bool *flag, const char *value,
		    struct options_error *error)
{
	bool on;

	if (!value || !strcmp(value, "1") || !strcasecmp(value, "on") || !strcasecmp(value, "yes"))
		on = true;
	else if (!strcmp(value, "0") || !strcasecmp(value, "off") || !strcasecmp(value, "no"))
		on = false;
	else
		return fail(error, EINVAL, "%s: '%s' is neither on nor off", option->name, value);
	*flag = option->kind == FLAG ? on : !on;
	return 0;
}

static int set_number(const struct option *option, uint64_t *number, const char *value,
		      uint64_t min, uint64_t max, struct options_error *error)
{
	uint64_t parsed = 0;
	const char *at;

	for (at = value; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(parsed, 10, &parsed) ||
		    __builtin_add_overflow(parsed, (uint64_t)(*at - '0'), &parsed))
			return fail(error, ERANGE, "%s: %s is too large", option->name, value);
	}
	if (at == value || *at)
		return fail(error, EINVAL, "%s: '%s' is not a number", option->name, value);
	if (parsed < min || parsed > max)
		return fail(error, ERANGE, "%s: %s is out of range", option->name, value);
	*number = parsed;
	return 0;
}

static int set_name(const struct option *option, const char *const *names, size_t count,
		    const char *value, size_t *ret_index, struct options_error *error)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], value) == 0) {
			*ret_index = i;
			return 0;
		}
	}
	return fail(error, EINVAL, "%s: there is no '%s'", option->name, value);
}

static int set_list(const struct option *option, struct options_list *list, const char *value,
		    struct options_error *error)
{
	if (list->count == OPTIONS_LIST_MAX)
		return fail(error, E2BIG, "%s: more than %d of them", option->name,
			    OPTIONS_LIST_MAX);
	list->items[list->count++] = value;
	return 0;
}

int options_set(struct options *options, const char *name, const char *value,
		struct options_error *error)
{
	const struct option *option = find(name);
	size_t index = 0;
	void *member;
	int rc;

	if (!option)
		return fail(error, ENOENT, "there is no option '%s'", name);
	member = (char *)options + option->offset;
	if (!value && options_takes_value(name))
		return fail(error, EINVAL, "%s: a value is missing", name);
	switch (option->kind) {
	case FLAG:
	case FLAG_OFF:
		return set_flag(option, member, value, error);
	case TEXT:
		*(const char **)member = value;
		return 0;
	case LIST:
		return set_list(option, member, value, error);
	case SECONDS:
		return set_number(option, member, value, 0, SECONDS_MAX, error);
	case CLONE_ID:
		return set_number(option, member, value ? value : "1", 1, UINT64_MAX, error);
	case ACTION:
		rc = set_name(option, action_names, COUNT(action_names), value, &index, error);
		if (rc == 0)
			*(enum end_action *)member = (enum end_action)index;
		return rc;
	case LOG_TARGET:
		rc = set_name(option, log_names, COUNT(log_names), value, &index, error);
		if (rc == 0)
			*(enum log_target *)member = (enum log_target)index;
		return rc;
	}
	return -EINVAL;
}

int options_from_cmdline(struct options *options, char *line, struct options_error *error)
{
	char *word, *name, *value;

	while ((word = cmdline_next(&line)) && strcmp(word, "--") != 0) {
		int rc;

		if (!cmdline_option(word, &name, &value))
			continue;
		rc = options_set(options, name, value, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int options_from_argv(struct options *options, int argc, char **argv, bool lenient,
		      struct options_error *error)
{
	for (int i = 1; i < argc; i++) {
		char *name, *value;
		int rc;

		if (strncmp(argv[i], "--", 2) != 0 || !argv[i][2]) {
			if (lenient)
				continue;
			return fail(error, EINVAL, "'%s' is not an option", argv[i]);
		}
		name = argv[i] + 2;
		value = strchr(name, '=');
		if (value)
			*value++ = '\0';
		else if (options_takes_value(name) && i + 1 < argc)
			value = argv[++i];
		rc = options_set(options, name, value, error);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void options_print_usage(int fd)
{
	dprintf(fd, "usage: forkvm-agent [--OPTION [VALUE]]...\n\n");
	for (size_t i = 0; i < COUNT(table); i++)
		dprintf(fd, "  --%-20s %s\n", table[i].name, table[i].help);
}

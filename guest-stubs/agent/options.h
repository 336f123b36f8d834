/* SPDX-License-Identifier: MIT */
/*
 * The agent's options: from the kernel's command line, as forkvm.NAME=VALUE, and from its own, as
 * --NAME VALUE or --NAME=VALUE. forkvm-agent(8) describes each.
 */
#ifndef FORKVM_AGENT_OPTIONS_H
#define FORKVM_AGENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How often an option that can be repeated may be. */
#define OPTIONS_LIST_MAX 32

struct options_list {
	const char *items[OPTIONS_LIST_MAX];
	size_t count;
};

/* What is done when the agent has nothing left to do. */
enum end_action {
	END_DEFAULT, /* init: power off; a service: exit */
	END_POWEROFF,
	END_REBOOT,
	END_HALT,
	END_DONE, /* ring DONE */
	END_EXIT,
	END_STAY, /* stay there and reap children */
};

enum log_target {
	LOG_CONSOLE, /* standard error */
	LOG_HOST,    /* the doorbell, as soon as the host listens */
	LOG_BOTH,
};

/* Texts are not its own: they live as long as the command lines they were found in. */
struct options {
	struct options_list modules;
	struct options_list setup;
	struct options_list freeze;
	struct options_list pretend_requests;
	const char *modules_dir;
	const char *modules_list;
	const char *handler;
	const char *hooks_dir;
	const char *hostname_prefix;
	const char *serial_console;
	enum end_action end;
	enum end_action absent;
	enum log_target log;
	uint64_t hook_timeout_s;    /* 0: none */
	uint64_t handler_timeout_s; /* 0: none */
	uint64_t pretend_clone;	    /* 0: do not pretend */
	bool pretend_spare;
	bool reseed, clock, hostname, machine_id, hooks;
	bool hooks_must_succeed;
	bool once;
	bool stay;
	bool verbose;
	bool help;
};

struct options_error {
	char text[256];
};

void options_init(struct options *options);

/*
 * Set one option. value is NULL when none was given; a flag then is on, and takes on, off, yes, no,
 * 1, 0 else. -ENOENT: no such option; -EINVAL, -ERANGE: not a value for it; -E2BIG: repeated too
 * often. options_takes_value() tells whether the word after --NAME belongs to it.
 */
int options_set(struct options *options, const char *name, const char *value,
		struct options_error *error);
bool options_takes_value(const char *name);

/* All words of the kernel's command line, which is cut up. The first error is returned. */
int options_from_cmdline(struct options *options, char *line, struct options_error *error);

/*
 * The words of argv. The kernel gives an init every word that it did not understand itself, so with
 * lenient set, words that are no option are passed over; otherwise they are errors.
 */
int options_from_argv(struct options *options, int argc, char **argv, bool lenient,
		      struct options_error *error);

/* Print what options there are on fd. */
void options_print_usage(int fd);

#endif

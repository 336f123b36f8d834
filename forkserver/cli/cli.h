/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of the command line have in common.
 */
#ifndef FORKVM_FORKSERVER_CLI_CLI_H
#define FORKVM_FORKSERVER_CLI_CLI_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>

#include "forkserver/client/forkvm_client.h"
#include "vmm/base/error.h"

/* Exit statuses, the same for every verb; told in forkvm(1). */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,	     /* what was asked for was not done           */
	CLI_USAGE = 2,	     /* the command line is wrong                 */
	CLI_UNREACHABLE = 3, /* no server there, or it does not understand */
	CLI_CLONE = 4,	     /* a clone was made, but did not end well    */
};

/* A verb gets argv from its own name on and returns an exit status. */
typedef int verb_fn(int argc, char **argv);

struct verb {
	const char *name;
	verb_fn *run;
	const char *summary; /* one line */
	const char *usage;   /* what "help VERB" prints: synopsis and options */
};

/* All verbs, ended by one without a name. */
extern const struct verb cli_verbs[];

/* The verb of that name, or NULL. */
const struct verb *cli_find_verb(const char *name);

verb_fn cmd_serve, cmd_clone, cmd_list, cmd_inspect, cmd_kill, cmd_disk, cmd_freeze, cmd_stats,
	cmd_stop, cmd_version, cmd_help;

/* Options that each verb which talks to a server has. */
struct cli_target {
	const char *name;
	const char *socket;
	bool json;
};

#define CLI_TARGET_OPTIONS                                                                \
	{"name", required_argument, NULL, 'N'}, {"socket", required_argument, NULL, 'S'}, \
		{"json", no_argument, NULL, 'J'},                                         \
	{                                                                                 \
		"help", no_argument, NULL, 'H'                                            \
	}

/*
 * Next option as getopt_long gives it, with those of CLI_TARGET_OPTIONS taken care of. -1 at the
 * end. CLI_OPTION_EXIT: the verb is to return *ret_exit (help was asked for, or the option is wrong
 * and was complained about).
 */
#define CLI_OPTION_EXIT 0x10000
int cli_option(int argc, char **argv, const struct option *options, struct cli_target *target,
	       int *ret_exit);

/* For verbs without further options: parse them all. False: return *ret_exit. */
bool cli_parse_target(int argc, char **argv, struct cli_target *target, int *ret_exit);

/* "forkvm VERB: text" on standard error; returns status. */
int cli_complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same for a wrong command line, with a pointer to the help. Returns CLI_USAGE. */
int cli_misused(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Fill path by --socket or --name. */
int cli_socket_path(const struct cli_target *target, char path[FORKVM_SOCKET_PATH_SIZE],
		    struct error *error);

/* Connect, or complain: NULL then, with the status to exit with in *ret_exit. */
struct forkvm_client *cli_connect(const struct cli_target *target, int *ret_exit);

/*
 * Make a call and parse its reply: the value of its "ok", to be released by the caller. NULL: it
 * was complained about, *ret_exit is the status.
 */
json_t *cli_call(struct forkvm_client *client, const char *op, const char *members, int *ret_exit);

/*
 * The whole of a verb that makes one call: connect, call, print its reply as JSON if asked for, or
 * else by print. Returns the exit status.
 */
int cli_simple(const struct cli_target *target, const char *op, const char *members,
	       void (*print)(const json_t *reply));

/* Print a value as one line of JSON on standard output. */
void cli_print_json(const json_t *value);

/* Is everything that was printed out? CLI_OK, or CLI_FAILED with a complaint (a full disk, say). */
int cli_flush(void);

/*
 * Print guest bytes on a stream. To a terminal, control characters other than newline and tab are
 * shown as dots: a guest's text must not drive the user's terminal.
 */
void cli_print_guest(FILE *stream, const char *data, size_t len);

#endif

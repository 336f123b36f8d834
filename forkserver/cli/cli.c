/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of the command line have in common.
 */
#include "forkserver/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whose complaints these are; set when a verb begins with its options. */
static const char *verb_name = "";

static void complain(const char *format, va_list args)
{
	fprintf(stderr, "forkvm%s%s: ", verb_name[0] ? " " : "", verb_name);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

int cli_complain(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	return status;
}

int cli_misused(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain(format, args);
	va_end(args);
	fprintf(stderr, "Try \"forkvm help%s%s\".\n", verb_name[0] ? " " : "", verb_name);
	return CLI_USAGE;
}

const struct verb *cli_find_verb(const char *name)
{
	const struct verb *verb;

	for (verb = cli_verbs; verb->name; verb++) {
		if (!strcmp(verb->name, name))
			return verb;
	}
	return NULL;
}

static bool is_long(const char *word)
{
	return word[0] == '-' && word[1] == '-';
}

/* Is optopt a letter of a word like "-xyz"? getopt leaves that word at its place until it is
 * through. */
static bool in_cluster(int argc, char **argv)
{
	const char *word = optind < argc ? argv[optind] : "";

	return word[0] == '-' && word[1] != '-' && optopt && strchr(word + 1, optopt);
}

int cli_option(int argc, char **argv, const struct option *options, struct cli_target *target,
	       int *ret_exit)
{
	int option;

	if (cli_find_verb(argv[0]))
		verb_name = argv[0];
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (option) {
		case 'N':
			target->name = optarg;
			break;
		case 'S':
			target->socket = optarg;
			break;
		case 'J':
			target->json = true;
			break;
		case 'H':
			fputs(cli_find_verb(verb_name)->usage, stdout);
			*ret_exit = cli_flush();
			return CLI_OPTION_EXIT;
		case ':':
			*ret_exit = cli_misused("option %s needs a value", argv[optind - 1]);
			return CLI_OPTION_EXIT;
		case '?':
			if (in_cluster(argc, argv)) {
				*ret_exit = cli_misused("-%c is no option", optopt);
				return CLI_OPTION_EXIT;
			}
			*ret_exit = cli_misused("%s %s", argv[optind - 1],
						is_long(argv[optind - 1]) && optopt
							? "takes no value"
							: "is no option, or short for several");
			return CLI_OPTION_EXIT;
		default:
			return option;
		}
	}
	return -1;
}

bool cli_parse_target(int argc, char **argv, struct cli_target *target, int *ret_exit)
{
	static const struct option options[] = {CLI_TARGET_OPTIONS, {0}};

	return cli_option(argc, argv, options, target, ret_exit) == -1;
}

int cli_socket_path(const struct cli_target *target, char path[FORKVM_SOCKET_PATH_SIZE],
		    struct error *error)
{
	if (target->socket && target->name)
		return error_set(error, EINVAL, "give --socket or --name, not both");
	if (!target->socket)
		return forkvm_socket_path(target->name, path, error);
	if (!target->socket[0])
		return error_set(error, EINVAL, "--socket is empty");
	if (strlen(target->socket) >= FORKVM_SOCKET_PATH_SIZE)
		return error_set(error, ENAMETOOLONG,
				 "the socket path has %zu bytes where a Unix socket can have at "
				 "most %d: choose a shorter --socket",
				 strlen(target->socket), FORKVM_SOCKET_PATH_SIZE - 1);
	memcpy(path, target->socket, strlen(target->socket) + 1);
	return 0;
}

struct forkvm_client *cli_connect(const struct cli_target *target, int *ret_exit)
{
	char path[FORKVM_SOCKET_PATH_SIZE];
	struct forkvm_client *client = NULL;
	struct error error;

	if (cli_socket_path(target, path, &error) < 0) {
		*ret_exit = cli_misused("%s", error.text);
		return NULL;
	}
	if (forkvm_client_open(path, &client, &error) < 0) {
		*ret_exit = cli_complain(CLI_UNREACHABLE, "%s", error.text);
		return NULL;
	}
	return client;
}

json_t *cli_call(struct forkvm_client *client, const char *op, const char *members, int *ret_exit)
{
	const char *line;
	struct error error;
	json_t *reply;
	json_t *value;

	if (forkvm_client_call(client, op, members, &line, &error) < 0) {
		*ret_exit = cli_complain(CLI_FAILED, "%s", error.text);
		return NULL;
	}
	reply = json_loads(line, 0, NULL);
	value = json_incref(json_object_get(reply, "ok"));
	json_decref(reply);
	if (!value)
		*ret_exit = cli_complain(CLI_FAILED, "no memory for the reply");
	return value;
}

int cli_simple(const struct cli_target *target, const char *op, const char *members,
	       void (*print)(const json_t *reply))
{
	int status = CLI_OK;
	struct forkvm_client *client = cli_connect(target, &status);
	json_t *reply;

	if (!client)
		return status;
	reply = cli_call(client, op, members, &status);
	if (reply && target->json)
		cli_print_json(reply);
	else if (reply)
		print(reply);
	json_decref(reply);
	forkvm_client_close(client);
	return status == CLI_OK ? cli_flush() : status;
}

void cli_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
	putchar('\n');
}

int cli_flush(void)
{
	if (fflush(stdout) || ferror(stdout))
		return cli_complain(CLI_FAILED, "cannot write the output: %s", strerror(errno));
	return CLI_OK;
}

void cli_print_guest(FILE *stream, const char *data, size_t len)
{
	if (!isatty(fileno(stream))) {
		fwrite(data, 1, len, stream);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		putc((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '.' : c, stream);
	}
}

/* SPDX-License-Identifier: MIT */
/* clone_storm's command line. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/storm/storm.h"

#define REQUEST_MAX 65536 /* what the protocol takes */
#define COUNT_MAX   10000000u

static const char usage[] =
	"usage: clone_storm [OPTION...]\n"
	"\n"
	"Clone a template again and again, verify every clone's answer, print latency and memory.\n"
	"\n"
	"What is cloned\n"
	"  --stub NAME|PATH   guest to serve (default hello); decides what a right answer is\n"
	"  --mem MIB          its RAM (default 128)\n"
	"  --populate MIB     RAM it writes before it is frozen (default 0)\n"
	"  --cpus N           its vCPUs (default 1)\n"
	"  --request TEXT     what every clone is asked (default: nothing; echo: a line of text)\n"
	"  --socket PATH      use this running server (what it serves is then its own choice; "
	"name\n"
	"                     its stub with --stub); otherwise one is started and stopped\n"
	"How\n"
	"  --count N          clones in all (default 1000)\n"
	"  --concurrency N    under way at once (default 1; with --alive twice the CPUs; with "
	"--rate\n"
	"                     4096)\n"
	"  --rate R           open loop: R requests a second, whatever comes back; latency counts\n"
	"                     from the moment a request was due\n"
	"  --alive            keep all clones alive until the last has answered\n"
	"  --timeout S        give up when nothing happens for S seconds (default 30)\n"
	"Report\n"
	"  --floor            run floor too, before, and print how many times its figures\n"
	"  --json FILE        write a JSON report (-: standard output, instead of the table)\n"
	"  --html FILE        write a page with plots (needs gnuplot)\n"
	"  --help             this text\n";

static _Noreturn __attribute__((format(printf, 1, 2))) void refuse(const char *format, ...)
{
	va_list arguments;

	fputs("clone_storm: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\nclone_storm --help tells more\n", stderr);
	exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value < min || value > max)
		refuse("--%s %s: not a number from %llu to %llu", option, text,
		       (unsigned long long)min, (unsigned long long)max);
	return value;
}

static double rate(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	/* Written so that a NaN is refused too. */
	if (end == text || *end || !(value >= 0.001 && value <= 1e6))
		refuse("--rate %s: not a number from 0.001 to 1000000", text);
	return value;
}

enum {
	STUB = 1,
	MEM,
	POPULATE,
	CPUS,
	REQUEST,
	SOCKET,
	COUNT,
	CONCURRENCY,
	RATE,
	ALIVE,
	TIMEOUT,
	FLOOR,
	JSON,
	HTML,
	HELP,
};

static void store(struct storm_options *options, int option, const char *value)
{
	switch (option) {
	case STUB:
		options->stub = value;
		break;
	case MEM:
		options->mem_mib = number("mem", value, 1, 1u << 30);
		break;
	case POPULATE:
		options->populate_mib = number("populate", value, 0, 1u << 30);
		break;
	case CPUS:
		options->cpus = (unsigned int)number("cpus", value, 1, 1024);
		break;
	case REQUEST:
		options->request = value;
		break;
	case SOCKET:
		options->socket = value;
		break;
	case COUNT:
		options->count = number("count", value, 1, COUNT_MAX);
		break;
	case CONCURRENCY:
		options->concurrency = number("concurrency", value, 1, COUNT_MAX);
		break;
	case RATE:
		options->rate = rate(value);
		break;
	case ALIVE:
		options->alive = true;
		break;
	case TIMEOUT:
		options->timeout_s = (unsigned int)number("timeout", value, 1, 86400);
		break;
	case FLOOR:
		options->floor = true;
		break;
	case JSON:
		options->json = value;
		break;
	case HTML:
		options->html = value;
		break;
	case HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("clone_storm --help tells more\n", stderr);
		exit(2);
	}
}

static void settle(struct storm_options *options)
{
	static char stub_path[STUB_PATH_SIZE];
	const char *name = strrchr(options->stub, '/');

	if (options->rate > 0 && options->alive)
		refuse("--rate and --alive exclude each other");
	if (!options->concurrency && options->alive)
		options->concurrency = 2 * (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!options->concurrency)
		options->concurrency = options->rate > 0 ? 1024 : 1;
	if (options->concurrency > options->count)
		options->concurrency = options->count;
	if (!options->socket && stub_find(options->stub, stub_path) < 0)
		refuse("--stub %s: neither a file nor a stub in %s", options->stub, stub_path);
	if (options->socket && options->floor && stub_find(options->stub, stub_path) < 0)
		refuse("--floor boots the stub itself, and --stub %s is neither a file nor in %s",
		       options->stub, stub_path);
	options->stub_path = stub_path;
	if (name)
		options->stub = name + 1; /* the checker goes by the name */
	if (!options->request)
		options->request = strcmp(options->stub, "echo") == 0 ? "are you there?\n" : "";
	options->request_len = strlen(options->request);
	if (options->request_len > REQUEST_MAX)
		refuse("--request: longer than %d bytes", REQUEST_MAX);
}

static void remember_command(int argc, char **argv, struct storm_options *options)
{
	size_t used = 0;

	for (int i = 0; i < argc && used < sizeof(options->command); i++) {
		const char *word = i ? argv[i] : "clone_storm";
		int length = snprintf(options->command + used, sizeof(options->command) - used,
				      "%s%s", i ? " " : "", word);

		used += (size_t)length;
	}
}

void storm_options_parse(int argc, char **argv, struct storm_options *ret)
{
	static const struct option options[] = {
		{"stub", required_argument, NULL, STUB},
		{"mem", required_argument, NULL, MEM},
		{"populate", required_argument, NULL, POPULATE},
		{"cpus", required_argument, NULL, CPUS},
		{"request", required_argument, NULL, REQUEST},
		{"socket", required_argument, NULL, SOCKET},
		{"count", required_argument, NULL, COUNT},
		{"concurrency", required_argument, NULL, CONCURRENCY},
		{"rate", required_argument, NULL, RATE},
		{"alive", no_argument, NULL, ALIVE},
		{"timeout", required_argument, NULL, TIMEOUT},
		{"floor", no_argument, NULL, FLOOR},
		{"json", required_argument, NULL, JSON},
		{"html", required_argument, NULL, HTML},
		{"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	int option;

	*ret = (struct storm_options){
		.stub = "hello", .mem_mib = 128, .cpus = 1, .count = 1000, .timeout_s = 30};
	remember_command(argc, argv, ret);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		store(ret, option, optarg);
	if (optind < argc)
		refuse("unexpected argument %s", argv[optind]);
	settle(ret);
}

void storm_describe_mode(const struct storm_options *options, char *text, size_t size)
{
	if (options->rate > 0)
		snprintf(text, size, "open loop, %g a second", options->rate);
	else if (options->alive)
		snprintf(text, size, "all kept alive, %zu requests at once", options->concurrency);
	else
		snprintf(text, size, "closed loop, %zu at once", options->concurrency);
}

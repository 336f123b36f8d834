/* SPDX-License-Identifier: MIT */
/* floor: options and phases; see floor.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/stubs.h"
#include "bench/floor/floor.h"

static const char usage[] =
	"usage: floor [OPTION...]\n"
	"\n"
	"The least any program can do here: fork, KVM calls, first guest output. See "
	"bench/METHOD.md.\n"
	"\n"
	"  --stub NAME|PATH   guest to boot (default hello)\n"
	"  --mem MIB          its RAM (default 128)\n"
	"  --populate MIB     RAM it writes before it is frozen (default 0)\n"
	"  --count N          clones of each variant (default 1000)\n"
	"  --parallel N       then N processes, each with this loop, for --count clones more: "
	"clones a "
	"second\n"
	"  --no-latency       the parallel loop only\n"
	"  --json FILE        write JSON there instead of a table (-: standard output)\n"
	"  --help             this text\n";

static _Noreturn void refuse(const char *option, const char *value)
{
	fprintf(stderr, "floor: %s %s: not a number in range\n", option, value);
	exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value < min || value > max)
		refuse(option, text);
	return value;
}

static void parse(int argc, char **argv, struct floor_options *ret)
{
	static const struct option options[] = {
		{"stub", required_argument, NULL, 's'},
		{"mem", required_argument, NULL, 'm'},
		{"populate", required_argument, NULL, 'p'},
		{"count", required_argument, NULL, 'c'},
		{"parallel", required_argument, NULL, 'n'},
		{"no-latency", no_argument, NULL, 'l'},
		{"json", required_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	*ret = (struct floor_options){.stub = "hello", .mem_mib = 128, .count = 1000};
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			ret->stub = optarg;
			break;
		case 'm':
			ret->mem_mib = number("--mem", optarg, 1, 1u << 20);
			break;
		case 'p':
			ret->populate_mib = number("--populate", optarg, 0, 1u << 20);
			break;
		case 'c':
			ret->count = (unsigned int)number("--count", optarg, 1, 10000000);
			break;
		case 'n':
			ret->parallel =
				(unsigned int)number("--parallel", optarg, 1, FLOOR_WORKERS_MAX);
			break;
		case 'l':
			ret->no_latency = true;
			break;
		case 'j':
			ret->json = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "floor: unexpected argument %s\n%s", argv[optind], usage);
		exit(2);
	}
	if (ret->no_latency && !ret->parallel) {
		fprintf(stderr, "floor: --no-latency leaves nothing to measure without "
				"--parallel\n");
		exit(2);
	}
}

static void release(struct floor_result *result)
{
	samples_done(&result->latency);
	samples_done(&result->end);
	for (size_t stage = 0; stage < FLOOR_STAGES; stage++)
		samples_done(&result->stages[stage]);
}

int main(int argc, char **argv)
{
	struct floor_result results[FLOOR_VARIANTS] = {0};
	struct floor_rate rates[FLOOR_VARIANTS] = {0};
	uint64_t failed = 0;
	struct floor_options options;
	struct floor_template template;
	char stub[STUB_PATH_SIZE];
	unsigned int other_vms;
	int rc;

	parse(argc, argv, &options);
	if (stub_find(options.stub, stub) < 0) {
		fprintf(stderr, "floor: no stub %s: neither a file nor in %s\n", options.stub,
			stub);
		return 1;
	}
	options.stub = stub;
	floor_template_make(&options, &template);
	other_vms = floor_count_other_vms();
	if (!options.no_latency)
		floor_run(&options, &template, results);
	if (options.parallel)
		floor_run_parallel(&options, &template, rates);
	rc = floor_report(&options, other_vms, results, rates);
	for (int variant = 0; variant < FLOOR_VARIANTS; variant++) {
		failed += results[variant].failed + rates[variant].failed;
		release(&results[variant]);
	}
	floor_template_done(&template);
	if (rc < 0) {
		fprintf(stderr, "floor: %s: %s\n", options.json, strerror(-rc));
		return 1;
	}
	return failed ? 1 : 0;
}

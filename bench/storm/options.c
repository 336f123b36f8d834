/* SPDX-License-Identifier: MIT */
/* clone_storm's command line. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/cpu_latency.h"
#include "bench/storm/storm.h"
#include "forkserver/client/forkvm_client.h"

#define COUNT_MAX 10000000u

static const char usage[] =
	"usage: clone_storm [OPTION...]\n"
	"\n"
	"Clone a template again and again, verify every clone's answer, print latency and memory.\n"
	"\n"
	"What is cloned\n"
	"  --stub NAME|PATH   guest to serve (default hello); decides what a right answer is\n"
	"  --kernel FILE      a Linux guest instead: this kernel, whose first program is forkvm's\n"
	"                     agent\n"
	"  --initrd FILE      its initial ramdisk\n"
	"  --cmdline TEXT     its kernel's command line\n"
	"  --check WHAT       a Linux guest's answers: echo (each clone repeats a word of its "
	"own;\n"
	"                     the default), identity (no two clones share an id, a name or a "
	"random\n"
	"                     number), any (with --request: not empty)\n"
	"  --mem MIB          its RAM (default 128; Linux: 256)\n"
	"  --populate MIB     RAM it writes before it is frozen (default 0)\n"
	"  --cpus N           its vCPUs (default 1)\n"
	"  --request TEXT     what every clone is asked (default: nothing; echo: a line of text)\n"
	"  --socket PATH      use this running server (what it serves is then its own choice; "
	"name\n"
	"                     its stub with --stub); otherwise one is started and stopped\n"
	"  --spares N         the server keeps N spares; their claims are measured, one at a time "
	"if\n"
	"                     there is no --rate, and clones made without them to compare with\n"
	"  --reset            spares that have served are reset and serve again (forkvm serve\n"
	"                     --reset)\n"
	"  --server-option X  one more argument for the server that is started; may be repeated\n"
	"How\n"
	"  --count N          clones in all (default 1000)\n"
	"  --concurrency N    under way at once (default 1; with --alive twice the CPUs; with "
	"--rate\n"
	"                     1024)\n"
	"  --rate R           open loop: R requests a second, whatever comes back; latency counts\n"
	"                     from the moment a request was due\n"
	"  --batch N          ask for N clones by one message, 1 to 4096 (two such messages under\n"
	"                     way at once, unless --concurrency says otherwise)\n"
	"  --alive            keep all clones alive until the last has answered\n"
	"  --sleep-after TIME the server has clones sleep that wait so long (forkvm serve\n"
	"                     --sleep-after): wait until all sleep, look at their memory, and\n"
	"                     ask each again; with --alive, stub echo\n"
	"  --no-memory        make no further clones to look at their memory; with --alive, which\n"
	"                     has them: do not wait until the host's free memory has settled\n"
	"  --cpu-latency US   let idle CPUs take no longer than this to wake up, for all that is\n"
	"                     measured (needs /dev/cpu_dma_latency, which is root's)\n"
	"  --timeout S        give up when nothing happens for S seconds (default 30)\n"
	"  --sweep            instead: RAM from 128 MiB to 8 GiB, by how much of it is populated, "
	"by\n"
	"                     how many clones live; about five minutes, what does not fit is left "
	"out\n"
	"  --sweep-quick      the same for a small grid, in seconds\n"
	"Report\n"
	"  --floor            run floor too, before, and print how many times its figures\n"
	"  --peer qemu        measure QEMU's VM templating too, before, with the same guest: a "
	"Linux\n"
	"                     kernel, or the stubs hello, echo, dirty (METHOD.md)\n"
	"  --peer boot        measure booting the guest in forkvm, without any template\n"
	"  --peer floor       the same as --floor\n"
	"  --peer-count N     clones of a peer (default --count, 100 at most); boots of Linux: 3 "
	"at\n"
	"                     most\n"
	"  --qemu PROGRAM     the QEMU to take (default qemu-system-x86_64-microvm, or\n"
	"                     qemu-system-x86_64)\n"
	"  --json FILE        write a JSON report (-: standard output, instead of the table)\n"
	"  --html FILE        write a page with plots (needs gnuplot)\n"
	"  --help             this text\n";

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value < min || value > max)
		storm_refuse("--%s %s: not a number from %llu to %llu", option, text,
			     (unsigned long long)min, (unsigned long long)max);
	return value;
}

static double rate(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	/* Written so that a NaN is refused too. */
	if (end == text || *end || !(value >= 0.001 && value <= 1e6))
		storm_refuse("--rate %s: not a number from 0.001 to 1000000", text);
	return value;
}

enum {
	STUB = 1,
	KERNEL,
	INITRD,
	CMDLINE,
	CHECK,
	SERVER_OPTION,
	SPARES,
	RESET,
	PEER,
	PEER_COUNT,
	QEMU,
	MEM,
	POPULATE,
	CPUS,
	REQUEST,
	SOCKET,
	COUNT,
	CONCURRENCY,
	RATE,
	ALIVE,
	SLEEP_AFTER,
	BATCH,
	NO_MEMORY,
	CPU_LATENCY,
	SWEEP,
	SWEEP_QUICK,
	TIMEOUT,
	FLOOR,
	JSON,
	HTML,
	HELP,
};

static enum storm_check check(const char *value)
{
	if (strcmp(value, "echo") == 0)
		return CHECK_BY_ECHO;
	if (strcmp(value, "identity") == 0)
		return CHECK_BY_IDENTITY;
	if (strcmp(value, "any") == 0)
		return CHECK_BY_ANYTHING;
	storm_refuse("--check %s: echo, identity or any", value);
}

static void peer(struct storm_options *options, const char *value)
{
	if (strcmp(value, "qemu") == 0)
		options->peer_qemu = true;
	else if (strcmp(value, "boot") == 0)
		options->peer_boot = true;
	else if (strcmp(value, "floor") == 0)
		options->floor = true;
	else
		storm_refuse("--peer %s: qemu, boot or floor", value);
}

static void hold_cpu_latency(unsigned int us)
{
	int rc = cpu_latency_hold(us);

	if (rc < 0)
		storm_refuse("--cpu-latency: /dev/cpu_dma_latency: %s", strerror(-rc));
}

static void store(struct storm_options *options, int option, const char *value)
{
	switch (option) {
	case STUB:
		options->stub = value;
		break;
	case KERNEL:
		options->kernel = value;
		break;
	case INITRD:
		options->initrd = value;
		break;
	case CMDLINE:
		options->cmdline = value;
		break;
	case CHECK:
		options->check = check(value);
		break;
	case SPARES:
		options->spares = number("spares", value, 1, 10000);
		break;
	case RESET:
		options->reset = true;
		break;
	case SERVER_OPTION:
		if (options->server_option_count == STORM_SERVER_OPTIONS)
			storm_refuse("--server-option: more than %d", STORM_SERVER_OPTIONS);
		options->server_options[options->server_option_count++] = value;
		break;
	case PEER:
		peer(options, value);
		break;
	case PEER_COUNT:
		options->peer_count = number("peer-count", value, 1, 100000);
		break;
	case QEMU:
		options->qemu = value;
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
	case SLEEP_AFTER:
		options->sleep_after = value;
		break;
	case BATCH:
		options->batch = number("batch", value, 1, FORKVM_PROTOCOL_MAX_BATCH);
		break;
	case NO_MEMORY:
		options->no_memory = true;
		break;
	case CPU_LATENCY:
		hold_cpu_latency((unsigned int)number("cpu-latency", value, 0, 1000000));
		break;
	case SWEEP:
		options->sweep = STORM_SWEEP_FULL;
		break;
	case SWEEP_QUICK:
		options->sweep = STORM_SWEEP_QUICK;
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
		{"kernel", required_argument, NULL, KERNEL},
		{"initrd", required_argument, NULL, INITRD},
		{"cmdline", required_argument, NULL, CMDLINE},
		{"check", required_argument, NULL, CHECK},
		{"server-option", required_argument, NULL, SERVER_OPTION},
		{"spares", required_argument, NULL, SPARES},
		{"cpu-latency", required_argument, NULL, CPU_LATENCY},
		{"reset", no_argument, NULL, RESET},
		{"peer", required_argument, NULL, PEER},
		{"peer-count", required_argument, NULL, PEER_COUNT},
		{"qemu", required_argument, NULL, QEMU},
		{"mem", required_argument, NULL, MEM},
		{"populate", required_argument, NULL, POPULATE},
		{"cpus", required_argument, NULL, CPUS},
		{"request", required_argument, NULL, REQUEST},
		{"socket", required_argument, NULL, SOCKET},
		{"count", required_argument, NULL, COUNT},
		{"concurrency", required_argument, NULL, CONCURRENCY},
		{"rate", required_argument, NULL, RATE},
		{"alive", no_argument, NULL, ALIVE},
		{"sleep-after", required_argument, NULL, SLEEP_AFTER},
		{"batch", required_argument, NULL, BATCH},
		{"no-memory", no_argument, NULL, NO_MEMORY},
		{"sweep", no_argument, NULL, SWEEP},
		{"sweep-quick", no_argument, NULL, SWEEP_QUICK},
		{"timeout", required_argument, NULL, TIMEOUT},
		{"floor", no_argument, NULL, FLOOR},
		{"json", required_argument, NULL, JSON},
		{"html", required_argument, NULL, HTML},
		{"help", no_argument, NULL, HELP},
		{NULL, 0, NULL, 0},
	};
	int option;

	*ret = (struct storm_options){
		.populate_mib = UINT64_MAX, .cpus = 1, .count = 1000, .timeout_s = 30};
	remember_command(argc, argv, ret);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		store(ret, option, optarg);
	if (optind < argc)
		storm_refuse("unexpected argument %s", argv[optind]);
	storm_options_settle(ret);
}

const char *storm_check_name(enum storm_check check)
{
	static const char *const names[] = {"stub", "echo", "identity", "any"};

	return names[check];
}

void storm_describe_mode(const struct storm_options *options, char *text, size_t size)
{
	if (options->rate > 0)
		snprintf(text, size, "open loop, %g a second", options->rate);
	else if (options->alive)
		snprintf(text, size, "all kept alive, %zu requests at once", options->concurrency);
	else if (options->batch)
		snprintf(text, size, "batches of %zu, %zu clones at once", options->batch,
			 options->concurrency);
	else
		snprintf(text, size, "closed loop, %zu at once", options->concurrency);
}

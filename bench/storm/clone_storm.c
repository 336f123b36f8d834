/* SPDX-License-Identifier: MIT */
/* clone_storm: its phases. See storm.h. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/peer/peer.h"
#include "bench/storm/plots.h"
#include "bench/storm/storm.h"
#include "bench/storm/sweep.h"
#include "bench/storm/turns.h"

#define TOGETHER_NS 200000000u

volatile sig_atomic_t storm_interrupted;

/* A second signal ends the program; but not one that timeout(1) sends along with the first. */
static void on_interrupt(int number)
{
	static volatile uint64_t first_ns;

	if (!storm_interrupted) {
		first_ns = now_ns();
	} else if (now_ns() - first_ns > TOGETHER_NS) {
		signal(number, SIG_DFL);
		raise(number);
	}
	storm_interrupted = 1;
}

/* Without SA_RESTART: whatever waits is to notice. */
static void catch_interrupts(void)
{
	struct sigaction action = {.sa_handler = on_interrupt};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int drive(const struct storm_options *options, struct storm_result *result)
{
	struct storm_server server;
	int rc;

	if (options->socket)
		return storm_drive(options, options->socket, result);
	if (storm_server_start(options, &server) < 0)
		return -1;
	rc = storm_drive(options, server.socket, result);
	return storm_server_stop(&server) < 0 ? -1 : rc;
}

/* The floor's figures, before any server starts: its anchor would help the floor too. */
static int run_floor(const struct storm_options *options, struct storm_result *result)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "floor: a few seconds\r");
	result->floor = storm_floor_run(options);
	if (!result->floor)
		return -1;
	if (!turns_wanted(options))
		return 0;
	result->turns = calloc(1, sizeof(*result->turns));
	if (!result->turns) {
		fprintf(stderr, "clone_storm: no memory\n");
		return -1;
	}
	return turns_run(options, (size_t)result->host.cpus, &result->failures, result->turns);
}

static int report(const struct storm_options *options, struct storm_result *result)
{
	int rc = 0;

	/* With JSON on standard output a table there would only be in the way. */
	if (!options->json || options->json[0] != '-' || options->json[1])
		storm_report_table(options, result);
	if (options->json) {
		json_t *root = storm_report_json(options, result);

		rc = storm_write_json(options->json, root);
		json_decref(root);
	}
	if (options->html && storm_write_html(options, result) < 0)
		rc = -1;
	return rc;
}

static void release(struct storm_result *result)
{
	samples_done(&result->latency);
	samples_done(&result->asleep.woken);
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		samples_done(&result->stages[stage]);
	storm_claims_done(&result->claims);
	free(result->turns);
	json_decref(result->floor);
	peer_free(result->qemu);
	peer_free(result->boot);
}

int main(int argc, char **argv)
{
	struct storm_result result = {0};
	struct storm_options options;
	int rc;

	storm_options_parse(argc, argv, &options);
	if (options.html && !plots_available())
		return EXIT_FAILURE;
	catch_interrupts();
	if (options.sweep)
		return storm_sweep(&options) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	host_record_take(&result.host);
	if ((options.floor && run_floor(&options, &result) < 0) ||
	    storm_peers_run(&options, &result) < 0) {
		release(&result);
		return EXIT_FAILURE;
	}
	rc = drive(&options, &result);
	if (rc == 0 || result.ok || result.failures.total || result.qemu || result.boot)
		rc = report(&options, &result) < 0 ? -1 : rc;
	if (result.failures.total || storm_peers_failed(&result))
		rc = -1;
	release(&result);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

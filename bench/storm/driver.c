/* SPDX-License-Identifier: MIT */
/* The rounds of a storm: the timed one, and one to look at living clones when that had none. */
#include <stdio.h>

#include "bench/storm/engine.h"
#include "bench/storm/limits.h"
#include "bench/storm/link.h"
#include "bench/storm/memory.h"

#define COLD_CLONES   1000
#define MEMORY_CLONES 200 /* kept alive to be looked at, when the timed round keeps none */

/* Clones made for their requests, to compare with. */
static int run_cold(const struct storm_options *options, struct forkvm_client *client,
		    struct checker *checker, struct storm_result *result)
{
	const struct round cold = {
		.options = options,
		.label = "clones without spares",
		.count = options->count < COLD_CLONES ? options->count : COLD_CLONES,
		.concurrency = 1,
		.spare = FORKVM_SPARE_NEVER,
		.timed = true,
	};

	return engine_run(client, &cold, checker, result);
}

/* Who asks whenever it has been answered would soon ask for clones only. */
static enum forkvm_spare spare_of(const struct storm_options *options)
{
	if (!options->spares || options->rate > 0)
		return FORKVM_SPARE_ANY;
	return options->concurrency > 1 ? FORKVM_SPARE_WAIT : FORKVM_SPARE_ONLY;
}

static int run_rounds(const struct storm_options *options, struct forkvm_client *client,
		      struct checker *checker, struct storm_result *result)
{
	const struct round timed = {
		.options = options,
		.label = "clones",
		.count = options->count,
		.concurrency = options->concurrency,
		.batch = options->batch,
		.rate = options->rate,
		.alive = options->alive,
		.quiet_steps = options->no_memory ? 0 : MEMORY_QUIET_STEPS,
		.timed = true,
		.claims = options->spares > 0,
		.spare = spare_of(options),
	};
	const struct round memory = {
		.options = options,
		.label = "memory of living clones",
		.count = options->count < MEMORY_CLONES ? options->count : MEMORY_CLONES,
		.concurrency = 2,
		.alive = true,
		.quiet_steps = MEMORY_QUIET_STEPS,
		.spare = FORKVM_SPARE_NEVER,
	};
	int rc = 0;

	if (options->spares)
		rc = run_cold(options, client, checker, result);
	if (rc == 0 && options->spares)
		rc = link_await_spares(client, options->spares);
	if (rc == 0)
		rc = engine_run(client, &timed, checker, result);
	/* Without one good clone there is nothing to look at, and nothing new to learn. */
	if (rc == 0 && !options->alive && !options->no_memory && result->ok > 0)
		rc = engine_run(client, &memory, checker, result);
	return rc;
}

int storm_drive(const struct storm_options *options, const char *socket,
		struct storm_result *result)
{
	struct checker checker = {
		.by = options->check,
		.stub = options->stub,
		.request = options->request,
		.request_len = options->request_len,
	};
	struct forkvm_client *client;
	size_t repeated;
	int rc;

	if (link_open(socket, &client) < 0)
		return -1;
	if (options->alive)
		limits_tell(client, options->count);
	samples_reserve(&checker.once, 6 * options->count);
	rc = run_rounds(options, client, &checker, result);
	repeated = check_repeated(&checker);
	for (size_t i = 0; i < repeated; i++)
		storm_fail(&result->failures,
			   "showed an identity or a draw that another had shown");
	samples_done(&checker.once);
	link_close(client);
	return rc;
}

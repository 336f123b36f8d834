/* SPDX-License-Identifier: MIT */
/*
 * One round of clones: sent, verified, timed, ended.
 *
 * Theory of operation. One thread, one epoll. In it are the connection to the server (end records
 * come there) and one descriptor a place (answers come there). A place goes through
 *
 *	free -> sent -> answered -> ended -> free	a clone that ends after its answer
 *	free -> sent -> answered -> (all answered) -> let go -> ended
 *
 * and whatever goes wrong on the way is counted once, with its reason, and frees the place.
 */
#ifndef FORKVM_BENCH_STORM_ENGINE_H
#define FORKVM_BENCH_STORM_ENGINE_H

#include "bench/storm/batches.h"
#include "bench/storm/check.h"
#include "bench/storm/slots.h"
#include "bench/storm/storm.h"
#include "forkserver/client/forkvm_client.h"

struct round {
	const struct storm_options *options;
	const char *label; /* for the progress line                      */
	size_t count, concurrency;
	size_t batch; /* clones of one message; 0: no batches      */
	double rate;  /* 0: closed loop                             */
	bool alive;
	unsigned int quiet_steps; /* before it, of the host's memory; memory.h */
	bool timed;		  /* latency and stages go into the result      */
	enum forkvm_spare spare;
	bool claims; /* they go into the result's claims instead  */
};

struct engine {
	struct round round;
	struct forkvm_client *client; /* not owned */
	struct checker *checker;      /* not owned */
	struct storm_result *result;  /* not owned */
	struct slots slots;
	struct batches batches;
	int epoll;    /* owned */
	char *buffer; /* for one answer; owned */

	size_t sent, answered, ended, ok;
	size_t waiting; /* sent, and neither answered nor failed */
	bool refused;	/* the server takes no more               */
	uint64_t start_ns, first_sent_ns, last_answer_ns, last_event_ns, last_progress_ns;
	uint64_t release_ns, last_end_ns;
	uint64_t hold_until_ns; /* there was no spare: nothing is sent before */
	size_t next_curve;	/* answers at which memory is looked at next */
	const char *fatal;	/* the round cannot go on                    */
};

/* One answer, and a byte more to see that it is too long. */
#define ENGINE_BUFFER (65536u + 1)

/* events.c: take all that has come from the clone in place index; events as epoll told. */
void engine_take_answer(struct engine *engine, size_t index, uint32_t events);

/* events.c: take all that has come from the clones of a batch. */
void engine_take_batch(struct engine *engine, const struct batch *batch);

/* events.c: take all records that the server has sent. */
void engine_take_records(struct engine *engine);

/* events.c: count a clone as failed, once. */
void engine_fail(struct engine *engine, struct slot *slot, const char *reason);

/*
 * Carry out a round with the server at the other end of client. 0 when it ran to its end, clones'
 * failures counted in result; -1 after saying on stderr why it could not go on.
 */
int engine_run(struct forkvm_client *client, const struct round *round, struct checker *checker,
	       struct storm_result *result);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The server as the engine sees it: requests out, ends in. A thin layer over the client library.
 */
#ifndef FORKVM_BENCH_STORM_LINK_H
#define FORKVM_BENCH_STORM_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/storm/storm.h"
#include "forkserver/client/forkvm_client.h"

/* A clone has ended, or could not be made. */
struct link_event {
	uint64_t tag;
	bool has_index;		      /* it is one of a batch, which the tag tells: */
	uint32_t index;		      /* that one                                   */
	bool done;		      /* it ended as it should: done, status 0             */
	char text[STORM_REASON_SIZE]; /* otherwise, why                                    */
	uint64_t at_ns[STORM_ANSWER]; /* the moments at which its stages ended, in order   */
	bool claimed;		      /* it was a spare; then the moments are these        */
	uint64_t claim_at_ns[STORM_CLAIM_ANSWER];
	uint64_t reset_from_ns; /* it was reset: when it had finished its life before; else 0   */
	uint64_t reset_at_ns[STORM_RESET_ANSWER];
	uint32_t sleeps; /* how often it slept                                                   */
	bool no_spare;	 /* there was none, and nothing else would do                        */
};

/* Connect. 0, or -1 after saying why on stderr. */
int link_open(const char *socket, struct forkvm_client **ret);
void link_close(struct forkvm_client *client);

/* What to wait on for events. */
int link_fd(const struct forkvm_client *client);

/*
 * Ask for a clone that answers to answer_fd; alive: it lives on until the other end of that is
 * closed. 0, -EAGAIN when the server has to catch up first, or -errno.
 */
int link_clone(struct forkvm_client *client, uint64_t tag, int answer_fd, bool alive,
	       enum forkvm_spare spare, const char *request, size_t request_len);

/* The same for a batch of count clones, each with a request of its own. */
int link_batch(struct forkvm_client *client, uint64_t tag, int answer_fd,
	       const struct forkvm_bytes *requests, size_t count);

/*
 * Wait until the server has count spares parked, 60 seconds at most; with no clone under way. 0, or
 * -1 after saying on stderr why not.
 */
int link_await_spares(struct forkvm_client *client, size_t count);

/* The next event: 1, 0 when there is none now, or -errno. */
int link_next(struct forkvm_client *client, struct link_event *ret);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Spares: clones made ahead of demand, which stand parked until a request claims them.
 *
 * Theory of operation. A spare is a clone like any other, forked with a socket in place of a
 * request. Its VM is made, its state restored, it has an identity of its own, and it has run until
 * its guest parks; what it does then is to wait for one packet. The server makes spares when it has
 * nothing else to do, as pool_policy.h decides, one at most in a round of its loop and none in a
 * round that had a request to work on.
 *
 *	making ---parks---> parked ---claimed---> serving (an ordinary clone from here on)
 *	   |                   |
 *	   +---- given up, or dead by itself ----> retired ---> reaped, silently
 *
 * A claim is one packet, so it is taken whole or not at all, and by one spare only. A spare that
 *has died is no longer there to send to, or leaves the packet unread: then the request is served by
 *the next spare, or by a clone that is made for it, and its client learns nothing of the first.
 */
#ifndef FORKVM_FORKSERVER_SERVER_POOL_H
#define FORKVM_FORKSERVER_SERVER_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/base/list.h"
#include "forkserver/base/metrics.h"
#include "forkserver/base/timers.h"
#include "forkserver/policy/pool_policy.h"
#include "forkserver/proto/request.h"
#include "forkserver/server/clone.h"
#include "forkserver/server/options.h"
#include "forkserver/server/spare.h"

struct server;

/* Claims under way at the same time that could still be sent again; beyond, clones are made. */
#define POOL_STASHES 16

/* A request that was sent to a spare, in case that it must be sent to another. */
struct pool_stash {
	bool used;
	struct request request;
};

/* Requests that may wait for a spare at the same time, and for how long. */
#define POOL_WAITS   32
#define POOL_WAIT_NS (10 * NS_PER_SEC)

struct pool_wait {
	bool used;
	struct list link;  /* of pool.waiting                        */
	struct conn *conn; /* whose it is; NULL: it has left         */
	struct gift gift;  /* owned                                  */
	struct timer timer;
	struct request request;
};

/* One tenant's spare is given up for another's sake not sooner after the one before. */
#define POOL_DISPLACE_NS (100 * NS_PER_MS)

struct pool_metrics {
	uint64_t made;			      /* forks for the pool                         */
	uint64_t claims;		      /* requests that a spare has served           */
	uint64_t misses;		      /* requests for which there was none          */
	uint64_t resent;		      /* claims that a dead spare had not taken     */
	uint64_t resets[REPORT_BEGUN_COUNT_]; /* lives that have ended, by how they began */
	uint64_t lost[SPARE_LOSS_COUNT_];     /* spares that were never claimed, and why    */
	struct histogram claim_ns;	      /* from the loop's waking to the claim's being sent */
};

struct pool {
	struct pool_limits limits; /* high 0: there is no pool */
	struct pool_history history;
	struct list parked; /* oldest first */
	struct list making;
	uint32_t parked_count, making_count;
	uint32_t retired_count; /* given up, not reaped yet */
	uint64_t each;		/* bytes that a spare has, as sampled; 0: not known */
	uint64_t quiet_until_ns;
	uint64_t last_claimed; /* id */
	bool reset;
	uint32_t reset_max;
	uint64_t claimed_ns;   /* the round of the last claim */
	uint64_t displaced_ns; /* when a tenant's spare was last given up for another */
	struct list waiting;   /* requests, first come first */
	uint32_t waiting_count;
	struct pool_wait *waits;    /* private memory; POOL_WAITS of them */
	struct timer timer;	    /* when to look again */
	struct pool_stash *stashes; /* private memory; POOL_STASHES of them */
	struct pool_metrics metrics;
};

/* Before clones_init. cpus: which make spares; NULL: any. -ENOMEM. */
int pool_init(struct pool *pool, const struct serve_options *options, const struct cpu_split *cpus);
void pool_done(struct pool *pool);

/* How many records beyond --max-clones the pool may need for spares that are ending. */
uint32_t pool_further_records(const struct pool *pool);

/* Spares that live, given up or not. */
uint32_t pool_count(const struct pool *pool);

/*
 * Look after the pool: make or retire one. busy: there was a request in this round, so whatever can
 * wait does.
 */
void pool_work(struct server *server, bool busy);

/*
 * Claim a spare for the request; the descriptors are the clone's then. False when there is none:
 * nothing has happened.
 */
bool pool_claim(struct server *server, struct conn *conn, const struct request *request,
		struct gift *gift);

/*
 * The same without any consequence but for the one that is claimed. *ret_other is set to a spare
 * that the request may not have, if it was passed over.
 */
bool pool_try_claim(struct server *server, struct conn *conn, const struct request *request,
		    struct gift *gift, struct clone **ret_other);

/*
 * There was none: keep the request, and its descriptors, until there is one, its client leaves, or
 * POOL_WAIT_NS are over, of which the client is told. -EAGAIN when too many wait, and as
 * pool_refuse; then nothing has happened.
 */
int pool_wait(struct server *server, struct conn *conn, const struct request *request,
	      struct gift *gift, struct error *error);

/* A spare has parked, or will soon: give it to who waits for one. */
void pool_serve_waiting(struct server *server);

/* The client leaves: it waits no more. */
void pool_drop_waiting(struct server *server, const struct conn *conn);

/* The server stops: so it tells all that wait. */
void pool_refuse_waiting(struct server *server);

/* Part of pool_init and pool_done. */
int pool_waits_init(struct pool *pool);
void pool_waits_done(struct pool *pool);

/* Why a request that wants a spare only gets none: -EAGAIN, -EOPNOTSUPP. */
int pool_refuse(const struct server *server, const struct request *request, struct error *error);

/* A clone is about to be made: give up a spare if they fill the limit. */
void pool_make_room(struct server *server);

/* The spare's socket is readable: it has parked, or a clone has finished and will be reset. */
void pool_on_note(struct server *server, struct clone *clone);

/* Give a spare up: it ends, and nobody is told. */
void pool_retire(struct server *server, struct clone *clone, enum spare_loss loss);

/* The server stops: retire all. */
void pool_stop(struct server *server);

/* A process that is still a spare has ended: so and so, in words. */
void pool_on_exit(struct server *server, struct clone *clone, const char *text);

/* It has taken the claim: what was kept of it may go, and its client is told of the start. */
void pool_forget_claim(struct server *server, struct clone *clone);

/* Has a claimed spare taken its claim? If so, what was kept for it is let go. */
bool pool_settle(struct server *server, struct clone *clone);

/*
 * A claimed spare has ended. If it never took its claim: have its request, which is taken out of
 * the record, ready for pool_resend, and return true.
 */
struct pool_again {
	struct pool_stash *stash;
	struct gift gift;
	struct conn *conn;
};
bool pool_lost_claim(struct server *server, struct clone *clone, struct pool_again *ret);

/* Serve that request by another clone. */
void pool_resend(struct server *server, struct pool_again *again);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a clone's record holds for a clone that was made ahead.
 */
#ifndef FORKVM_FORKSERVER_SERVER_SPARE_H
#define FORKVM_FORKSERVER_SERVER_SPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/base/list.h"
#include "forkserver/base/watch.h"
#include "forkserver/proto/request.h"

struct pool_stash;

/* Why a spare was never claimed. */
enum spare_loss {
	SPARE_NOT_LOST,
	SPARE_TOO_OLD, /* --spare-age                          */
	SPARE_SURPLUS, /* there were more than are wanted      */
	SPARE_MEMORY,  /* --spare-memory                       */
	SPARE_NO_ROOM, /* made room for another clone          */
	SPARE_TENANT,  /* was another tenant's                 */
	SPARE_KILLED,  /* by request, by its limit             */
	SPARE_FAILED,  /* it came to nothing before it parked  */
	SPARE_DIED,    /* parked, and ended all the same       */
	SPARE_LOSS_COUNT_
};

struct spare {
	struct watch watch; /* WATCH_SPARE: of fd                                  */
	struct list link;   /* of pool.parked                                      */
	int fd;		    /* the server's end of the socket, owned; -1: not one  */
	enum spare_loss loss;
	uint64_t claim_ns;  /* when it was claimed; 0: not yet                     */
	uint64_t parked_ns; /* when it parked                                      */
	/* The claim, kept until it was taken, in case that it never will be; NULL: it was. */
	struct pool_stash *stash;
	bool lost_claim;   /* it is known to have died without taking it           */
	bool owes_started; /* its client is to be told when it has taken the claim */
	/* Reset after it has served: then it is one tenant's, and nobody else's. */
	bool may_reset; /* the present claim allows it                             */
	bool is_bound;	/* it was reset                                            */
	uint32_t resets;
	uint64_t next_id; /* what it will be called after the next reset           */
	uint32_t uid;
	char tenant[REQUEST_TENANT_SIZE];
};

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Learning the working set: the first clones tell which pages their guests wrote before they
 * answered, and what those have in common is copied beforehand for all that follow.
 */
#ifndef FORKVM_FORKSERVER_SERVER_LEARNING_H
#define FORKVM_FORKSERVER_SERVER_LEARNING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "forkserver/launch/launch.h"
#include "forkserver/server/options.h"

struct server;

struct learning {
	enum learning_mode mode;
	unsigned int asked, told; /* clones that were to tell, and those that did        */
	uint64_t pages;		  /* of the working set in use; 0: none                  */
	struct page_set *common;  /* private memory; NULL when nothing is to be learnt   */
	struct page_set *room;
};

/* -ENOMEM. */
int learning_init(struct learning *learning, enum learning_mode mode);
void learning_done(struct learning *learning);

/* Is the next clone to tell? */
bool learning_wants(const struct learning *learning);

/*
 * What a clone has told: a packet of len bytes of the process pid, for which the kernel vouches.
 * Clones run guests: at worst such a one wastes some memory of those after it, or time.
 */
void learning_take(struct server *server, pid_t pid, const struct learnt *learnt, size_t len);

#endif

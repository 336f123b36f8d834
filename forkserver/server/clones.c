/* SPDX-License-Identifier: MIT */
/*
 * The table of clones, and what the server does to them while they live.
 */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/base/procfs.h"
#include "forkserver/base/sys.h"
#include "forkserver/server/clone.h"
#include "forkserver/server/pool.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* Reports are looked for at least this often while clones live. */
#define TICK_NS	     NS_PER_SEC

/* With a limit on memory: how often clones are sampled, and how many at once. */
#define SAMPLE_NS    100000000ull
#define SAMPLE_COUNT 64

static size_t records_size(uint32_t count)
{
	return count * sizeof(struct clone);
}

static size_t chains_size(uint32_t count)
{
	return count * sizeof(struct clone *);
}

/* See whether one clone has outgrown its memory. */
static void sample(struct server *server, struct clone *clone)
{
	uint64_t limit = server->options->clone_memory;
	uint64_t bytes;

	if (clone->was_killed || procfs_private_bytes(clone->pid, &bytes) < 0 || bytes <= limit)
		return;
	log_info("clone %lu has %lu KiB of private memory where %lu are allowed", clone->id,
		 bytes / 1024, limit / 1024);
	if (clone->state == CLONE_SERVING)
		clone_kill(clone, FORKVM_END_OUT_OF_MEMORY,
			   "it outgrew the limit of --clone-memory");
	else
		pool_retire(server, clone, SPARE_KILLED);
}

/* A number of clones each time, in turn, so that the cost does not grow with how many there are. */
static void sample_some(struct server *server)
{
	struct clones *clones = &server->clones;
	uint32_t places = clones->used;
	unsigned int sampled = 0;

	for (uint32_t i = 0; i < places && sampled < SAMPLE_COUNT; i++) {
		struct clone *clone = &clones->records[clones->sample_place++ % places];

		if (clone->pidfd < 0)
			continue;
		sample(server, clone);
		sampled++;
	}
}

/* Those of whose end epoll does not tell. */
static void look_after_unwatched(struct server *server)
{
	struct list *head = &server->clones.live;
	struct list *next;

	for (struct list *link = head->next; link != head; link = next) {
		struct clone *clone = list_entry(link, struct clone, link);

		next = link->next;
		if (clone->unwatched)
			clone_on_exit(server, clone);
	}
}

static void on_tick(struct server *server, struct timer *timer)
{
	(void)timer;
	/* Reports need no prompt look (clone_on_exit takes one), but must not pile up. */
	clones_take_reports(server);
	if (server->options->clone_memory)
		sample_some(server);
	if (server->clones.unwatched_count)
		look_after_unwatched(server);
	clones_start_tick(server);
}

void clones_start_tick(struct server *server)
{
	uint64_t period_ns = server->options->clone_memory ? SAMPLE_NS : TICK_NS;

	if (list_empty(&server->clones.live) || server->clones.tick.place)
		return;
	timers_arm(&server->timers, &server->clones.tick, server->now_ns + period_ns);
}

int clones_init(struct clones *clones, uint32_t capacity, uint32_t further)
{
	*clones = (struct clones){
		.capacity = capacity,
		.record_count = capacity + further,
		.tick.expire = on_tick,
	};
	list_init(&clones->live);
	list_init(&clones->unused);
	list_init(&clones->on_loan);
	clones->records = private_map(records_size(clones->record_count));
	clones->by_id = private_map(chains_size(clones->record_count));
	if (clones->records && clones->by_id)
		return 0;
	clones_done(clones);
	return -ENOMEM;
}

void clones_done(struct clones *clones)
{
	private_unmap(clones->records, records_size(clones->record_count));
	private_unmap(clones->by_id, chains_size(clones->record_count));
	clones->records = NULL;
	clones->by_id = NULL;
}

/* Ids count up, so chains are even. */
static struct clone **chain_of(struct clones *clones, uint64_t id)
{
	return &clones->by_id[id % clones->record_count];
}

void clones_enter(struct clones *clones, struct clone *clone)
{
	struct clone **chain = chain_of(clones, clone->id);

	clone->next_of_id = *chain;
	*chain = clone;
}

void clones_leave(struct clones *clones, const struct clone *clone)
{
	struct clone **place = chain_of(clones, clone->id);

	while (*place != clone)
		place = &(*place)->next_of_id;
	*place = clone->next_of_id;
}

struct clone *clones_find(struct clones *clones, uint64_t id)
{
	struct clone *clone = *chain_of(clones, id);

	while (clone && clone->id != id)
		clone = clone->next_of_id;
	return clone;
}

void clone_rename(struct clones *clones, struct clone *clone, uint64_t id)
{
	struct list *before;

	/* The list is in the order of ids. This one is new, and belongs somewhere near the end. */
	list_remove(&clone->link);
	clones_leave(clones, clone);
	clone->id = id;
	clones_enter(clones, clone);
	for (before = clones->live.prev; before != &clones->live; before = before->prev) {
		if (list_entry(before, struct clone, link)->id < id)
			break;
	}
	list_append(before->next, &clone->link);
}

void clone_kill(struct clone *clone, enum forkvm_end end, const char *note)
{
	if (clone->was_killed)
		return;
	/* The pidfd makes sure that it is this process and not a later one of the same number. */
	if (sys_pidfd_kill(clone->pidfd) < 0)
		return; /* it has ended already */
	clone->was_killed = true;
	clone->kill_end = end;
	clone->kill_note = note;
}

void clone_orphan(struct clone *clone, bool keep)
{
	clone->owner = NULL;
	clone->batch = NULL;
	list_remove(&clone->owner_link);
	if (!clone->detached && !keep)
		clone_kill(clone, FORKVM_END_KILLED, "its client closed the connection");
}

void clone_end_loan(struct clone *clone)
{
	list_remove(&clone->loan_link);
	for (unsigned int i = 0; i < CLONE_GIVEN_MAX; i++)
		fd_close(&clone->loaned_fds[i]);
}

/* Does the child still use the server's table of descriptors? */
static bool shares_files(const struct server *server, const struct clone *clone)
{
	return sys_compare_files(server->pid, clone->pid) == 0;
}

bool clones_end_loans(struct server *server)
{
	struct list *head = &server->clones.on_loan;
	struct list *next;

	for (struct list *link = head->next; link != head; link = next) {
		struct clone *clone = list_entry(link, struct clone, loan_link);

		next = link->next;
		if (clone->spare.stash ? !pool_settle(server, clone) : shares_files(server, clone))
			continue;
		clone_end_loan(clone);
	}
	return !list_empty(head);
}

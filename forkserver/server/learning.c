/* SPDX-License-Identifier: MIT */
/*
 * Learning the working set: see learning.h.
 */
#include "forkserver/server/learning.h"

#include <errno.h>

#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/server/server.h"

#define LEARNERS       3    /* what they have in common is not one request's doing         */
#define ASKED_MAX      20   /* some end before they answer; a guest may never             */
#define PAGES_THAT_PAY 32   /* below this, what is gained is lost in the system calls */
#define PAGES_MAX      4096 /* 16 MiB: a hostile clone must not cost its successors more */

int learning_init(struct learning *learning, enum learning_mode mode)
{
	*learning = (struct learning){.mode = mode};
	if (mode == LEARNING_OFF)
		return 0;
	learning->common = private_map(2 * sizeof(*learning->common));
	if (!learning->common)
		return -errno;
	learning->room = learning->common + 1;
	return 0;
}

void learning_done(struct learning *learning)
{
	private_unmap(learning->common, 2 * sizeof(*learning->common));
	*learning = (struct learning){.mode = LEARNING_OFF};
}

bool learning_wants(const struct learning *learning)
{
	return learning->common && learning->told < LEARNERS && learning->asked < ASKED_MAX;
}

/* All have told: make use of what they have in common. */
static void conclude(struct server *server)
{
	struct learning *learning = &server->learning;
	uint64_t pages = page_set_pages(learning->common);
	struct error error;

	if (!pages || (learning->mode == LEARNING_AUTO && pages < PAGES_THAT_PAY)) {
		log_debug("working set: %lu pages, too few to copy them beforehand", pages);
		return;
	}
	if (pages > PAGES_MAX) {
		log_info("working set: %lu pages are more than clones are given beforehand (%d)",
			 pages, PAGES_MAX);
		return;
	}
	if (machine_set_working_set(server->machine, learning->common, &error) < 0) {
		log_warning("working set: %s", error.text);
		return;
	}
	learning->pages = pages;
	log_info("working set: %lu pages are copied for each clone before it runs, from now on",
		 pages);
}

/* A live clone that was asked, and has not told yet. */
static struct clone *find(struct server *server, pid_t pid, const struct learnt *learnt, size_t len)
{
	struct clone *clone;

	if (len < offsetof(struct learnt, pages.runs))
		return NULL;
	clone = clones_find(&server->clones, learnt->clone_id);
	return clone && clone->pid == pid && clone->learns ? clone : NULL;
}

void learning_take(struct server *server, pid_t pid, const struct learnt *learnt, size_t len)
{
	struct learning *learning = &server->learning;
	struct clone *clone = find(server, pid, learnt, len);

	if (!clone || !page_set_is_sound(&learnt->pages, server->info.ram_size / 4096) ||
	    len != learnt_size(&learnt->pages)) {
		log_warning("process %d sent a working set that is none, or was not asked for",
			    pid);
		return;
	}
	clone->learns = false;
	if (learning->told == LEARNERS)
		return;
	if (learning->told++ == 0)
		*learning->common = learnt->pages;
	else
		page_set_intersect(learning->common, &learnt->pages, learning->room);
	if (learning->told == LEARNERS)
		conclude(server);
}

/* SPDX-License-Identifier: MIT */
/*
 * Places for clones that are under way, each with the descriptors its answer comes by.
 *
 * A clone that is to end after its answer writes it into a pipe that the place keeps from one clone
 * to the next. A clone that is to stay alive gets a packet socket of its own: it lives until that
 * is closed, and each packet tells which process sent it.
 */
#ifndef FORKVM_BENCH_STORM_SLOTS_H
#define FORKVM_BENCH_STORM_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct slot {
	int near_fd;	 /* our end; owned; -1: none                            */
	int far_fd;	 /* what a request carries; owned; -1: none             */
	bool busy;	 /* a clone is here: sent, and its end is not known yet */
	bool answered;	 /* and its answer was verified                         */
	bool failed;	 /* and its failure was counted                         */
	pid_t pid;	 /* of a clone that stays alive; 0 before its answer    */
	uint64_t due_ns; /* when its request should have been sent              */
	uint64_t sent_ns;
	uint64_t token; /* what its request calls it                           */
	uint64_t answered_ns;
	char *partial; /* an answer that has come in part; owned                  */
	size_t partial_length;
};

enum slots_kind {
	SLOTS_PIPES,   /* clones end after their answer                */
	SLOTS_SOCKETS, /* they stay alive                              */
	SLOTS_BARE,    /* their answers come by their batch's socket   */
};

struct slots {
	struct slot *list; /* owned */
	size_t count;
	size_t *free_list; /* indexes of places that are free; owned */
	size_t free_count;
	enum slots_kind kind;
	bool eager; /* all descriptors were made ahead   */
	int epoll;  /* not owned; near ends are added with their index */
};

/*
 * Make count places; with descriptors for all of them when the limit on open files, less reserve,
 * allows. 0, or -1 after saying why on stderr.
 */
int slots_init(struct slots *slots, size_t count, enum slots_kind kind, int epoll, size_t reserve);
void slots_done(struct slots *slots);

/* A free place with its descriptors, or NULL when there is none (*ret_error 0) or none can be made.
 */
struct slot *slots_take(struct slots *slots, int *ret_error);

/* The clone is gone: the place is free. */
void slots_give(struct slots *slots, struct slot *slot);

/* The clone has its end: close the far one of a socket, so that many clones need half the files. */
void slot_close_far(struct slots *slots, struct slot *slot);

/* Close the near end: a clone that stays alive ends by that. */
void slot_let_go(struct slots *slots, struct slot *slot);

/*
 * Read what has come, at most capacity bytes; *ret_pid is set when the sender is known. Bytes read,
 * 0: nothing there; -errno.
 */
ssize_t slot_read(const struct slots *slots, struct slot *slot, char *buffer, size_t capacity,
		  pid_t *ret_pid);

static inline size_t slot_index(const struct slots *slots, const struct slot *slot)
{
	return (size_t)(slot - slots->list);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The server's record of a clone, from its fork to the word of its end.
 */
#ifndef FORKVM_FORKSERVER_SERVER_CLONE_H
#define FORKVM_FORKSERVER_SERVER_CLONE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "forkserver/base/list.h"
#include "forkserver/base/timers.h"
#include "forkserver/base/watch.h"
#include "forkserver/launch/launch.h"
#include "forkserver/proto/request.h"
#include "forkserver/server/spare.h"

struct server;
struct conn;

/* Descriptors that a client may give for one clone: answer, console, disks. */
#define CLONE_GIVEN_MAX (2 + MACHINE_DISKS_MAX)

/* What it is for. */
enum clone_state {
	CLONE_SERVING, /* a request                                             */
	CLONE_MAKING,  /* a spare that has not parked yet                       */
	CLONE_PARKED,  /* a spare that waits for its claim                      */
	CLONE_RETIRED, /* was a spare, and was given up or is known to be dead  */
};

struct clone {
	struct watch watch;
	struct list link;	  /* of clones.live, by id; or of clones.unused */
	struct list owner_link;	  /* of its connection's clones                 */
	struct list loan_link;	  /* of clones.on_loan                          */
	struct clone *next_of_id; /* in its chain of clones.by_id             */
	struct conn *owner;	  /* whom to tell of the end; NULL: nobody      */
	struct batch *batch;	  /* of its owner's; NULL: of none, or detached */
	int64_t index;		  /* in its batch, or NO_INDEX                  */
	struct timer timer;	  /* its timeout                                */
	enum clone_state state;
	struct spare spare; /* if it was made ahead */
	uint64_t id;
	uint32_t place; /* its index; constant */
	pid_t pid;
	int pidfd; /* owned; clones made later do not get a copy */
	/* answer, console, disks; owned until the child has its own table */
	int loaned_fds[CLONE_GIVEN_MAX];
	uid_t uid;		     /* of the client that asked for it                 */
	unsigned int given_disks;    /* bit: that slot was filled for it                */
	unsigned int written_disks;  /* bit: by a file that it writes to                */
	unsigned int overlaid_disks; /* bit: that disk has an overlay of the clone's    */
	unsigned int rings;	     /* that it was given (rings.h)                     */
	unsigned int holders;	     /* connections that have it stopped (export.h)     */
	bool detached;
	bool session;
	bool learns;	 /* it is to tell its working set, and has not */
	bool was_killed; /* by the server, for kill_end and kill_note */
	bool has_report;
	bool unwatched; /* epoll does not tell of its end: the tick looks */
	enum forkvm_end kill_end;
	const char *kill_note; /* static text */
	uint64_t received_ns;
	uint64_t fork_ns;
	uint64_t forked_ns;
	char tag[REQUEST_TAG_SIZE];
	struct report report;
};

struct clones {
	struct clone *records; /* private memory, record_count of them */
	struct clone **by_id;  /* private memory: live ones in chains, as many as records */
	uint32_t record_count;
	uint32_t capacity;   /* how many may live, spares included                 */
	uint32_t used;	     /* records ever used: those below are on one of the lists */
	uint32_t live_count; /* spares not included */
	struct list live;
	struct list unused;
	struct list on_loan; /* clones whose child may still use the server's descriptors */
	uint64_t last_id;
	uint32_t unwatched_count;
	uint64_t oom_kills;    /* the kernel's count, as far as it was accounted for */
	struct timer tick;     /* looks after reports and memory while clones live    */
	uint32_t sample_place; /* where the next round of memory samples begins      */
	bool can_loan;	       /* kcmp works here, so tables can be shared at first   */
};

/* Room for capacity clones, and further records for those that are ending. -ENOMEM. */
int clones_init(struct clones *clones, uint32_t capacity, uint32_t further);
void clones_done(struct clones *clones);

/* Enter into, and take from, those that clones_find finds: with its id, while it lives. */
void clones_enter(struct clones *clones, struct clone *clone);
void clones_leave(struct clones *clones, const struct clone *clone);

/* The live clone of that id, or NULL. Takes the same time whatever else lives. */
struct clone *clones_find(struct clones *clones, uint64_t id);

/* What a client gave for one clone: descriptors, owned; -1: none. */
struct gift {
	int answer_fd;
	int console_fd;
	int disk_fds[MACHINE_DISKS_MAX]; /* by slot */
};

#define NO_GIFT                        \
	{                              \
		-1, -1,                \
		{                      \
			-1, -1, -1, -1 \
		}                      \
	}
_Static_assert(MACHINE_DISKS_MAX == 4, "as many as there are initial values above");

void gift_close(struct gift *gift);

/* Take the descriptors that the request announces, all of them, whatever becomes of it. -errno. */
int clone_take_gift(struct conn *conn, const struct request *request, struct gift *gift,
		    struct error *error);

/* Can clones be had at present, with requests of so many bytes? -errno with words. */
int clone_check(const struct server *server, size_t request_len, struct error *error);

/*
 * Make a clone as the request says, or claim a spare for it, for conn, whose queued descriptors it
 * takes. In the parent: 0, or -errno with words (nothing was made; the descriptors are closed all
 * the same). In the child this does not return.
 */
int clone_start(struct server *server, struct conn *conn, const struct request *request,
		struct error *error);

/* The same for descriptors that were taken already. conn: whom to tell; NULL: nobody. */
int clone_start_with(struct server *server, struct conn *conn, const struct request *request,
		     struct gift *gift, struct error *error);

/*
 * Fork a clone, and make a record of it that is on no list but that of the living. launch holds
 * what is not the same for all; body are its request's bytes. As clone_start.
 */
int clone_fork(struct server *server, struct launch *launch, const void *body, size_t body_len,
	       struct clone **ret, struct error *error);

/* After clone_fork, when nobody waits for it any more: have its end told by epoll. */
void clone_watch(struct server *server, struct clone *clone);

/* From now on the clone serves the request, for conn. */
void clone_begin(struct server *server, struct conn *conn, struct clone *clone,
		 const struct request *request);

/* The descriptors that the child was given: here they are closed when it has its own. */
void clone_lend(struct server *server, struct clone *clone, struct gift *gift);

/* Tell conn that the clone lives. */
void clone_tell_started(struct server *server, struct conn *conn, const struct clone *clone);

/* Kill the clone, for a reason of the server's (note is static text). The end comes by pidfd. */
void clone_kill(struct clone *clone, enum forkvm_end end, const char *note);

/* Its connection is gone. So will the clone be, unless it is detached or keep says otherwise. */
void clone_orphan(struct clone *clone, bool keep);

/* Its pidfd is readable: learn why it ended, tell its owner, free its record. */
void clone_on_exit(struct server *server, struct clone *clone);

/*
 * It has sent this report, of len bytes, and lives on as a spare: tell its owner, who has nothing
 * to do with it from here on. False: that is no good report, and it is killed.
 */
bool clone_end_life(struct server *server, struct clone *clone, const struct report_packet *packet,
		    size_t len);

/* It has another id now, one that was given to nobody. */
void clone_rename(struct clones *clones, struct clone *clone, uint64_t id);

/* Take all reports that have come. */
void clones_take_reports(struct server *server);

/* Close what was lent to it: it has its own table of descriptors, or is gone. */
void clone_end_loan(struct clone *clone);

/*
 * Close the descriptors that were left open for children which shared the server's table, where
 * that is over. True when some are still on loan.
 */
bool clones_end_loans(struct server *server);

/* Have the tick run while there are clones. */
void clones_start_tick(struct server *server);

#endif

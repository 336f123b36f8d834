/* SPDX-License-Identifier: MIT */
/*
 * A client's connection: bytes and descriptors in, lines out.
 */
#ifndef FORKVM_FORKSERVER_SERVER_CONN_H
#define FORKVM_FORKSERVER_SERVER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "forkserver/base/list.h"
#include "forkserver/base/timers.h"
#include "forkserver/base/watch.h"
#include "forkserver/proto/line.h"
#include "forkserver/proto/protocol.h"
#include "forkserver/proto/request.h"
#include "forkserver/proto/text.h"
#include "forkserver/server/export.h"
#include "vmm/base/error.h"

struct server;

/* Replies that a client may leave unread before its connection is closed. */
#define CONN_OUT_SIZE (1u << 20)

/* Descriptors that one reply may carry. */
#define CONN_SEND_FDS 24

/* Each in a mapping of its own, of which only touched pages cost memory. */
struct conn {
	struct watch watch;
	struct list link;	/* of conns.all, longest idle first             */
	struct list ready_link; /* of conns.ready: has lines to work on         */
	struct list dirty_link; /* of conns.dirty: has output to send           */
	struct list clones;	/* whose end it is to be told, or which it owns */
	struct list batches;	/* that are under way, oldest first             */
	unsigned int batch_count;
	struct timer timer; /* runs while half a line is there              */
	int fd;		    /* owned; clones drop it                        */
	pid_t pid;
	uid_t uid;
	uint32_t interest; /* epoll events asked for                 */
	uint64_t since_ns;
	bool at_end; /* the client will send no more           */
	bool dead;   /* closed; freed at the end of this round */
	bool awaits_freeze;
	char freeze_tag[REQUEST_TAG_SIZE]; /* of the request for it             */
	unsigned int fd_count;
	int fds[FORKVM_PROTOCOL_MAX_DESCRIPTORS]; /* received, not yet claimed; owned */
	struct export_hold hold;		  /* a clone that it holds            */
	int send_fds[CONN_SEND_FDS];		  /* to go with byte send_at of out; owned */
	unsigned int send_fd_count;
	size_t send_at;
	size_t sent; /* bytes of out that are gone       */
	struct text out;
	struct line_buffer in;
	char in_data[FORKVM_PROTOCOL_MAX_LINE];
	char out_data[CONN_OUT_SIZE];
};

struct conns {
	unsigned int count;
	struct list all;
	struct list ready;
	struct list dirty;
	struct list dead;
	struct request request; /* being carried out; its clone gets a copy of its bytes */
};

void conns_init(struct conns *conns);

/* The listening socket is readable: accept some clients. */
void conns_accept(struct server *server);

/* epoll reports events. */
void conn_on_events(struct server *server, struct conn *conn, uint32_t events);

/* Work on lines that were left, so that no client keeps the others waiting. */
void conns_work(struct server *server);

/* Send what has piled up in this round, then free what died in it. */
void conns_settle(struct server *server);

/* Close all connections, after one last try to send what they are owed. */
void conns_done(struct server *server);

/* Set up the buffers of a connection that is otherwise complete. */
void conn_init_buffers(struct conn *conn);

/* Close: its clones are orphans. It stays readable until the end of the round. */
void conn_close(struct server *server, struct conn *conn);

/* The oldest unclaimed descriptor, now the caller's; -1 when there is none. */
int conn_take_fd(struct conn *conn);

/* Have its turn come in this round or the next. */
void conn_make_ready(struct server *server, struct conn *conn);

/* Which of a batch a message is about: of none. */
#define NO_INDEX ((int64_t)-1)

/*
 * Begin a message: an object that has the tag ("": none) and the index already. The rest, up to and
 * with its closing brace and newline, is for the caller to append; it must be one line. conn_finish
 * then has it sent, or closes a connection that has left too much unread.
 */
struct text *conn_begin(struct conn *conn, const char *tag, int64_t index);
void conn_finish(struct server *server, struct conn *conn);

/*
 * The message that is appended next takes count descriptors along, which are the connection's now.
 * When none are on their way (send_fd_count).
 */
void conn_attach(struct conn *conn, const int *fds, unsigned int count);

/* One line that tells of an error, with the tag it belongs to ("": none). */
void conn_send_error(struct server *server, struct conn *conn, const char *tag,
		     const struct error *error);

/* The same, with the request's tag and index. */
void conn_send_refusal(struct server *server, struct conn *conn, const struct request *request,
		       const struct error *error);

/* The same, after which the connection is closed. */
void conn_fail(struct server *server, struct conn *conn, const char *tag,
	       const struct error *error);

#endif

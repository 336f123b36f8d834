/* SPDX-License-Identifier: MIT */
/*
 * The client library: ask a forkvm server for clones, from C.
 *
 * A connection carries many requests at once. Each is sent with a tag; what becomes of it comes
 * back as events with that tag, in any order. A program that wants one thing at a time sends and
 * then waits; one that wants thousands polls forkvm_client_fd() and takes events as they come.
 *
 * Functions return 0 or more on success and -errno on failure, with words in *error (which may be
 * NULL). A connection belongs to one thread at a time. After -EPIPE, -ECONNRESET or -EPROTO it is
 * of no more use than to be closed.
 */
#ifndef FORKVM_FORKSERVER_CLIENT_FORKVM_CLIENT_H
#define FORKVM_FORKSERVER_CLIENT_FORKVM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "forkserver/proto/protocol.h"
#include "vmm/base/error.h"

struct forkvm_client;

/* What the server says of itself first. */
struct forkvm_greeting {
	char version[32];
	char name[64];
	int protocol;
	pid_t pid;
	size_t max_request; /* bytes of a request that its guest takes; 0 while booting */
	bool booting;	    /* its template is not frozen: no clones yet                */
};

/* May a clone be one that the server made ahead? */
enum forkvm_spare {
	FORKVM_SPARE_ANY,   /* yes, if there is one                         */
	FORKVM_SPARE_NEVER, /* no                                           */
	FORKVM_SPARE_ONLY,  /* it must be: otherwise an ERROR event, EAGAIN */
	FORKVM_SPARE_WAIT,  /* it must be, and the server waits for one     */
};

/* How a clone uses a file that it is given for an empty disk slot. */
enum forkvm_disk_mode {
	FORKVM_DISK_OVERLAY,   /* copy-on-write: the file stays as it is          */
	FORKVM_DISK_READ_ONLY, /* the guest cannot write                          */
	FORKVM_DISK_WRITE,     /* the guest's writes go to the file itself        */
};

struct forkvm_clone_disk {
	unsigned int slot; /* which empty slot (serve --disk none)                           */
	int fd;		   /* a file or a block device, as it is open; stays yours           */
	enum forkvm_disk_mode mode;
};

/* One request of a batch. */
struct forkvm_bytes {
	const void *data;
	size_t len;
};

/* A clone to be made, or a batch of them. All zeros, with both descriptors -1, is the plainest
 * there is. */
struct forkvm_clone_spec {
	uint64_t tag;	     /* yours; at most INT64_MAX; comes back in its events          */
	const void *request; /* the bytes that the guest gets; not kept                     */
	size_t request_len;
	int answer_fd;	     /* where the guest's answers go; -1: nowhere. Stays yours; may be   */
			     /* closed after sending                                             */
	int console_fd;	     /* the same for the guest's console; one that is open for reading   */
			     /* too is also where a Linux guest's serial input comes from        */
	bool session;	     /* answer_fd is a SOCK_SEQPACKET socket: a packet an answer, and    */
			     /* each packet written to its other end is a further request;       */
			     /* closing that end is the end                                      */
	bool detach;	     /* the clone outlives this connection; there is no ENDED event      */
	bool progress;	     /* a STARTED event too; with detach there is one anyway             */
	uint64_t timeout_ms; /* 0: the server's own limit */
	enum forkvm_spare spare;
	const char *tenant; /* whose clone it is: spares are reset for the same one only. NULL:
			     * nobody's in particular; printable ASCII without quotes and
			     * backslashes, not kept */
	struct forkvm_clone_disk disks[FORKVM_PROTOCOL_MAX_DISKS];
	unsigned int disk_count; /* of them that are filled in */

	/*
	 * A batch: many clones by one message, each of which has its own events, told apart by
	 * their index. No session, console or disks. answer_fd is a SOCK_SEQPACKET socket, from
	 * whose other end forkvm_batch_answer reads.
	 */
	uint32_t count; /* so many, with the same request each; 0: no batch, or by requests */
	const struct forkvm_bytes *requests; /* or one for each of these; not kept */
	uint32_t request_count;
	uint32_t at_once; /* so many of them alive at most; 0: as many as there is room for */
};

enum forkvm_event_type {
	FORKVM_EVENT_STARTED, /* id, pid                               */
	FORKVM_EVENT_ENDED,   /* id, pid, reason, status, text, stages */
	FORKVM_EVENT_OK,      /* json: the reply to another request    */
	FORKVM_EVENT_ERROR,   /* code, text: the request was refused   */
};

struct forkvm_event {
	enum forkvm_event_type type;
	bool has_tag; /* an error without one is about the connection */
	uint64_t tag;
	bool has_index; /* it is about one clone of a batch */
	uint32_t index; /* which, from 0                    */
	uint64_t id;	/* the clone's                      */
	pid_t pid;
	enum forkvm_end reason;
	uint32_t status;			 /* of FORKVM_END_DONE                       */
	uint32_t sleeps;			 /* times that an ended clone had slept      */
	int code;				 /* a positive errno                         */
	char text[ERROR_TEXT_SIZE];		 /* what went wrong; "" if nothing           */
	uint64_t stages_ns[FORKVM_STAGE_COUNT_]; /* CLOCK_MONOTONIC; 0: not reached  */
	const char *json; /* the whole line; valid until the next call on this connection    */
};

/*
 * Connect to the server at path and read its greeting. Errors: -ENOENT, -ECONNREFUSED (no server
 * there), -EACCES, -ENAMETOOLONG, -EPROTO (not a forkvm server), -EPROTONOSUPPORT, -ETIMEDOUT.
 */
int forkvm_client_open(const char *path, struct forkvm_client **ret, struct error *error);

/* Close and free; NULL is fine. Its clones that are not detached end. */
void forkvm_client_close(struct forkvm_client *client);

/* Readable when events may have come. Only to be polled. */
int forkvm_client_fd(const struct forkvm_client *client);

/* The server's greeting; valid as long as the connection. */
const struct forkvm_greeting *forkvm_client_greeting(const struct forkvm_client *client);

/*
 * Send a request for a clone. Does not wait for the reply; takes in events meanwhile if the server
 * waits for their being read. -EMSGSIZE: the request has more than FORKVM_PROTOCOL_MAX_REQUEST
 * bytes (a guest may take less still: then the refusal is an event), or those of a batch do not fit
 * one message.
 */
int forkvm_client_clone(struct forkvm_client *client, const struct forkvm_clone_spec *spec,
			struct error *error);

/* What one packet of a batch's answers holds. */
struct forkvm_batch_answer {
	uint32_t index; /* which clone of the batch */
	uint64_t id;	/* the clone's              */
	size_t len;	/* bytes of its answer      */
};

/*
 * Read the next answer from the other end of a batch's answer_fd: 1, with its bytes in buf; 0 when
 * there is none now (an empty socket that does not block; the end, when all its clones and you have
 * closed answer_fd). A clone's answer was sent before its ENDED event. -EMSGSIZE: it has more than
 * size bytes, and the rest is lost; -EPROTO: no clone sent this.
 */
int forkvm_batch_answer(int fd, void *buf, size_t size, struct forkvm_batch_answer *ret,
			struct error *error);

/*
 * Send another request: op is "list", "stats", "stop", "inspect", "kill", "freeze" or "hello";
 * members is what else the JSON object has (such as "\"id\":7"), or NULL.
 */
int forkvm_client_request(struct forkvm_client *client, uint64_t tag, const char *op,
			  const char *members, struct error *error);

/*
 * The next event: 1 with *ret filled; 0 when none came within timeout_ms (0: do not wait, -1: wait
 * for ever).
 */
int forkvm_client_next(struct forkvm_client *client, int timeout_ms, struct forkvm_event *ret,
		       struct error *error);

/*
 * Send a request and wait for its reply, passing over events of other tags (so not for programs
 * that have clones under way). A refusal is returned as -code with its text. The reply's line is in
 * *ret_json until the next call.
 */
int forkvm_client_call(struct forkvm_client *client, const char *op, const char *members,
		       const char **ret_json, struct error *error);

/* A disk of a stopped clone, layer by layer, the lowest first. All descriptors are the caller's. */
#define FORKVM_LAYERS_MAX 8

struct forkvm_layers {
	uint64_t size;	     /* of the disk, bytes                                         */
	uint64_t image_size; /* of the image: what is behind it are zeros, but for overlays */
	int image_fd;	     /* -1: there is none                                          */
	struct {
		int data_fd;   /* blocks at the offsets that they have on the disk           */
		int bitmap_fd; /* which blocks; -1: that is in data_fd's file, behind them   */
	} overlays[FORKVM_LAYERS_MAX];
	unsigned int overlay_count;
};

/*
 * As a call: have a clone stopped, and get what it takes to read one of its disks. It stays stopped
 * until forkvm_client_release, until this connection is closed, or for limit_ms (0: the server's
 * default, a minute). One at a time on a connection. -ESRCH: no such live clone; -EINVAL: no such
 * disk, or one that writes to its file itself; -EBUSY; -EPERM: the host's ptrace settings forbid
 * it.
 */
int forkvm_client_export(struct forkvm_client *client, uint64_t id, unsigned int disk,
			 uint64_t limit_ms, struct forkvm_layers *ret, struct error *error);

/*
 * As a call: let the clone go on. -ETIMEDOUT: it has gone on already, so what was read of its disk
 * is of no use.
 */
int forkvm_client_release(struct forkvm_client *client, uint64_t id, struct error *error);

/* Close what forkvm_client_export gave. */
void forkvm_layers_close(struct forkvm_layers *layers);

/* What became of a freeze. */
struct forkvm_frozen {
	uint64_t booted_us;	  /* from the start of the guest to the freeze  */
	uint64_t frozen_us;	  /* from there until clones could be had       */
	uint64_t populated_bytes; /* of RAM that the template left non-empty    */
};

/*
 * As a call: have a template that is still booting frozen, wherever its guest is, and wait until
 * clones can be had. -EALREADY: it is frozen; -ETIMEDOUT: not within timeout_ms (-1: no limit), but
 * it may be yet; -ECANCELED, -EINTR: the guest ended, the server stops.
 */
int forkvm_client_freeze(struct forkvm_client *client, int timeout_ms, struct forkvm_frozen *ret,
			 struct error *error);

#endif

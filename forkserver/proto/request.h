/* SPDX-License-Identifier: MIT */
/*
 * One request of the control protocol, from a line of bytes to a struct. A pure function: it reads
 * nothing but its arguments and changes nothing but its results, so that a fuzzer can drive it.
 */
#ifndef FORKVM_FORKSERVER_PROTO_REQUEST_H
#define FORKVM_FORKSERVER_PROTO_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forkserver/proto/protocol.h"
#include "vmm/base/error.h"

struct batch;

enum request_op {
	REQUEST_HELLO,
	REQUEST_CLONE,
	REQUEST_LIST,
	REQUEST_INSPECT,
	REQUEST_KILL,
	REQUEST_STATS,
	REQUEST_STOP,
	REQUEST_FREEZE,
	REQUEST_EXPORT,
	REQUEST_RELEASE,
	REQUEST_OP_COUNT_
};

/* May the clone be one that was made ahead? */
enum request_spare {
	REQUEST_SPARE_ANY,   /* yes, if there is one */
	REQUEST_SPARE_NEVER, /* no                   */
	REQUEST_SPARE_ONLY,  /* it must be           */
	REQUEST_SPARE_WAIT,  /* it must be, and there will be one */
};

/* How a clone uses a file that it is given for an empty slot. */
enum request_disk_mode {
	REQUEST_DISK_OVERLAY, /* copy-on-write over it  */
	REQUEST_DISK_READ_ONLY,
	REQUEST_DISK_WRITE, /* writes go to the file itself */
};

struct request_disk {
	unsigned int slot; /* below FORKVM_PROTOCOL_MAX_DISKS */
	enum request_disk_mode mode;
};

/* Bytes of a tenant's name, terminating zero included. */
#define REQUEST_TENANT_SIZE 65

/* Bytes of a tag as JSON text, quotes and terminating zero included. */
#define REQUEST_TAG_SIZE    68

struct request {
	enum request_op op;
	char tag[REQUEST_TAG_SIZE]; /* as it is to be echoed; "" when there was none */

	/* clone */
	bool answer;	  /* takes a descriptor for the guest's answers          */
	bool console;	  /* takes a descriptor for the guest's console          */
	bool session;	  /* the answer descriptor also brings further requests  */
	bool detach;	  /* lives on when the connection closes; no end record  */
	bool progress;	  /* tell of the start too                               */
	uint32_t count;	  /* a batch of so many clones; 0: one clone, and no batch */
	uint32_t at_once; /* of a batch: so many alive at most; 0: no limit of its own */
	bool has_parts;	  /* of a batch: each has a request of its own                */
	enum request_spare spare;
	char tenant[REQUEST_TENANT_SIZE]; /* whose it is; "": nobody's in particular */
	/* Filled in by the server. */
	uint32_t uid;	     /* who asks                                      */
	struct batch *batch; /* whose clone it is, and which; NULL: no batch's */
	uint32_t index;
	bool has_timeout;
	uint64_t timeout_ms; /* 0: none; of export, too                         */

	/* Each takes a descriptor; no two have one slot. */
	struct request_disk disks[FORKVM_PROTOCOL_MAX_DISKS];
	unsigned int disk_count;

	/* Descriptors announced, for a refused request as well; see request_parse. */
	unsigned int descriptors;

	/* export: which disk */
	uint64_t disk;

	/* inspect, kill, export, release */
	bool all;
	bool has_id;
	uint64_t id;

	/* list: clones with an id above this one */
	uint64_t after;

	size_t body_len;
	uint8_t body[FORKVM_PROTOCOL_MAX_REQUEST]; /* from here on not cleared between requests */
	uint32_t part_ends[FORKVM_PROTOCOL_MAX_BATCH]; /* of has_parts: where in body each ends */
};

/*
 * Parse one line, its newline excluded. On failure *ret's tag and descriptors are set where the
 * line got as far as being a JSON object, so that the failure can be told to the right asker and
 * the descriptors it brought can be dropped; the rest of *ret means nothing.
 * Errors, each with words: -EBADMSG: not a JSON object, or one beyond the parser's limits;
 * -EINVAL: a member that is missing, unknown, or of the wrong type or range; -ENOSYS: an unknown
 * op; -EMSGSIZE: more request bytes than the protocol allows; -EPROTONOSUPPORT: hello with another
 * version.
 */
int request_parse(const char *line, size_t len, struct request *ret, struct error *error);

/* "clone", "list", ... */
const char *request_op_name(enum request_op op);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The words and limits of the control protocol, shared by server and client. PROTOCOL.md is the
 * description for people; what both sides must agree on in numbers stands here and nowhere else.
 */
#ifndef FORKVM_FORKSERVER_PROTO_PROTOCOL_H
#define FORKVM_FORKSERVER_PROTO_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"

#define FORKVM_PROTOCOL_VERSION		1

/* Bytes in one request to a guest, and in one line of the protocol, its newline included. */
#define FORKVM_PROTOCOL_MAX_REQUEST	65536
#define FORKVM_PROTOCOL_MAX_LINE	131072

/* Descriptors one message may carry, and that one connection may have waiting unclaimed. */
#define FORKVM_PROTOCOL_MAX_DESCRIPTORS 64

/* Clones that one message can ask for. */
#define FORKVM_PROTOCOL_MAX_BATCH	4096

/* Disks that one guest can have. */
#define FORKVM_PROTOCOL_MAX_DISKS	4

/* Clones in one reply to "list". */
#define FORKVM_PROTOCOL_LIST_PAGE	500

#define FORKVM_DEFAULT_NAME		"default"

/* Bytes of the longest path a Unix socket can have, terminating zero included. */
#define FORKVM_SOCKET_PATH_SIZE		108

/* What each packet of a batch's answers begins with, in the host's byte order. */
struct forkvm_answer_header {
	uint32_t index; /* which of the batch's clones, from 0 */
	uint32_t zero;
	uint64_t id; /* the clone's */
};

/* Why a clone ended. */
enum forkvm_end {
	FORKVM_END_DONE,	  /* the guest said so, with a status, or had no more requests */
	FORKVM_END_SHUTDOWN,	  /* the guest halted, or asked for power-off or reset         */
	FORKVM_END_GUEST_ERROR,	  /* the guest did what it must not                            */
	FORKVM_END_TIMEOUT,	  /* its time was up                                           */
	FORKVM_END_KILLED,	  /* by an operator, its client's leaving, or a signal         */
	FORKVM_END_OUT_OF_MEMORY, /* its limit, or the host, had no memory for it              */
	FORKVM_END_HOST_ERROR,	  /* KVM or forkvm itself failed                               */
	FORKVM_END_COUNT_
};

/*
 * Moments of a clone's life, all CLOCK_MONOTONIC nanoseconds of the server's host; 0: not reached.
 * A spare was made ahead: all from FORK to RUN is earlier than RECEIVED.
 */
enum forkvm_stage {
	FORKVM_STAGE_RECEIVED, /* the server woke up for the request             */
	FORKVM_STAGE_FORK,     /* the server called clone3                       */
	FORKVM_STAGE_CHILD,    /* the child's first instruction                  */
	FORKVM_STAGE_START,    /* machine_thaw entered                           */
	FORKVM_STAGE_TOLD,     /* of a reset: the server knows of the end before */
	FORKVM_STAGE_VM,       /* VM made                                        */
	FORKVM_STAGE_POPULATE, /* the working set copied                         */
	FORKVM_STAGE_MEMSLOTS, /* RAM registered                                 */
	FORKVM_STAGE_VCPUS,    /* vCPUs made                                     */
	FORKVM_STAGE_STATE,    /* state and identity written                     */
	FORKVM_STAGE_RUN,      /* first KVM_RUN entered                          */
	FORKVM_STAGE_CLAIM,    /* of a spare: the server gave it a request       */
	FORKVM_STAGE_AWAKE,    /* of a spare: it has it                          */
	FORKVM_STAGE_READY,    /* the guest rang READY the first time            */
	FORKVM_STAGE_ANSWERED, /* the first answer was written to the descriptor */
	FORKVM_STAGE_ENDED,    /* the VM had stopped                             */
	FORKVM_STAGE_COUNT_
};

/* "done", "shutdown", "guest-error", ...; "unknown" for what is out of range. */
const char *forkvm_end_name(enum forkvm_end end);

/* "received", "fork", "child", ...; "unknown" for what is out of range. */
const char *forkvm_stage_name(enum forkvm_stage stage);

/* The enum value of a name of len bytes, or -1. */
int forkvm_end_from_name(const char *name);

/*
 * Write the socket path of a server by its name (NULL: the default name) into path:
 * $XDG_RUNTIME_DIR/forkvm-NAME.sock, or /run/forkvm-NAME.sock without that variable.
 * -EINVAL for a name that is empty or has a character other than letters, digits, '.', '_', '-';
 * -ENAMETOOLONG when the path would not fit an address.
 */
int forkvm_socket_path(const char *name, char path[FORKVM_SOCKET_PATH_SIZE], struct error *error);

#endif

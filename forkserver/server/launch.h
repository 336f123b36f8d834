/* SPDX-License-Identifier: MIT */
/*
 * What passes between the server and a clone: the launch, which the child inherits by fork, and the
 * report, which it sends at its end.
 */
#ifndef FORKVM_FORKSERVER_SERVER_LAUNCH_H
#define FORKVM_FORKSERVER_SERVER_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "forkserver/proto/protocol.h"
#include "vmm/machine/machine.h"

/*
 * Descriptors. The server keeps the low numbers for what its clones need, so that a clone keeps
 * those, puts its own after them and closes the rest as one range:
 *	0, 1	/dev/null
 *	2	the log: a clone writes there what its devices complain about, and what it prints
 *		if it crashes
 *	3	/dev/kvm
 *	4	the reports' writing end
 *	5, 6	in a clone: answer and console, as far as it has them
 *	5	in a spare: where its claim comes from; answer and console come with that, as 6 and
 *7
 */
#define FD_KVM	     3
#define FD_REPORT    4
#define FD_CLONE_OWN 5

/*
 * The server's descriptors that no clone needs, and of which there may be thousands (connections,
 * pidfds), have numbers from here up: a clone that shares the server's table when it starts drops
 * them without having copied them.
 */
#define FD_HIGH	     256

/* Filled in by the server for each child, which has a copy in its cradle (cradle.h) and only reads
 * it. */
struct launch {
	struct machine *machine;
	pid_t server_pid;
	uint64_t clone_id;
	uint32_t place; /* of the server's record; opaque to the child */
	int answer_fd;	/* the server's numbers, below FD_HIGH if share_files; -1: none */
	int console_fd;
	int claim_fd;	  /* of a spare, which has no request yet; -1: it is none      */
	bool session;	  /* answer_fd is a packet socket that brings further requests */
	bool share_files; /* the table of descriptors is still the server's            */
	bool keep;	  /* live on when the server dies                              */
	size_t request_len;
	unsigned char request[]; /* the first one */
};

#define REPORT_MAGIC 0x31545052464b564dull /* says which layout follows */

/*
 * Sent once, as one packet. Clones run guests, so the server believes nothing of it but what it can
 * check: the kernel says which process sent it, numbers must be in range, text is only shown.
 */
struct report {
	uint64_t magic;
	uint64_t clone_id;
	uint32_t place;
	uint32_t end;	 /* enum forkvm_end */
	uint32_t status; /* of FORKVM_END_DONE */
	uint32_t reserved;
	uint64_t child_ns;
	uint64_t awake_ns; /* of a spare: it had its first request */
	uint64_t answered_ns;
	uint64_t ended_ns;
	struct machine_stages stages;
	struct error error;
};

/* What the child of the fork does, to its end; its argument is the struct launch. */
_Noreturn void child_run(const void *launch);

#endif

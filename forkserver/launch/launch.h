/* SPDX-License-Identifier: MIT */
/*
 * What passes between the server and a clone: the launch, which the child inherits by fork, and the
 * report, which it sends at its end.
 */
#ifndef FORKVM_FORKSERVER_LAUNCH_LAUNCH_H
#define FORKVM_FORKSERVER_LAUNCH_LAUNCH_H

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
 *	5 ...	in a clone: answer and console, as far as it has them
 * With disks (there are N of them), of which the numbers are the same in all clones, so that the
 * server can get at them:
 *	5	the folder of overlays; gone when the guest runs, if all are made then
 *	6 ...	images and the template's overlays, 5 numbers for each disk at most
 *	6 + 5N	of each disk: an image given to the clone, its overlay's data, and its bitmap, as
 *		far as it has them
 *	6 + 8N	answer and console
 * A spare's socket, from which its claim comes, is in their place; they come with the claim, at the
 * lowest numbers that are free.
 */
#define FD_KVM		  3
#define FD_REPORT	  4
#define FD_CLONE_OWN	  5
#define FD_OVERLAYS	  5
#define FD_TEMPLATE_DISKS 6

#define DISK_TEMPLATE_FDS 5 /* of one disk: two for each file (O_DIRECT), and a bitmap */

enum disk_fd {
	DISK_FD_IMAGE,
	DISK_FD_DATA,
	DISK_FD_BITMAP,
	DISK_FD_COUNT_
};

/* The number of a clone's descriptor for one of so many disks. */
static inline int fd_of_disk(unsigned int disks, unsigned int disk, enum disk_fd what)
{
	return FD_TEMPLATE_DISKS + (int)(disks * DISK_TEMPLATE_FDS + disk * DISK_FD_COUNT_ + what);
}

/* The first number behind those of all disks. */
static inline int fd_behind_disks(unsigned int disks)
{
	return disks ? fd_of_disk(disks, disks, DISK_FD_IMAGE) : FD_CLONE_OWN;
}

/*
 * The server's descriptors that no clone needs, and of which there may be thousands (connections,
 * pidfds), have numbers from here up: a clone that shares the server's table when it starts drops
 * them without having copied them.
 */
#define FD_HIGH 256

/* A file that a client gives a clone for an empty slot. */
struct launch_disk {
	int fd; /* the server's number, below FD_HIGH if share_files; -1: none */
	enum disk_mode mode;
};

struct cpu_split;
struct disk_plan;

/* Filled in by the server for each child, which has a copy in its cradle (cradle.h) and only reads
 * it. */
struct launch {
	struct machine *machine;
	pid_t server_pid;
	uint64_t clone_id;
	uint32_t place; /* of the server's record; opaque to the child */
	int answer_fd;	/* the server's numbers, below FD_HIGH if share_files; -1: none */
	int console_fd;
	int claim_fd; /* of a spare, which has no request yet; -1: it is none      */
	const struct disk_plan *disks; /* NULL: the machine has none */
	const struct cpu_split *cpus;  /* NULL: any for everything   */
	struct launch_disk given[MACHINE_DISKS_MAX];
	bool session;		 /* answer_fd is a packet socket that brings further requests */
	bool framed;		 /* one of a batch: answers begin with a header               */
	uint32_t index;		 /* then: which                                               */
	bool share_files;	 /* the table of descriptors is still the server's            */
	bool keep;		 /* live on when the server dies                              */
	bool resets;		 /* a spare that may be reset when it has served              */
	bool reset_check;	 /* and everything is to be compared then                     */
	bool learns;		 /* tell which pages were written before the answer           */
	uint32_t sleep_after_ms; /* a session that waits this long sleeps; 0: never       */
	size_t request_len;
	unsigned char request[]; /* the first one */
};

#define REPORT_MAGIC 0x32545052464b564dull /* says which layout follows */

/* How the life that a report tells of began. */
enum report_begun {
	REPORT_FORKED,
	REPORT_RESET_QUICK,    /* by a reset that wrote back what user mode can change */
	REPORT_RESET_THOROUGH, /* by one that wrote back everything                    */
	REPORT_BEGUN_COUNT_
};

/*
 * Sent once for each life, as one packet. Clones run guests, so the server believes nothing of it
 * but what it can check: the kernel says which process sent it, numbers must be in range, text is
 * only shown.
 */
struct report {
	uint64_t magic;
	uint64_t clone_id;
	uint32_t place;
	uint32_t end;	 /* enum forkvm_end */
	uint32_t status; /* of FORKVM_END_DONE */
	uint32_t disks;	 /* how many of them are told of: all or none */
	uint32_t begun;	 /* enum report_begun */
	uint32_t sleeps; /* times that it slept between two requests */
	uint64_t child_ns;
	uint64_t told_ns;  /* of one that was reset: it had told the end of its life before */
	uint64_t awake_ns; /* of a spare: it had its first request                          */
	uint64_t answered_ns;
	uint64_t ended_ns;
	struct machine_stages stages;
	struct error error;
};

/* What is sent: as much of it as report.disks says. */
struct report_packet {
	struct report report;
	struct disk_stats disks[MACHINE_DISKS_MAX];
};

#define LEARNT_MAGIC 0x31545352414c4b46ull

/*
 * Sent by a clone that was told to, as one packet on the same socket, after its first answer; only
 * as long as it has runs.
 */
struct learnt {
	uint64_t magic;
	uint64_t clone_id;
	struct page_set pages;
};

static inline size_t learnt_size(const struct page_set *pages)
{
	return offsetof(struct learnt, pages.runs) + pages->count * sizeof(pages->runs[0]);
}

/* What arrives on that socket. */
union packet {
	uint64_t magic;
	struct report_packet report;
	struct learnt learnt;
};

#endif

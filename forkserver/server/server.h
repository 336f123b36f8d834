/* SPDX-License-Identifier: MIT */
/*
 * The server's state: one struct, in memory that clones do not inherit.
 *
 * Descriptors, all owned, and what a fork does with them: clones keep FD_KVM and FD_REPORT, and
 * close the rest (child.c).
 */
#ifndef FORKVM_FORKSERVER_SERVER_SERVER_H
#define FORKVM_FORKSERVER_SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "forkserver/base/metrics.h"
#include "forkserver/base/timers.h"
#include "forkserver/base/watch.h"
#include "forkserver/policy/cpu_split.h"
#include "forkserver/policy/limits.h"
#include "forkserver/server/anchor.h"
#include "forkserver/server/boot.h"
#include "forkserver/server/clone.h"
#include "forkserver/server/conn.h"
#include "forkserver/server/cpu_latency.h"
#include "forkserver/server/disks.h"
#include "forkserver/server/learning.h"
#include "forkserver/server/listener.h"
#include "forkserver/server/options.h"
#include "forkserver/server/pool.h"
#include "forkserver/server/rings.h"
#include "forkserver/server/template.h"
#include "vmm/kvm/host.h"
#include "vmm/machine/machine.h"

struct server {
	const struct serve_options *options;
	struct kvm_host *host;	  /* owned */
	struct machine *machine;  /* owned; frozen once the server serves         */
	struct machine_info info; /* of the frozen machine                        */
	size_t request_capacity;  /* bytes of a request the guest can take; 0 before */
	pid_t pid;
	uid_t uid;

	int epoll_fd;
	int wake_fd;	/* eventfd, written by the handler of SIGTERM and SIGINT             */
	int report_fd;	/* reports' reading end                                              */
	int vmstat_fd;	/* /proc/vmstat; -1 when there is none                               */
	int reserve_fd; /* given up for a moment to tell a client that descriptors are out   */
	struct watch wake_watch;
	struct watch listener_watch;
	struct listener listener;

	struct template template; /* while it runs */
	struct server_disks disks;
	struct rings rings;
	struct boot boot;
	struct anchor anchor;
	struct clones clones;
	struct pool pool;
	struct cpu_split *cpus; /* owned, in memory that clones inherit; NULL: any for all */
	struct conns conns;
	struct timers timers;
	struct metrics metrics;
	struct learning learning;
	struct cpu_latency cpu_latency;
	struct limits limits; /* of the host, once serving */
	union packet packet;  /* the last from a clone */
	uint64_t now_ns;      /* when the loop last woke up                       */
	bool stopping;	      /* no new clones or connections; ends when it can   */
	bool serving;	      /* the template is frozen, the process locked down  */
};

/* "booting", then "frozen". */
static inline const char *server_state_name(const struct server *server)
{
	return server->serving ? "frozen" : "booting";
}

/* Stop: refuse what is new, end the clones (unless they are to be kept), then leave the loop. */
void server_stop(struct server *server, const char *why);

/*
 * Serve until stopped or, as long as the template boots, until that is over. 0, or -errno when the
 * loop itself failed.
 */
int server_loop(struct server *server, struct error *error);

#endif

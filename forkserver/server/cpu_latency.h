/* SPDX-License-Identifier: MIT */
/*
 * Idle CPUs that wake up fast, while clients want something.
 *
 * Theory of operation. A request that is served by a spare is three wake-ups: the server's, the
 * spare's, the client's. Each may find its CPU asleep, and waking one that has halted takes tens of
 * microseconds on a virtual machine, where that is an exit to the hypervisor and an interrupt from
 * it, and as much on real machines' deeper C-states: more than all the work in between. The kernel
 * takes requests for less from those who may open /dev/cpu_dma_latency, and keeps to the least of
 * them on all CPUs (Documentation/power/pm_qos_interface.rst); with 0 an idle CPU polls.
 *
 * That costs power and, on a machine that shares its cores, others' time; so it is asked for only
 * while there are clients' messages, and for CPU_LATENCY_HOLD_NS after the last.
 */
#ifndef FORKVM_FORKSERVER_SERVER_CPU_LATENCY_H
#define FORKVM_FORKSERVER_SERVER_CPU_LATENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/base/timers.h"
#include "vmm/base/error.h"
#include "vmm/base/util.h"

#define CPU_LATENCY_DEVICE  "/dev/cpu_dma_latency"

/* Longer than between the requests of whoever has some each second. */
#define CPU_LATENCY_HOLD_NS (100 * NS_PER_MS)

struct server;

struct cpu_latency {
	int fd; /* owned, closed by clones; -1: it is left to the kernel */
	int32_t limit_us;
	bool is_held;
	uint64_t last_ns; /* of the last round with a message */
	struct timer timer;
};

/* It is left to the kernel. */
void cpu_latency_init(struct cpu_latency *latency);

/*
 * Be ready to ask for limit_us, 0 to SERVE_CPU_LATENCY_MAX_US, at device (CPU_LATENCY_DEVICE, but
 * in tests). -errno, of open(2), with its remedy.
 */
int cpu_latency_open(struct cpu_latency *latency, const char *device, int32_t limit_us,
		     struct error *error);

/* No more limit of ours. */
void cpu_latency_done(struct cpu_latency *latency);

/* There were messages in this round. */
void cpu_latency_on_messages(struct server *server);

#endif

/* SPDX-License-Identifier: MIT */
/* Asking for idle CPUs that wake up fast: see cpu_latency.h. */
#include "forkserver/server/cpu_latency.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "forkserver/base/list.h"
#include "forkserver/base/log.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"

/* As a limit: none (include/linux/pm_qos.h, PM_QOS_DEFAULT_VALUE). */
#define NO_LIMIT (-1)

static int ask(struct cpu_latency *latency, int32_t limit_us)
{
	return write(latency->fd, &limit_us, sizeof(limit_us)) == sizeof(limit_us) ? 0 : -errno;
}

static void on_timer(struct server *server, struct timer *timer)
{
	struct cpu_latency *latency = list_entry(timer, struct cpu_latency, timer);
	uint64_t until_ns = latency->last_ns + CPU_LATENCY_HOLD_NS;

	if (until_ns > server->now_ns) {
		timers_arm(&server->timers, timer, until_ns);
		return;
	}
	latency->is_held = false;
	(void)ask(latency, NO_LIMIT);
}

void cpu_latency_init(struct cpu_latency *latency)
{
	*latency = (struct cpu_latency){.fd = -1, .timer.expire = on_timer};
}

int cpu_latency_open(struct cpu_latency *latency, const char *device, int32_t limit_us,
		     struct error *error)
{
	int rc;

	latency->limit_us = limit_us;
	latency->fd = open(device, O_WRONLY | O_CLOEXEC);
	if (latency->fd < 0 && errno == ENOENT)
		return error_set(
			error, ENOENT,
			"--cpu-latency: there is no %s: this kernel has no control of idle "
			"CPUs (CONFIG_CPU_IDLE), or this container is not given it",
			device);
	if (latency->fd < 0)
		return error_set_errno(
			error, errno,
			"--cpu-latency: cannot open %s (it is root's: run as root, or "
			"give this user the right to write to it)",
			device);
	/* Opened, it asks for nothing yet. */
	rc = ask(latency, NO_LIMIT);
	return rc < 0 ? error_set_errno(error, -rc, "--cpu-latency: %s", device) : 0;
}

void cpu_latency_done(struct cpu_latency *latency)
{
	fd_close(&latency->fd);
}

void cpu_latency_on_messages(struct server *server)
{
	struct cpu_latency *latency = &server->cpu_latency;

	if (latency->fd < 0)
		return;
	latency->last_ns = server->now_ns;
	if (latency->is_held)
		return;
	latency->is_held = true;
	if (ask(latency, latency->limit_us) < 0)
		log_warning("--cpu-latency: %s takes no limit any more", CPU_LATENCY_DEVICE);
	timers_arm(&server->timers, &latency->timer, server->now_ns + CPU_LATENCY_HOLD_NS);
}

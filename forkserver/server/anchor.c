/* SPDX-License-Identifier: MIT */
/*
 * The anchor process.
 */
#include "forkserver/server/anchor.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forkserver/base/fork.h"
#include "forkserver/base/log.h"
#include "forkserver/base/sys.h"
#include "forkserver/sandbox/sandbox.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/kvm/anchor.h"

#define RESTART_AFTER_NS (10 * NS_PER_SEC)
#define STOP_WAIT_MS	 1000

/* What it knows of the server, whose memory it does not have. */
struct task {
	const struct kvm_host *host;
	pid_t server_pid;
	bool irqchip;
	bool locked_down;
};

static void anchor_run(const void *argument)
{
	const struct task *task = argument;

	/* It must not outlive the server, whose kill -9 leaves nothing behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != task->server_pid)
		_exit(1);
	/* It needs none but /dev/kvm; least of all the listening socket and its lock. */
	syscall(SYS_close_range, FD_KVM + 1, ~0u, 0);
	if (kvm_anchor_hold(task->host, task->irqchip, NULL) < 0)
		_exit(2);
	/* One that was started late has the clones' filter, in which it cannot load another. */
	if (!task->locked_down)
		(void)sandbox_enter_idle();
	for (;;)
		poll(NULL, 0, -1);
}

static void on_restart(struct server *server, struct timer *timer)
{
	(void)timer;
	anchor_start(server);
}

void anchor_init(struct anchor *anchor)
{
	*anchor = (struct anchor){
		.watch.kind = WATCH_ANCHOR,
		.restart.expire = on_restart,
		.pidfd = -1,
	};
}

/* Keep the pidfd where clones do not copy it. */
static int move_up(int *fd)
{
	int moved = sys_dup_above(*fd, FD_HIGH);

	if (moved < 0)
		return moved;
	close(*fd);
	*fd = moved;
	return 0;
}

void anchor_start(struct server *server)
{
	struct anchor *anchor = &server->anchor;
	const struct task task = {
		.host = server->host,
		.server_pid = server->pid,
		.irqchip = server->info.irqchip,
		.locked_down = server->serving,
	};
	const struct cradle_child child = {
		.run = anchor_run,
		.argument = &task,
		.len = sizeof(task),
	};
	int pidfd = -1;
	pid_t pid;
	int rc;

	if (!server->options->anchor || server->stopping)
		return;
	pid = fork_process(FORK_DEFAULT_SIGNALS, &child, &pidfd);
	rc = pid < 0 ? (int)pid : move_up(&pidfd);
	if (rc == 0)
		rc = watch_add(server->epoll_fd, pidfd, &anchor->watch, EPOLLIN);
	if (rc < 0) {
		log_warning("cannot start the anchor process, so clones are slower: %s",
			    strerror(-rc));
		if (pid > 0) {
			sys_pidfd_kill(pidfd);
			close(pidfd);
		}
		return;
	}
	anchor->pid = pid;
	anchor->pidfd = pidfd;
}

void anchor_on_exit(struct server *server)
{
	struct anchor *anchor = &server->anchor;
	siginfo_t info = {0};

	if (sys_wait_pidfd(anchor->pidfd, &info) < 0 || !info.si_pid)
		return;
	log_warning("the anchor process %d ended (%s %d): clones are slower until the next one is "
		    "started in %llu s",
		    anchor->pid, info.si_code == CLD_EXITED ? "exit status" : "signal",
		    info.si_status, RESTART_AFTER_NS / NS_PER_SEC);
	watch_remove(server->epoll_fd, anchor->pidfd);
	fd_close(&anchor->pidfd);
	timers_arm(&server->timers, &anchor->restart, server->now_ns + RESTART_AFTER_NS);
}

void anchor_done(struct anchor *anchor)
{
	struct pollfd pollfd = {.fd = anchor->pidfd, .events = POLLIN};
	siginfo_t info;

	if (anchor->pidfd < 0)
		return;
	sys_pidfd_kill(anchor->pidfd);
	/* Nobody else may be there to reap it. It does nothing, so its end does not take long. */
	if (poll(&pollfd, 1, STOP_WAIT_MS) > 0)
		sys_wait_pidfd(anchor->pidfd, &info);
	fd_close(&anchor->pidfd);
}

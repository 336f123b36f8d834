/* SPDX-License-Identifier: MIT */
/*
 * A clone's life, from the fork to its report.
 *
 * Theory of operation. All of this is on the path that clients wait for, so it makes few system
 * calls, allocates nothing and logs nothing but what devices complain about. It runs in the
 * server's image but has none of the server's own memory (private.h) and none of its rights
 * (gate.h): what it needs is in the launch.
 * Calls that may wait are made by syscall(2), for the reason that cradle.h gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "forkserver/base/gate.h"
#include "forkserver/base/log.h"
#include "forkserver/child/child.h"
#include "forkserver/child/child_disks.h"
#include "forkserver/child/child_run.h"
#include "forkserver/launch/disk_plan.h"
#include "forkserver/policy/cpu_split.h"
#include "forkserver/sandbox/sandbox.h"
#include "vmm/base/util.h"

int child_try_again(int fd, short events)
{
	struct pollfd pollfd = {.fd = fd, .events = events};
	if (errno == EAGAIN && syscall(SYS_poll, &pollfd, 1, -1) >= 0)
		return 0;
	return errno == EINTR ? 0 : -errno;
}

/* Write everything to a descriptor that a client gave: it may be of any kind, and non-blocking. */
static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t written = syscall(SYS_write, fd, data, len);
		int rc = written < 0 ? child_try_again(fd, POLLOUT) : 0;

		if (rc < 0)
			return rc;
		if (written > 0) {
			data += written;
			len -= (size_t)written;
		}
	}
	return 0;
}

int child_send_packet(int fd, const void *data, size_t len)
{
	int rc = 0;

	while (rc == 0 && syscall(SYS_sendto, fd, data, len, MSG_NOSIGNAL, NULL, 0) < 0)
		rc = child_try_again(fd, POLLOUT);
	return rc;
}

/* An answer of a clone that is one of a batch: a packet that begins with whose it is. */
static int send_framed(const struct child *child, const void *data, size_t len)
{
	struct forkvm_answer_header header = {
		.index = child->index,
		.id = child->report.clone_id,
	};
	const struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = len},
	};
	int rc = 0;

	while (rc == 0 && syscall(SYS_writev, child->answer_fd, iov, ARRAY_SIZE(iov)) < 0)
		rc = child_try_again(child->answer_fd, POLLOUT);
	return rc;
}

static int send_answer(const struct child *child, const void *data, size_t len)
{
	if (child->framed)
		return send_framed(child, data, len);
	if (child->session)
		return child_send_packet(child->answer_fd, data, len);
	return write_all(child->answer_fd, data, len);
}

/* What cannot be told is not missed: others are asked. */
static void tell_working_set(const struct launch *launch)
{
	struct learnt *learnt = calloc(1, sizeof(*learnt));
	struct error error;

	if (!learnt)
		return;
	learnt->magic = LEARNT_MAGIC;
	learnt->clone_id = launch->clone_id;
	if (machine_get_working_set(launch->machine, &learnt->pages, &error) == 0)
		(void)child_send_packet(FD_REPORT, learnt, learnt_size(&learnt->pages));
	free(learnt);
}

static int on_answer(void *ctx, const void *data, size_t len)
{
	struct child *child = ctx;
	int rc = 0;

	if (child->answer_fd >= 0)
		rc = send_answer(child, data, len);
	if (rc == -EPIPE || rc == -ECONNRESET)
		error_set(&child->client_error, -rc, "its client closed the answer descriptor");
	else if (rc == -EMSGSIZE)
		error_set(&child->client_error, EMSGSIZE,
			  "its answer has %zu bytes, more than its client's socket takes as one "
			  "packet (SO_SNDBUF)",
			  len);
	if (!child->report.answered_ns) {
		child->report.answered_ns = now_ns();
		/*
		 * Whoever waited for the answer was woken to this CPU, on the kernel's assumption
		 * that its writer would rest now. Let it go first: nobody waits for what this clone
		 * does next.
		 */
		syscall(SYS_sched_yield);
		if (child->learns)
			tell_working_set(child->launch);
		child->learns = false;
	}
	return rc;
}

/* A session's next request is the next packet; its client's leaving is the end of it. */
static int on_park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	struct child *child = ctx;

	if (child->is_spare)
		return child_await_claim(child, buf, capacity, ret_len);
	return child->session ? child_await_request(child, buf, capacity, ret_len) : 0;
}

/* Console text is for people: a reader that has left is no reason to end the guest. */
static int on_console(void *ctx, const char *text, size_t len)
{
	struct child *child = ctx;

	if (child->console_fd >= 0 && write_all(child->console_fd, text, len) < 0)
		child->console_fd = -1;
	return 0;
}

/* A device that stops says so a few times at most (VIRTIO_LOG_MAX), each as one write to the log.
 */
static void on_complaint(void *ctx, const char *text)
{
	const struct child *child = ctx;

	log_warning("clone %llu: %s", (unsigned long long)child->report.clone_id, text);
}

static void take_signals(const struct launch *launch)
{
	/*
	 * Only with further threads: vCPUs' are kicked by a signal whose handler must be kept, so
	 * the fork could not reset them all, and the server's own are reset here.
	 */
	if (machine_extra_threads(launch->machine)) {
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		signal(SIGHUP, SIG_DFL);
	}
	if (launch->keep)
		return;
	/* A clone must not outlive its server, which is the only one to enforce its limits. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* The server may have died before that took effect. */
	if (getppid() != launch->server_pid)
		_exit(1);
}

static void take_descriptors(struct child *child)
{
	const struct launch *launch = child->launch;
	int next = fd_behind_disks(launch->disks ? launch->disks->count : 0);

	/*
	 * First of all, and without it nothing may be closed: the table is still the server's. What
	 * is at FD_HIGH and above is not even copied, so this costs the same among 5000 clones.
	 */
	if (launch->share_files && syscall(SYS_close_range, FD_HIGH, ~0u, CLOSE_RANGE_UNSHARE) < 0)
		_exit(1);
	/* These are numbered above all of the server's fixed ones, or -1. */
	child->answer_fd = -1;
	child->console_fd = -1;
	if (launch->claim_fd >= 0)
		child->claim_fd = dup3(launch->claim_fd, next++, O_CLOEXEC);
	if (launch->answer_fd >= 0)
		child->answer_fd = dup3(launch->answer_fd, next++, O_CLOEXEC);
	if (launch->console_fd >= 0)
		child->console_fd = dup3(launch->console_fd, next++, O_CLOEXEC);
	if (launch->resets)
		child->ram_fd = dup3(machine_ram_fd(launch->machine), next++, O_CLOEXEC);
	if (launch->disks)
		child_disks_take(launch);
	/* Not its own: the listening socket, other clients' descriptors, the lock, the RAM's. */
	syscall(SYS_close_range, next, ~0u, 0);
}

/* Everything that a clone must have to itself. */
int child_take_identity(uint64_t id, struct forkvm_identity *ret_identity, struct error *error)
{
	uint8_t random[FORKVM_GENERATION_ID_SIZE + FORKVM_SEED_SIZE];

	/* Drawn in the child: the server never knows a clone's seed. */
	if (syscall(SYS_getrandom, random, sizeof(random), 0) != sizeof(random))
		return error_set_errno(error, errno, "getrandom");
	ret_identity->clone_id = id;
	memcpy(ret_identity->generation_id, random, FORKVM_GENERATION_ID_SIZE);
	memcpy(ret_identity->seed, random + FORKVM_GENERATION_ID_SIZE, FORKVM_SEED_SIZE);
	ret_identity->wall_clock_ns = clock_ns(CLOCK_REALTIME);
	explicit_bzero(random, sizeof(random));
	return 0;
}

static enum forkvm_end end_of_machine(enum machine_end_reason reason)
{
	switch (reason) {
	case MACHINE_END_DONE:
		return FORKVM_END_DONE;
	case MACHINE_END_SHUTDOWN:
		return FORKVM_END_SHUTDOWN;
	case MACHINE_END_GUEST_ERROR:
		return FORKVM_END_GUEST_ERROR;
	case MACHINE_END_OUT_OF_MEMORY:
		return FORKVM_END_OUT_OF_MEMORY;
	case MACHINE_END_HOST_ERROR:
	case MACHINE_END_COUNT_:
		break;
	}
	return FORKVM_END_HOST_ERROR;
}

/*
 * A guest's serial port leads to its console descriptor: output, and input from what can be read as
 * well as written (a socket, a terminal; of a pipe a client gives one end).
 */
void child_set_serial(struct child *child)
{
	int fd = child->console_fd;
	int mode = fd < 0 ? -1 : fcntl(fd, F_GETFL);

	child->serial = (struct machine_serial){
		.in_fd = mode >= 0 && (mode & O_ACCMODE) == O_RDWR ? fd : -1,
		.out_fd = fd,
	};
}

static void run(struct child *child)
{
	struct machine_sink sink = {
		.ctx = child,
		.answer = on_answer,
		.park = on_park,
		.console = on_console,
		.complain = on_complaint,
		.serial = &child->serial,
	};
	struct report *report = &child->report;
	struct machine_end end;

	child_set_serial(child);
	machine_run(child->launch->machine, &sink, &end);
	report->end = (uint32_t)end_of_machine(end.reason);
	report->status = end.status;
	report->error = end.error;
	/* For the machine it is its owner that failed, but it is the client's doing. */
	if (child->client_error.code) {
		report->end = FORKVM_END_KILLED;
		report->error = child->client_error;
	}
	if (child->wake_error.code) {
		if (child->wake_error.code == ENOMEM)
			report->end = FORKVM_END_OUT_OF_MEMORY;
		report->error = child->wake_error;
	}
}

static int leave_nursery(struct error *error)
{
	int rc = nursery_leave();

	return rc < 0 ? error_set_errno(error, -rc, "cannot leave the nursery") : 0;
}

/* Thaw, lock down, run. */
static void live(struct child *child)
{
	const struct launch *launch = child->launch;
	struct machine *machine = launch->machine;
	struct report *report = &child->report;
	struct forkvm_identity identity;
	int rc = 0;

	if (launch->learns)
		machine_learn_working_set(machine);
	if (launch->resets)
		rc = machine_prepare_reset(machine, child->ram_fd, &report->error);
	if (rc == 0)
		rc = child_take_identity(launch->clone_id, &identity, &report->error);
	if (rc == 0 && launch->disks)
		rc = child_disks_make(launch, &report->error);
	if (rc == 0)
		rc = machine_thaw(machine, &identity, child->is_spare ? NULL : launch->request,
				  launch->request_len, &report->stages, &report->error);
	explicit_bzero(&identity, sizeof(identity));
	/*
	 * Most was locked down by the fork itself: a clone has no gate. What is left are disks,
	 * for which nothing more may be made now, and the threads of a guest that has several
	 * (vCPUs, devices): now they exist, and no more may be made.
	 */
	if (rc == 0 && (launch->disks || launch->resets))
		rc = leave_nursery(&report->error);
	if (rc == 0 && machine_extra_threads(machine))
		rc = sandbox_seal_threads(&report->error);
	if (rc == 0) {
		do
			run(child);
		while (child_begin_again(child));
		return;
	}
	report->end = rc == -ENOMEM ? FORKVM_END_OUT_OF_MEMORY : FORKVM_END_HOST_ERROR;
}

/* Apart, so that a clone without disks needs no stack for it. */
static __attribute__((noinline)) void send_report_of_disks(struct child *child)
{
	struct report_packet packet;
	uint32_t count = child_disks_count(child->launch, &packet);

	packet.report = child->report;
	packet.report.disks = count;
	(void)child_send_packet(FD_REPORT, &packet,
				sizeof(packet.report) + count * sizeof(packet.disks[0]));
}

/* A server that is gone cannot be told. The kernel tells the living one who sent it. */
void child_send_report(struct child *child)
{
	if (child->launch->disks)
		send_report_of_disks(child);
	else
		(void)child_send_packet(FD_REPORT, &child->report, sizeof(child->report));
}

void child_move(const cpu_set_t *set)
{
	/* What comes of a failure is that others may have to wait. */
	(void)syscall(SYS_sched_setaffinity, 0, sizeof(*set), set);
}

/*
 * The server's are too few for a clone, and a spare is made where it is in nobody's way until it
 * parks. Not one with further threads, which would stay there for good.
 */
static void take_cpus(const struct child *child)
{
	const struct launch *launch = child->launch;
	bool aside = child->is_spare && machine_extra_threads(launch->machine) == 0;

	child_move(aside ? &launch->cpus->making : &launch->cpus->all);
}

_Noreturn void child_run(const void *argument)
{
	const struct launch *launch = argument;
	struct child child = {
		.launch = launch,
		.session = launch->session,
		.framed = launch->framed,
		.index = launch->index,
		.is_spare = launch->claim_fd >= 0,
		.learns = launch->learns,
		.report =
			{
				.magic = REPORT_MAGIC,
				.clone_id = launch->clone_id,
				.place = launch->place,
				.child_ns = now_ns(),
			},
	};

	if (launch->cpus)
		take_cpus(&child);
	take_descriptors(&child);
	take_signals(launch);
	live(&child);
	if (!child.has_told) {
		child.report.ended_ns = now_ns();
		child_send_report(&child);
	}
	/* Nobody waits for this process's end, and it is to be in nobody's way. */
	if (launch->cpus)
		child_move(&launch->cpus->making);
	/* At once, threads and all, and past anything that a library would do at an exit. */
	for (;;)
		syscall(SYS_exit_group, 0);
}

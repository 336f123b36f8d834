/* SPDX-License-Identifier: MIT */
/*
 * The floor's loop in several processes at once: how many clones a second the CPUs can make.
 *
 * Theory of operation. Each worker is a fork of the process that has the template, makes a few
 * clones that are not counted, says that it is ready and waits. When all are, the start pipe is
 * closed, which starts them together. From then on they do not wait for each other: the only thing
 * they share is a counter of clones that are still to be made, so that all of them work until the
 * last one (with fixed shares, CPUs would be idle at the end). A worker then reports what it saw.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/floor/floor.h"

#define TURN_CLONES 500 /* of each turn of a variant, at least; the variants alternate */
#define TURNS_MAX   10
#define LOOK_MS	    1000
#define LOOKS_MAX   30 /* without a new clone: something hangs                  */

/* In memory that all processes share. */
struct ticket {
	atomic_uint next;
};

/* What a worker says at its end; shorter than PIPE_BUF. */
struct worker_report {
	uint64_t ok, failed;
	char failure[64];
	uint64_t answer_ns, end_ns; /* of its last clone */
	uint64_t worker_cpu_us, clone_cpu_us;
};

/* A set of workers. */
struct crew {
	const struct floor_template *template;
	enum floor_variant variant;
	struct ticket *ticket;
	unsigned int count; /* clones in all */
	int ready[2], start[2], reports[2];
	unsigned int workers;
	pid_t pids[FLOOR_WORKERS_MAX];
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "floor: parallel loop: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static uint64_t cpu_us(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Clone until all clones of the turn are taken. */
static void make_share(const struct crew *crew, const int pipe_fds[2], uint64_t clone_id,
		       struct worker_report *ret)
{
	uint64_t own_us = cpu_us(RUSAGE_SELF), clones_us = cpu_us(RUSAGE_CHILDREN);

	while (atomic_fetch_add(&crew->ticket->next, 1) < crew->count) {
		struct floor_clone clone;

		if (floor_once(crew->template, crew->variant, pipe_fds, ++clone_id, &clone)) {
			ret->ok++;
			ret->answer_ns = clone.answer_ns;
			ret->end_ns = clone.end_ns;
		} else if (ret->failed++ == 0) {
			memcpy(ret->failure, clone.failure, sizeof(ret->failure));
		}
	}
	ret->worker_cpu_us = cpu_us(RUSAGE_SELF) - own_us;
	ret->clone_cpu_us = cpu_us(RUSAGE_CHILDREN) - clones_us;
}

/* A worker's life. The index makes its clones' numbers its own. */
static _Noreturn void work(struct crew *crew, unsigned int index, pid_t parent)
{
	uint64_t clone_id = (uint64_t)(index + 1) << 32;
	struct worker_report report = {0};
	struct floor_clone clone;
	int pipe_fds[2];
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	close(crew->start[1]);
	close(crew->ready[0]);
	close(crew->reports[0]);
	if (pipe(pipe_fds) < 0)
		fail("pipe");
	for (unsigned int i = 0; i < FLOOR_WARM_UP; i++)
		floor_once(crew->template, crew->variant, pipe_fds, ++clone_id, &clone);
	if (write(crew->ready[1], &byte, 1) != 1)
		fail("report ready");
	close(crew->ready[1]);
	if (read(crew->start[0], &byte, 1) != 0)
		fail("wait for the start");
	make_share(crew, pipe_fds, clone_id, &report);
	if (write(crew->reports[1], &report, sizeof(report)) != (ssize_t)sizeof(report))
		fail("report");
	_exit(0);
}

static void end_workers(struct crew *crew)
{
	for (unsigned int i = 0; i < crew->workers; i++)
		kill(crew->pids[i], SIGKILL);
	for (unsigned int i = 0; i < crew->workers; i++)
		waitpid(crew->pids[i], NULL, 0);
	crew->workers = 0;
}

static _Noreturn void give_up(struct crew *crew, const char *why)
{
	end_workers(crew);
	fprintf(stderr, "floor: parallel loop: %s\n", why);
	exit(1);
}

/* A worker ended without having said what it was to say. */
static bool lost_worker(const struct crew *crew)
{
	for (unsigned int i = 0; i < crew->workers; i++) {
		siginfo_t info = {0};

		if (waitid(P_PID, (id_t)crew->pids[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
		    info.si_pid && (info.si_code != CLD_EXITED || info.si_status != 0))
			return true;
	}
	return false;
}

/* Read size bytes that a worker writes in one go; gives up when nothing goes on any more. */
static void await(struct crew *crew, int fd, void *buffer, size_t size)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	unsigned int before = 0, looks = 0;

	while (poll(&poll_fd, 1, LOOK_MS) <= 0) {
		unsigned int now = atomic_load(&crew->ticket->next);

		if (lost_worker(crew))
			give_up(crew, "a process of it ended early");
		looks = now == before ? looks + 1 : 0;
		before = now;
		if (looks == LOOKS_MAX)
			give_up(crew, "no clone has ended for half a minute");
	}
	if (read(fd, buffer, size) != (ssize_t)size)
		give_up(crew, "a process of it ended early");
}

static void start_workers(struct crew *crew, unsigned int workers)
{
	pid_t parent = getpid();

	if (pipe(crew->ready) < 0 || pipe(crew->start) < 0 || pipe(crew->reports) < 0)
		fail("pipe");
	for (unsigned int i = 0; i < workers; i++) {
		pid_t pid = fork();

		if (pid == 0)
			work(crew, i, parent);
		if (pid < 0)
			give_up(crew, "the host lets it have no more processes");
		crew->pids[crew->workers++] = pid;
	}
	/* From here on their ends of these are the only ones. */
	close(crew->ready[1]);
	close(crew->start[0]);
	close(crew->reports[1]);
}

static void add_report(struct floor_rate *rate, const struct worker_report *report)
{
	if (report->failed && !rate->failed)
		memcpy(rate->failure, report->failure, sizeof(rate->failure));
	rate->ok += report->ok;
	rate->failed += report->failed;
	rate->worker_cpu_us += report->worker_cpu_us;
	rate->clone_cpu_us += report->clone_cpu_us;
}

/* One turn of one variant. */
static void run_crew(struct crew *crew, unsigned int workers, struct floor_rate *rate)
{
	uint64_t start_ns, last_answer_ns = 0, last_end_ns = 0;
	char byte;

	atomic_store(&crew->ticket->next, 0);
	start_workers(crew, workers);
	for (unsigned int i = 0; i < workers; i++)
		await(crew, crew->ready[0], &byte, 1);
	start_ns = now_ns();
	close(crew->start[1]);
	for (unsigned int i = 0; i < workers; i++) {
		struct worker_report report;

		await(crew, crew->reports[0], &report, sizeof(report));
		add_report(rate, &report);
		if (report.answer_ns > last_answer_ns)
			last_answer_ns = report.answer_ns;
		if (report.end_ns > last_end_ns)
			last_end_ns = report.end_ns;
	}
	if (last_end_ns > start_ns) {
		rate->answer_ns += last_answer_ns - start_ns;
		rate->end_ns += last_end_ns - start_ns;
	}
	for (unsigned int i = 0; i < workers; i++)
		waitpid(crew->pids[i], NULL, 0);
	crew->workers = 0;
	close(crew->ready[0]);
	close(crew->reports[0]);
}

void floor_run_parallel(const struct floor_options *options, const struct floor_template *template,
			struct floor_rate rates[FLOOR_VARIANTS])
{
	unsigned int turns = options->count / TURN_CLONES;
	struct crew crew = {.template = template};

	crew.ticket = mmap(NULL, sizeof(*crew.ticket), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crew.ticket == MAP_FAILED)
		fail("shared memory");
	turns = turns < 1 ? 1 : turns > TURNS_MAX ? TURNS_MAX : turns;
	for (unsigned int turn = 0; turn < turns; turn++) {
		crew.count = options->count * (turn + 1) / turns - options->count * turn / turns;
		for (int variant = 0; variant < FLOOR_VARIANTS; variant++) {
			pid_t anchor = -1;

			if (variant == FLOOR_LEAN)
				anchor = floor_anchor_start(template->kvm);
			crew.variant = (enum floor_variant)variant;
			run_crew(&crew, options->parallel, &rates[variant]);
			if (anchor > 0)
				floor_anchor_stop(anchor);
		}
	}
	munmap(crew.ticket, sizeof(*crew.ticket));
}

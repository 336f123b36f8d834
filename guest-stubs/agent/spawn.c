/* SPDX-License-Identifier: MIT */
/*
 * Running commands: see spawn.h.
 */
#include "guest-stubs/agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-stubs/stub_abi.h"

#define STACK_SIZE  32768
#define STATUS_EXEC 127
#define MS_PER_S    1000
#define NS_PER_MS   1000000

/* Signals that end the agent. Busybox's poweroff, halt and reboot send init the first three. */
static const int end_signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGPWR};

static struct {
	int signals; /* the signalfd, its own */
	bool ending; /* such a signal has come */
	pid_t child; /* the one waited for, 0: none ... */
	int status;  /* ... or over, and how */
	char stack[STACK_SIZE] __attribute__((aligned(64)));
} state = {.signals = -1};

/* What a child needs to know. It shares the parent's memory until it executes. */
struct birth {
	const struct command *command;
	int in, out;
	int error; /* why it could not */
};

int spawn_init(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(end_signals) / sizeof(end_signals[0]); i++)
		sigaddset(&set, end_signals[i]);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	state.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	/* The child's stack is in memory before any clone needs it. */
	memset(state.stack, 0, sizeof(state.stack));
	return state.signals < 0 ? -errno : 0;
}

/* On a stack that the address sanitizer, of the unit tests, knows nothing of. */
__attribute__((no_sanitize_address)) static int be_child(void *context)
{
	struct birth *birth = context;
	const struct command *command = birth->command;
	sigset_t none;

	sigemptyset(&none);
	setsid();
	/* Permission to ring would be inherited, and a wrong ring ends the VM. */
	ioperm(FORKVM_PORT_BASE, FORKVM_PORT_END - FORKVM_PORT_BASE, 0);
	if (dup2(birth->in, STDIN_FILENO) >= 0 &&
	    dup2(birth->out >= 0 ? birth->out : STDERR_FILENO, STDOUT_FILENO) >= 0) {
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* Ours close by themselves; whoever started the agent may have left others. */
		close_range(STDERR_FILENO + 1, ~0u, 0);
		/* execve() wants its strings writable and leaves them alone. */
		execve(command->argv[0], (char *const *)(uintptr_t)command->argv, command->envp);
	}
	birth->error = errno;
	_exit(STATUS_EXEC);
}

static int start(struct birth *birth)
{
	pid_t pid =
		clone(be_child, state.stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, birth);

	if (pid < 0)
		return -errno;
	/* It has executed or is over. */
	state.child = pid;
	return 0;
}

/* Input as a file, so that nobody has to feed a pipe. */
static int open_input(const struct command *command)
{
	size_t done = 0;
	int fd;

	if (!command->input_size)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd = memfd_create("request", MFD_CLOEXEC);
	while (fd >= 0 && done < command->input_size) {
		ssize_t put =
			pwrite(fd, command->input + done, command->input_size - done, (off_t)done);

		if (put <= 0) {
			int rc = put < 0 ? errno : EIO;

			close(fd);
			errno = rc;
			return -1;
		}
		done += (size_t)put;
	}
	return fd;
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != state.child)
			continue;
		state.status = status;
		state.child = 0;
	}
}

bool spawn_poll(void)
{
	struct signalfd_siginfo info;

	while (read(state.signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			state.ending = true;
	}
	reap();
	return state.ending;
}

void spawn_wait_for_end(void)
{
	struct pollfd wait = {.fd = state.signals, .events = POLLIN};

	while (!spawn_poll())
		poll(&wait, 1, -1);
}

/* Take what the pipe has now. False at its end. */
static bool drain(int fd, const struct command *command, struct outcome *outcome)
{
	char rest[512];

	for (;;) {
		size_t room = command->output_capacity - outcome->output_size;
		ssize_t got = read(fd, room ? command->output + outcome->output_size : rest,
				   room ? room : sizeof(rest));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0;
		if (room)
			outcome->output_size += (size_t)got;
		else
			outcome->output_lost += (size_t)got;
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

/* Until the child is over; out is the reading end of its output, or -1. */
static void wait_for_child(int out, const struct command *command, struct outcome *outcome)
{
	int64_t deadline = now_ms() + (int64_t)command->timeout_s * MS_PER_S;
	bool killed = false;

	while (spawn_poll(), state.child) {
		struct pollfd waits[] = {{.fd = state.signals, .events = POLLIN},
					 {.fd = out, .events = POLLIN}};
		int64_t left = deadline - now_ms();

		if (!killed) {
			outcome->interrupted = state.ending;
			outcome->timed_out = !state.ending && command->timeout_s && left <= 0;
		}
		if (!killed && (outcome->interrupted || outcome->timed_out)) {
			kill(-state.child, SIGKILL);
			killed = true;
		}
		poll(waits, 2, command->timeout_s && !killed ? (int)left : -1);
		if (out >= 0 && waits[1].revents && !drain(out, command, outcome))
			out = -1;
	}
	if (out >= 0)
		drain(out, command, outcome);
	outcome->status = state.status;
}

int spawn_run(const struct command *command, struct outcome *ret_outcome)
{
	struct birth birth = {.command = command, .in = -1, .out = -1};
	struct outcome outcome = {0};
	int out[2] = {-1, -1};
	int rc = 0;

	birth.in = open_input(command);
	if (birth.in < 0)
		return -errno;
	if (command->output && pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0) {
		rc = -errno;
	} else {
		/* Only our end does not block: a program expects to be kept waiting. */
		if (command->output)
			fcntl(out[1], F_SETFL, 0);
		birth.out = out[1];
		rc = start(&birth);
	}
	if (out[1] >= 0)
		close(out[1]);
	close(birth.in);
	if (rc == 0) {
		wait_for_child(out[0], command, &outcome);
		rc = -birth.error;
	}
	if (out[0] >= 0)
		close(out[0]);
	if (rc == 0)
		*ret_outcome = outcome;
	return rc;
}

int spawn_shell(const char *line, struct command *command, struct outcome *ret_outcome)
{
	const char *const argv[] = {"/bin/sh", "-c", line, NULL};

	command->argv = argv;
	return spawn_run(command, ret_outcome);
}

bool outcome_is_success(const struct outcome *outcome)
{
	return !outcome->timed_out && !outcome->interrupted && WIFEXITED(outcome->status) &&
	       WEXITSTATUS(outcome->status) == 0;
}

const char *outcome_describe(const struct outcome *outcome, char *buffer, size_t size)
{
	if (outcome->timed_out)
		snprintf(buffer, size, "took too long and was killed");
	else if (outcome->interrupted)
		snprintf(buffer, size, "was killed because the agent is to end");
	else if (WIFSIGNALED(outcome->status))
		snprintf(buffer, size, "died of signal %d", WTERMSIG(outcome->status));
	else
		snprintf(buffer, size, "exit status %d", WEXITSTATUS(outcome->status));
	return buffer;
}

/* SPDX-License-Identifier: MIT */
/*
 * The other half of floor: fork, read the child's message, wait for its end, again. And the anchor,
 * a process that holds a VM while the lean variant runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/floor/floor.h"

/* The variants take turns, so that what drifts on the host (clocks, caches) drifts for both. */
#define ROUNDS	10
#define WARM_UP 5 /* clones at the start of each turn that are not counted */

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * While some VM with a vCPU is alive on the host, KVM need neither switch virtualization on and off
 * on every CPU nor patch its static branches for each clone that comes and goes.
 */
static pid_t anchor_start(int kvm)
{
	int pair[2], vm;
	char byte = 0;
	pid_t pid;

	if (pipe(pair) < 0)
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		if (vm < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0 || write(pair[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pair[1]);
	if (read(pair[0], &byte, 1) != 1) {
		errno = EIO;
		fail("the anchor process could not make a VM");
	}
	close(pair[0]);
	return pid;
}

static void anchor_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void record(struct floor_result *result, const struct floor_message *message,
		   uint64_t start_ns, uint64_t answer_ns, uint64_t end_ns)
{
	uint64_t before = start_ns;

	for (size_t stage = 0; stage < FLOOR_STAGES; stage++) {
		uint64_t at = stage == FLOOR_ANSWER ? answer_ns : message->at_ns[stage];

		samples_add(&result->stages[stage], at - before);
		before = at;
	}
	samples_add(&result->latency, answer_ns - start_ns);
	samples_add(&result->end, end_ns - answer_ns);
}

/* One clone. */
static void once(const struct floor_template *template, enum floor_variant variant,
		 const int pipe_fds[2], uint64_t clone_id, struct floor_result *result)
{
	struct floor_message message;
	uint64_t start_ns, answer_ns;
	ssize_t got;
	pid_t pid;

	start_ns = now_ns();
	pid = fork();
	if (pid == 0)
		floor_child(template, variant, clone_id, pipe_fds[1]);
	if (pid < 0)
		fail("fork");
	got = read(pipe_fds[0], &message, sizeof(message));
	answer_ns = now_ns();
	if (waitpid(pid, NULL, 0) != pid)
		fail("waitpid");
	if (!result)
		return;
	if (got != (ssize_t)sizeof(message) || message.status != 0) {
		if (result->failed++ == 0)
			snprintf(result->failure, sizeof(result->failure), "%.27s: %.30s",
				 message.what, strerror(message.status));
		return;
	}
	record(result, &message, start_ns, answer_ns, now_ns());
}

void floor_run(const struct floor_options *options, const struct floor_template *template,
	       struct floor_result results[FLOOR_VARIANTS])
{
	uint64_t clone_id = 0;
	int pipe_fds[2];

	if (pipe(pipe_fds) < 0)
		fail("pipe");
	for (int variant = 0; variant < FLOOR_VARIANTS; variant++) {
		samples_reserve(&results[variant].latency, options->count);
		samples_reserve(&results[variant].end, options->count);
		for (size_t stage = 0; stage < FLOOR_STAGES; stage++)
			samples_reserve(&results[variant].stages[stage], options->count);
	}
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int from = options->count * round / ROUNDS;
		unsigned int to = options->count * (round + 1) / ROUNDS;

		for (int variant = 0; variant < FLOOR_VARIANTS; variant++) {
			pid_t anchor = variant == FLOOR_LEAN ? anchor_start(template->kvm) : -1;

			for (unsigned int i = 0; i < WARM_UP; i++)
				once(template, (enum floor_variant)variant, pipe_fds, ++clone_id,
				     NULL);
			for (unsigned int i = from; i < to; i++)
				once(template, (enum floor_variant)variant, pipe_fds, ++clone_id,
				     &results[variant]);
			if (anchor > 0)
				anchor_stop(anchor);
		}
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

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
#define ROUNDS 10

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

pid_t floor_anchor_start(int kvm)
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

void floor_anchor_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void record(struct floor_result *result, const struct floor_clone *clone)
{
	uint64_t before = clone->start_ns;

	for (size_t stage = 0; stage < FLOOR_STAGES; stage++) {
		uint64_t at =
			stage == FLOOR_ANSWER ? clone->answer_ns : clone->message.at_ns[stage];

		samples_add(&result->stages[stage], at - before);
		before = at;
	}
	samples_add(&result->latency, clone->answer_ns - clone->start_ns);
	samples_add(&result->end, clone->end_ns - clone->answer_ns);
}

bool floor_once(const struct floor_template *template, enum floor_variant variant,
		const int pipe_fds[2], uint64_t clone_id, struct floor_clone *ret)
{
	ssize_t got;
	pid_t pid;

	ret->start_ns = now_ns();
	pid = fork();
	if (pid == 0)
		floor_child(template, variant, clone_id, pipe_fds[1]);
	if (pid < 0) {
		snprintf(ret->failure, sizeof(ret->failure), "fork: %.50s", strerror(errno));
		return false;
	}
	got = read(pipe_fds[0], &ret->message, sizeof(ret->message));
	ret->answer_ns = now_ns();
	if (waitpid(pid, NULL, 0) != pid)
		fail("waitpid");
	ret->end_ns = now_ns();
	if (got == (ssize_t)sizeof(ret->message) && ret->message.status == 0)
		return true;
	if (got != (ssize_t)sizeof(ret->message))
		snprintf(ret->failure, sizeof(ret->failure), "the child's message is cut short");
	else
		snprintf(ret->failure, sizeof(ret->failure), "%.27s: %.30s", ret->message.what,
			 strerror(ret->message.status));
	return false;
}

/* One clone of the serial loop. */
static void once(const struct floor_template *template, enum floor_variant variant,
		 const int pipe_fds[2], uint64_t clone_id, struct floor_result *result)
{
	struct floor_clone clone;
	bool good = floor_once(template, variant, pipe_fds, clone_id, &clone);

	if (!result)
		return;
	if (good)
		record(result, &clone);
	else if (result->failed++ == 0)
		memcpy(result->failure, clone.failure, sizeof(result->failure));
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
			pid_t anchor =
				variant == FLOOR_LEAN ? floor_anchor_start(template->kvm) : -1;

			for (unsigned int i = 0; i < FLOOR_WARM_UP; i++)
				once(template, (enum floor_variant)variant, pipe_fds, ++clone_id,
				     NULL);
			for (unsigned int i = from; i < to; i++)
				once(template, (enum floor_variant)variant, pipe_fds, ++clone_id,
				     &results[variant]);
			if (anchor > 0)
				floor_anchor_stop(anchor);
		}
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

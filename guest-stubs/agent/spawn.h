/* SPDX-License-Identifier: MIT */
/*
 * Running commands, and waiting: for them, for orphans, for the signals that end the agent.
 *
 * The agent handles no signal asynchronously: those it cares for are blocked and read from one
 * signalfd. Children are made without copying the agent's page tables (vfork's way), start with
 * ordinary scheduling, in a session of their own, with all signals as by default, and without the
 * right to ring doorbells.
 */
#ifndef FORKVM_AGENT_SPAWN_H
#define FORKVM_AGENT_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command {
	const char *const *argv; /* argv[0] is a path */
	char *const *envp;
	const char *input; /* on standard input; NULL: nothing */
	size_t input_size;
	char *output; /* standard output goes here; NULL: to standard error */
	size_t output_capacity;
	uint64_t timeout_s; /* 0: none */
};

struct outcome {
	int status;	    /* as waitpid(2) gives it */
	bool timed_out;	    /* and was killed */
	bool interrupted;   /* a signal that ends the agent came: killed */
	size_t output_size; /* bytes in output */
	size_t output_lost; /* bytes that did not fit */
};

/* Block signals and open the signalfd; once, first of all. -errno. */
int spawn_init(void);

/*
 * Run command and wait until it ends; what it leaves in the background goes on. -errno when it
 * could not be started at all.
 */
int spawn_run(const struct command *command, struct outcome *ret_outcome);

/* The same, as /bin/sh -c line. */
int spawn_shell(const char *line, struct command *command, struct outcome *ret_outcome);

/* Did it end as it should? */
bool outcome_is_success(const struct outcome *outcome);

/* How it ended, in words; the text is in buffer. */
const char *outcome_describe(const struct outcome *outcome, char *buffer, size_t size);

/* Reap orphans; true when a signal has come that ends the agent. Does not wait. */
bool spawn_poll(void);

/* Reap orphans until such a signal comes. */
void spawn_wait_for_end(void);

#endif

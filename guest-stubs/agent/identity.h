/* SPDX-License-Identifier: MIT */
/*
 * What a clone knows of itself once it was renewed, and how it tells: as JSON and as environment
 * variables. The seed is never part of it.
 */
#ifndef FORKVM_AGENT_IDENTITY_H
#define FORKVM_AGENT_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stubs/agent/text.h"
#include "guest-stubs/stub_abi.h"

#define IDENTITY_DRAW_SIZE	 32
#define IDENTITY_HOSTNAME_SIZE	 65 /* as the kernel's */
#define IDENTITY_MACHINE_ID_SIZE 33 /* 32 digits */

struct identity {
	struct forkvm_identity given; /* its seed is all zeros here */
	char hostname[IDENTITY_HOSTNAME_SIZE];
	char machine_id[IDENTITY_MACHINE_ID_SIZE];
	/* Drawn right after the generator was reseeded. */
	uint8_t from_urandom[IDENTITY_DRAW_SIZE];
	uint8_t from_getrandom[IDENTITY_DRAW_SIZE];
	/* Which steps were taken and succeeded. */
	bool reseeded, clock_set, hostname_set, machine_id_set;
	unsigned int hooks_run, hooks_failed;
};

struct identity_times {
	uint64_t realtime_ns, monotonic_ns, boottime_ns;
};

/* One line of JSON. */
void identity_json(struct text *text, const struct identity *identity, uint64_t request_seq,
		   const struct identity_times *times);

/* "PREFIX-ID", cut to what the kernel takes. */
void identity_hostname(char hostname[IDENTITY_HOSTNAME_SIZE], const char *prefix,
		       uint64_t clone_id);

/*
 * A machine id of 16 random bytes, marked as a random UUID (RFC 4122, version 4), as systemd does
 * it: see machine-id(5).
 */
void identity_machine_id(char machine_id[IDENTITY_MACHINE_ID_SIZE], const uint8_t random[16]);

/* The environment of a command: what the agent has itself, and variables FORKVM_*. */
#define ENVIRONMENT_MAX	 128
#define ENVIRONMENT_SIZE 1024

struct environment {
	char *variables[ENVIRONMENT_MAX]; /* ends in NULL; for execve(2) */
	size_t count;
	char buffer[ENVIRONMENT_SIZE];
	size_t used;
};

/* inherited ends in NULL; its FORKVM_* are left out, and it gets a PATH if it has none. */
void environment_init(struct environment *environment, char *const *inherited);

/* Add NAME=value. What does not fit is left out: false. */
bool environment_add(struct environment *environment, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Add what hooks and handlers are told. */
void environment_add_identity(struct environment *environment, const struct identity *identity,
			      uint64_t request_seq);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * How many clones the host allows, as the server tells it.
 */
#ifndef FORKVM_BENCH_STORM_LIMITS_H
#define FORKVM_BENCH_STORM_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forkvm_client;

struct limits {
	uint64_t clones;
	char text[480]; /* "about 500 clones at once: ... is ...; to raise it: ..." */
};

/* Ask, with no clone under way. False when the server does not tell. */
bool limits_ask(struct forkvm_client *client, struct limits *ret);

/* Say it on stderr, as a warning when count clones are more. */
void limits_tell(struct forkvm_client *client, size_t count);

#endif

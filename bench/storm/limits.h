/* SPDX-License-Identifier: MIT */
/*
 * How many clones the host allows, as the server tells it.
 */
#ifndef FORKVM_BENCH_STORM_LIMITS_H
#define FORKVM_BENCH_STORM_LIMITS_H

#include <stddef.h>
#include <stdint.h>

struct forkvm_client;

/*
 * Say on stderr how many clones can be alive at once, and what raises that; more of it when count
 * is more. Before the first clone, since it waits for the reply. What the server does not tell is
 * not said. Returns the number, UINT64_MAX when it is not known.
 */
uint64_t limits_tell(struct forkvm_client *client, size_t count);

#endif

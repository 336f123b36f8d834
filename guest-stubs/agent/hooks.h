/* SPDX-License-Identifier: MIT */
/*
 * Hooks: programs that each new clone runs, so that software which keeps what must differ between
 * clones (random numbers, keys, addresses, leases) can make it anew. The folder is read in the
 * template, once.
 */
#ifndef FORKVM_AGENT_HOOKS_H
#define FORKVM_AGENT_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "guest-stubs/agent/identity.h"

#define HOOKS_MAX 64

struct hooks {
	char *paths[HOOKS_MAX]; /* its own, in lexical order */
	size_t count;
};

/* As run-parts(8) has it: ASCII letters, digits, underscores, hyphens, and nothing else. */
bool hooks_name_counts(const char *name);

/* The executable files of dir. A folder that is not there has none. -errno. */
int hooks_find(struct hooks *hooks, const char *dir);

/* Run all, one after the other, whatever becomes of them; counted in identity, told in the log. */
void hooks_run(const struct hooks *hooks, struct identity *identity,
	       struct environment *environment, uint64_t timeout_s);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The tables of allowed system calls: each with the reason why it is needed.
 */
#ifndef FORKVM_FORKSERVER_SANDBOX_SANDBOX_RULES_H
#define FORKVM_FORKSERVER_SANDBOX_SANDBOX_RULES_H

#include <seccomp.h>
#include <stddef.h>

#define SANDBOX_RULE_ARGS 2

struct sandbox_rule {
	int nr;
	unsigned int arg_count; /* conditions, all of which must hold */
	struct scmp_arg_cmp args[SANDBOX_RULE_ARGS];
	int refuse_errno; /* not allowed, but refused with this errno instead of death; 0: allowed
			   */
	const char *reason;
};

struct sandbox_rules {
	const struct sandbox_rule *rules;
	size_t count;
};

/* What clones need, and so the server too, from any address. */
extern const struct sandbox_rules sandbox_clone_rules;

/* What clones with further threads (several vCPUs, devices) need on top. */
extern const struct sandbox_rules sandbox_thread_rules;

/* What clones with one thread need on top whose devices interrupt by in-kernel controllers. */
extern const struct sandbox_rules sandbox_line_rules;

/* What spares need on top: clones that were made ahead of their claim. */
extern const struct sandbox_rules sandbox_spare_rules;

/* What clones with disks need on top, as long as they live: I/O on descriptors at hand. */
extern const struct sandbox_rules sandbox_disk_rules;

/*
 * What clones with disks need while they are made, and only through the nursery: what brings new
 * descriptors.
 */
extern const struct sandbox_rules sandbox_nursery_rules;

/* What clones need on top that make an overlay's file by their first write. */
extern const struct sandbox_rules sandbox_file_rules;

/* What spares that are reset need on top. */
extern const struct sandbox_rules sandbox_reset_rules;

/* The same while they are made, and only through the nursery. */
extern const struct sandbox_rules sandbox_reset_nursery_rules;

/* What only the server needs, and only through the gate. */
extern const struct sandbox_rules sandbox_server_rules;

/* What the anchor needs. */
extern const struct sandbox_rules sandbox_idle_rules;

#endif

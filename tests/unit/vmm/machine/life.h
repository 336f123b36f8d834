/* SPDX-License-Identifier: MIT */
/*
 * The life of a machine in one call each: to its template, and through a clone, in this process or
 * in a forked one.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_MACHINE_LIFE_H
#define FORKVM_TESTS_UNIT_VMM_MACHINE_LIFE_H

#include <stddef.h>
#include <stdint.h>

#include "tests/unit/vmm/machine/guests.h"
#include "vmm/base/util.h"
#include "vmm/kvm/host.h"
#include "vmm/machine/machine.h"

/* What became of a clone. */
struct clone {
	int thaw; /* what machine_thaw returned, with its words in error */
	struct error error;
	struct machine_end end;
	struct machine_stages stages;
	unsigned int answers;
	size_t answer_len; /* of the last one */
	uint8_t answer[FORKVM_MAX_RESPONSE];
	size_t console_len;
	char console[256];
	/* How the sink behaves: set before the clone is made. */
	int answer_result;     /* what it returns for an answer */
	unsigned int requests; /* that it gives on PARK, each of the same bytes */
	const void *request;
	size_t request_len;
	bool spare; /* its first request is the first of those, too */
};

/* A machine with an image loaded: a stub by its path, or a guest of guests.S. */
struct machine *life_load(const struct kvm_host *host, const struct machine_config *config,
			  const char *path, const char *args);
struct machine *life_load_guest(const struct kvm_host *host, const struct machine_config *config,
				struct guest guest);

/* Boot and freeze it; a failure is the test's. */
void life_freeze(struct machine *machine);

/* All of that. Frees nothing: the caller has machine_free and kvm_host_close to do. */
struct machine *life_template(const struct kvm_host *host, const struct machine_config *config,
			      const char *path, const char *args);
struct machine *life_template_guest(const struct kvm_host *host,
				    const struct machine_config *config, struct guest guest);

/* A place for a clone's fate that children share with this process. */
struct clone *life_clone_new(void);
void life_clone_free(struct clone *clone);

/* Thaw and run with the request in *clone, here (once for each machine), or in a child. */
void life_run_here(struct machine *machine, uint64_t id, struct clone *clone);
void life_run_forked(struct machine *machine, uint64_t id, struct clone *clone);

/* The same with a request; the clone must end as done with status 0 after one answer. */
void life_ask(struct machine *machine, uint64_t id, const void *request, size_t len,
	      struct clone *clone);

/* How a clone's identity is made of its id. */
struct forkvm_identity life_identity(uint64_t id);

#endif

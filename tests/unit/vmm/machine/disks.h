/* SPDX-License-Identifier: MIT */
/*
 * Machines with disks, for tests: images, and the blk stub asked one thing or several.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_MACHINE_DISKS_H
#define FORKVM_TESTS_UNIT_VMM_MACHINE_DISKS_H

#include "tests/unit/vmm/machine/life.h"

#define DISKS_SIZE  (16 * MIB)
#define DISKS_MAGIC 0x314b4c424d564b46ull /* what a sector that the stub wrote begins with */

/* Of the test that runs, between these two. */
extern struct kvm_host *disks_host;
extern struct clone *disks_clone;
void disks_set_up(void);
void disks_tear_down(void);

/* An image of zeros: in memory, where requests are served at once; in a file without a name. */
int disks_memory(uint64_t size);
int disks_file(uint64_t size);

/* With one disk, whose template's overlay is in memory. */
struct machine_config disks_config(unsigned int vcpus, int image_fd);

/*
 * A template of the blk stub: disk 0 of DISKS_SIZE, 1 read-only of 2 MiB, 2 an empty slot, 3 of
 * 3 MiB without an image.
 */
struct machine *disks_four(void);

/* A clone's answer to one request; which must have wanted in it, or be ok. */
const char *disks_ask(struct machine *machine, const char *request);
void disks_expect(struct machine *machine, const char *request, const char *wanted);
void disks_expect_ok(struct machine *machine, const char *request);

/* What a clone is given before it is thawed: one of the two. */
struct disks_given {
	unsigned int index;
	const struct disk_overlay *overlay;
	const struct disk_config *config;
};

/* Several requests to one clone, to a NULL. All answers must be ok. given may be NULL. */
void disks_session(struct machine *machine, const struct disks_given *given,
		   const char *const *requests);

/* The same for helper_in_child, with all that the machine complains of; the plan is the context. */
struct disks_plan {
	struct machine *machine;
	const struct disks_given *given;
	const char *const *requests;
	const char *complaints; /* as lines; NULL: none */
};
int disks_run(void *context);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What the tests of disks share: files with a known content, single requests, whole contents.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_BLOCK_FIXTURE_H
#define FORKVM_TESTS_UNIT_VMM_BLOCK_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/block/disk.h"
#include "vmm/block/export.h"

/*
 * What must hold, in a child of the test too: Criterion's own checks hang there when they do not.
 * why: a text.
 */
#define EXPECT(condition, why)                             \
	do {                                               \
		bool holds_ = (condition);                 \
                                                           \
		fixture_expect(holds_, #condition, (why)); \
	} while (0)
void fixture_expect(bool condition, const char *what, const char *why);

/* Deterministic random numbers. */
uint64_t fixture_random(uint64_t *state);
void fixture_fill(uint64_t seed, void *memory, uint64_t size);

/* Where files are that do not lie in memory. Skips the test if there is no such place. */
const char *fixture_folder(void);

/* A file without a name in that folder, or in memory; the caller's. */
int fixture_file(bool in_memory);

/* The same with size bytes of fixture_fill, and with a name to be unlinked. */
int fixture_image(bool in_memory, uint64_t seed, uint64_t size);
void fixture_named_image(char *path, uint64_t seed, uint64_t size);

/* A path in that folder where nothing is yet; HELPER_PATH_SIZE bytes. */
void fixture_path(char *path);

/* An image with an overlay in memory, depth 64. */
struct disk_config fixture_config(int image_fd);

/* Each of these fails the test if it does. */
struct disk *fixture_open(const struct disk_config *config);
void fixture_start(struct disk *disk);
void fixture_freeze(struct disk *disk);
void fixture_clone(struct disk *disk, const struct disk_overlay *overlay);

/* One request on its own: its result. memory may be NULL for what has none. */
int fixture_io(struct disk *disk, enum disk_op op, uint64_t offset, uint64_t length, void *memory);

/* The disk, read in pieces of odd sizes, is as model says. */
void fixture_check(struct disk *disk, const uint8_t *model);

/* So is what export_write makes of a source. */
void fixture_check_export(const struct export_source *source, const uint8_t *model);

/*
 * From now on this process is refused a system call, with an errno. Meant for children.
 */
void fixture_refuse(int call, int error);

/* A new file on a file system of `type` that is mounted for it, with options. Needs root. */
int fixture_mounted_file(const char *type, const char *options);

/* Bytes of a file that take up room. */
uint64_t fixture_allocated(int fd);

#endif

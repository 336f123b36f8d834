/* SPDX-License-Identifier: MIT */
/*
 * What several unit tests need: paths of stubs, files, children.
 */
#ifndef FORKVM_TESTS_UNIT_HELPER_H
#define FORKVM_TESTS_UNIT_HELPER_H

#include <stddef.h>

/* The path of a built stub; name is a literal. */
#define STUB(name)	 FORKVM_GUEST_DIR "/" name

/* Room for a path of helper_path. */
#define HELPER_PATH_SIZE 256

/* Write a path in the folder for temporary files, where nothing is yet, that ends in suffix. */
void helper_path(char path[HELPER_PATH_SIZE], const char *suffix);

/* The same, and make a file there of size bytes. The test unlinks it. */
void helper_file(char path[HELPER_PATH_SIZE], const char *suffix, const void *bytes, size_t size);

/*
 * Fork; the child calls body(context) and exits with what it returns. Returns the child's status as
 * waitpid(2) gives it.
 */
int helper_in_child(int (*body)(void *context), void *context);

/*
 * The same, but the child may open no further descriptor (Criterion itself needs some, so a test
 * cannot do this in its own process).
 */
int helper_without_descriptors(int (*body)(void *context), void *context);

/* How many descriptors this process has open. */
size_t helper_count_fds(void);

/* How many threads it has, the kernel's own left out. */
size_t helper_count_threads(void);

#endif

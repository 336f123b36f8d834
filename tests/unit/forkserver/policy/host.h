/* SPDX-License-Identifier: MIT */
/*
 * A host made of files, for what reads /proc, /sys and cgroups below a root.
 */
#ifndef FORKVM_TESTS_UNIT_FORKSERVER_POLICY_HOST_H
#define FORKVM_TESTS_UNIT_FORKSERVER_POLICY_HOST_H

#include "tests/unit/helper.h"

/* The folder of its files: the root to give. One host a test. */
extern char host_root[HELPER_PATH_SIZE];

/* A host without any file, and its end: a suite's init and fini. */
void host_set_up(void);
void host_tear_down(void);

/* Write one of its files, with the folders on its way. path begins with a slash. */
void host_put(const char *path, const char *text);

#endif

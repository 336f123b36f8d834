/* SPDX-License-Identifier: MIT */
/*
 * Where the stubs and the programs of this build are, and where temporary files go.
 */
#ifndef FORKVM_BENCH_COMMON_STUBS_H
#define FORKVM_BENCH_COMMON_STUBS_H

#define STUB_PATH_SIZE 4096

/*
 * Find a stub: a name with a slash is a path; another is looked for in the folder guest/ beside the
 * running program's own folder (build/<preset>/bin and build/<preset>/guest), then as a file here.
 * 0 with its path in ret, or -ENOENT with the folder that was looked in.
 */
int stub_find(const char *name, char ret[STUB_PATH_SIZE]);

/* The path of another program beside the running one. 0, or -ENOENT. */
int program_find(const char *name, char ret[STUB_PATH_SIZE]);

/* $TMPDIR, or /tmp when that is unset or too long to hold a socket's path. */
const char *temporary_folder(void);

#endif

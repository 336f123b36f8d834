/* SPDX-License-Identifier: MIT */
/*
 * Names of the protocol's enumerations, and where a server's socket is by default.
 */
#include "forkserver/proto/protocol.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const end_names[] = {
	[FORKVM_END_DONE] = "done",
	[FORKVM_END_SHUTDOWN] = "shutdown",
	[FORKVM_END_GUEST_ERROR] = "guest-error",
	[FORKVM_END_TIMEOUT] = "timeout",
	[FORKVM_END_KILLED] = "killed",
	[FORKVM_END_OUT_OF_MEMORY] = "out-of-memory",
	[FORKVM_END_HOST_ERROR] = "host-error",
};

static_assert(sizeof(end_names) / sizeof(end_names[0]) == FORKVM_END_COUNT_, "a name for each end");

static const char *const stage_names[] = {
	[FORKVM_STAGE_RECEIVED] = "received", [FORKVM_STAGE_FORK] = "fork",
	[FORKVM_STAGE_CHILD] = "child",	      [FORKVM_STAGE_START] = "start",
	[FORKVM_STAGE_TOLD] = "told",	      [FORKVM_STAGE_VM] = "vm",
	[FORKVM_STAGE_POPULATE] = "populate", [FORKVM_STAGE_MEMSLOTS] = "memslots",
	[FORKVM_STAGE_VCPUS] = "vcpus",	      [FORKVM_STAGE_STATE] = "state",
	[FORKVM_STAGE_RUN] = "run",	      [FORKVM_STAGE_CLAIM] = "claim",
	[FORKVM_STAGE_AWAKE] = "awake",	      [FORKVM_STAGE_READY] = "ready",
	[FORKVM_STAGE_ANSWERED] = "answered", [FORKVM_STAGE_ENDED] = "ended",
};

static_assert(sizeof(stage_names) / sizeof(stage_names[0]) == FORKVM_STAGE_COUNT_,
	      "a name for each stage");

const char *forkvm_end_name(enum forkvm_end end)
{
	return (unsigned int)end < FORKVM_END_COUNT_ ? end_names[end] : "unknown";
}

const char *forkvm_stage_name(enum forkvm_stage stage)
{
	return (unsigned int)stage < FORKVM_STAGE_COUNT_ ? stage_names[stage] : "unknown";
}

int forkvm_end_from_name(const char *name)
{
	for (int i = 0; i < FORKVM_END_COUNT_; i++) {
		if (!strcmp(name, end_names[i]))
			return i;
	}
	return -1;
}

static int name_is_good(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	return name[0] && strspn(name, allowed) == strlen(name);
}

int forkvm_socket_path(const char *name, char path[FORKVM_SOCKET_PATH_SIZE], struct error *error)
{
	const char *folder = getenv("XDG_RUNTIME_DIR");
	int len;

	if (!name)
		name = FORKVM_DEFAULT_NAME;
	if (!name_is_good(name))
		return error_set(error, EINVAL,
				 "'%s' cannot be a server's name: use letters, digits, '.', '_' "
				 "and '-'",
				 name);
	if (!folder || folder[0] != '/')
		folder = "/run";
	len = snprintf(path, FORKVM_SOCKET_PATH_SIZE, "%s/forkvm-%s.sock", folder, name);
	if (len < 0 || len >= FORKVM_SOCKET_PATH_SIZE)
		return error_set(
			error, ENAMETOOLONG,
			"the socket path %.40s/forkvm-%.40s.sock is too long: a Unix socket's "
			"path has at most %d bytes; name a shorter one with --socket",
			folder, name, FORKVM_SOCKET_PATH_SIZE - 1);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * What a machine's owner does when the guest rings.
 */
#ifndef FORKVM_VMM_DEV_SINK_H
#define FORKVM_VMM_DEV_SINK_H

#include <stddef.h>

struct machine_serial;

/*
 * Called from the thread of the vCPU that rang, one at a time. Buffers point into guest RAM and are
 * valid during the call only; another vCPU may be changing the bytes. Each may be NULL. A negative
 * return (-errno) ends the VM as a host error.
 */
struct machine_sink {
	void *ctx;
	/* READY: the answer to the current request. */
	int (*answer)(void *ctx, const void *data, size_t len);
	/*
	 * PARK: put the next request, at most capacity bytes, in buf. Return 1 when there is one
	 * (length in *ret_len), 0 when there will be none: the VM then ends as done, status 0.
	 * NULL means there is never another.
	 */
	int (*park)(void *ctx, void *buf, size_t capacity, size_t *ret_len);
	/* CONSOLE: text, not terminated, any bytes. Serial output too, when serial is NULL. */
	int (*console)(void *ctx, const char *text, size_t len);
	/*
	 * In a template: it reached its template point or ended (machine_get_standing). Called with
	 * the machine locked, so it may do no more than wake somebody.
	 */
	void (*progress)(void *ctx);
	/* A device had to stop, or something else that a person should know of; no line end. */
	void (*complain)(void *ctx, const char *text);
	/* Where the serial port leads; NULL: output to console, no input. Must live on. */
	const struct machine_serial *serial;
};

/*
 * The other end of the guest's serial port. The descriptors are the owner's, of any kind, blocking
 * or not; the two may be the same one. A guest whose output is not taken waits for it.
 */
struct machine_serial {
	int in_fd;  /* -1: no input            */
	int out_fd; /* -1: output is thrown away */
};

#endif

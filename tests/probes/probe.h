/* SPDX-License-Identifier: MIT */
/*
 * What the probes share. A probe is a small program that shows one behaviour of the kernel that
 * forkvm's design leans on: it prints what it found and exits 0 when the kernel behaves so, 1 when
 * it does not, and 77 when the question could not be put here.
 */
#ifndef FORKVM_TESTS_PROBES_PROBE_H
#define FORKVM_TESTS_PROBES_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROBE_PAGE		4096ul
#define PROBE_MIB		(1024ul * 1024ul)

/* Check a claim: print it with its values when it does not hold, and fail the probe at its end. */
#define probe_check(claim, ...) probe_check_((claim), #claim, __FILE__, __LINE__, __VA_ARGS__)

/* The same for what must work before the question can be put: ends the probe when it fails. */
#define probe_need(claim, ...) \
	((claim) ? (void)0 : probe_end_(#claim, __FILE__, __LINE__, __VA_ARGS__))

bool probe_check_(bool holds, const char *claim, const char *file, int line, const char *format,
		  ...) __attribute__((format(printf, 5, 6)));
_Noreturn void probe_end_(const char *claim, const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Say something that was found out. */
void probe_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* End the probe: it cannot be run here, for this reason. */
_Noreturn void probe_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What main() returns. */
int probe_result(void);

/* Open /dev/kvm or skip the probe. */
int probe_kvm_open(void);

/*
 * Run body in a fork and return its exit status; 128 plus the signal when one ended it. body's
 * probe_check failures make the status 1.
 */
int probe_in_child(int (*body)(void *context), void *context);

/* The number after "NAME:" in a /proc file such as /proc/self/status (KiB there); -1: none. */
long probe_proc_value(const char *path, const char *name);

/* An empty memfd of size bytes that can be sealed. */
int probe_memfd(size_t size);

#endif

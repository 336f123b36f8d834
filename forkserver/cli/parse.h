/* SPDX-License-Identifier: MIT */
/*
 * From words of the command line to numbers.
 */
#ifndef FORKVM_FORKSERVER_CLI_PARSE_H
#define FORKVM_FORKSERVER_CLI_PARSE_H

#include <stdint.h>

#include "vmm/base/error.h"

/*
 * Each parses text, the value of what option names ("--mem"), and stores the number. Errors, in
 * words that say so: -EINVAL (not of that form), -ERANGE.
 */

/* A decimal integer from min to max. */
int parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
		 uint64_t *ret_number, struct error *error);

/*
 * A size in bytes: an integer with a suffix B, K, M, G or T (powers of 1024; "MiB" and "MB" mean
 * the same as "M"; case does not matter), MiB without one.
 */
int parse_size(const char *option, const char *text, uint64_t *ret_bytes, struct error *error);

/* A time in milliseconds: an integer with ms, s, m, h or d, seconds without one. */
int parse_duration(const char *option, const char *text, uint64_t *ret_ms, struct error *error);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What the agent tells people: one line a call, to standard error (the console, when the agent is
 * init) and, once the host listens, to the host's console doorbell. Nothing of the seed goes there.
 */
#ifndef FORKVM_AGENT_LOG_H
#define FORKVM_AGENT_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* The longest line; what is longer is cut. */
#define LOG_LINE_SIZE 512

typedef void (*log_sink_fn)(void *context, const char *text, size_t length);

/* Tell details too. */
void log_set_verbose(bool verbose);

/* Lines go to sink as well, or to it alone; NULL: to standard error again. */
void log_set_sink(log_sink_fn sink, void *context, bool alone);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Only with log_set_verbose(). */
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

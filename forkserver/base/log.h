/* SPDX-License-Identifier: MIT */
/*
 * The server's log: one line an event on standard error, with a level, for people or as JSON.
 */
#ifndef FORKVM_FORKSERVER_BASE_LOG_H
#define FORKVM_FORKSERVER_BASE_LOG_H

#include <stdbool.h>

enum log_level {
	LOG_ERROR,
	LOG_WARNING,
	LOG_INFO,
	LOG_DEBUG,
	LOG_LEVEL_COUNT_
};

/* Log what is as important as level or more; as JSON objects if json. Once, before serving. */
void log_init(enum log_level level, bool json);

/* Would this level be logged? */
bool log_enabled(enum log_level level);

/* One event. What does not fit a line of 1 KiB is cut; control characters are replaced. */
void log_event(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_event(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, __VA_ARGS__)
#define log_info(...)	 log_event(LOG_INFO, __VA_ARGS__)
/* The arguments are not evaluated when nobody would read them. */
#define log_debug(...)                                     \
	do {                                               \
		if (log_enabled(LOG_DEBUG))                \
			log_event(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

/* The level of that name ("error", "warning", "info", "debug"), or -1. */
int log_level_from_name(const char *name);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The agent's log: see log.h.
 */
#include "guest-stubs/agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
	bool verbose;
	bool sink_alone;
	log_sink_fn sink;
	void *context;
} state;

void log_set_verbose(bool verbose)
{
	state.verbose = verbose;
}

void log_set_sink(log_sink_fn sink, void *context, bool alone)
{
	state.sink = sink;
	state.context = context;
	state.sink_alone = sink && alone;
}

static void __attribute__((format(printf, 2, 0)))
tell(const char *level, const char *format, va_list args)
{
	char line[LOG_LINE_SIZE];
	size_t len = (size_t)snprintf(line, sizeof(line), "forkvm-agent: %s", level);

	vsnprintf(line + len, sizeof(line) - len - 1, format, args);
	len = strlen(line);
	line[len++] = '\n';
	if (!state.sink_alone && write(STDERR_FILENO, line, len) < 0) {
		/* There is nobody left to tell. */
	}
	if (state.sink)
		state.sink(state.context, line, len);
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell("error: ", format, args);
	va_end(args);
}

void log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell("warning: ", format, args);
	va_end(args);
}

void log_debug(const char *format, ...)
{
	va_list args;

	if (!state.verbose)
		return;
	va_start(args, format);
	tell("", format, args);
	va_end(args);
}

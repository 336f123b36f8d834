/* SPDX-License-Identifier: MIT */
/*
 * The server's log. Times are UTC: a local time would need files that a locked-down server cannot
 * open any more.
 */
#include "forkserver/base/log.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "forkserver/proto/text.h"

#define LINE_SIZE 1024

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_COUNT_,
	      "a name for each level");

static enum log_level log_threshold = LOG_INFO;
static bool log_json;

void log_init(enum log_level level, bool json)
{
	log_threshold = level;
	log_json = json;
	tzset(); /* gmtime_r would do it later, and read files */
}

bool log_enabled(enum log_level level)
{
	return level <= log_threshold;
}

int log_level_from_name(const char *name)
{
	for (int level = 0; level < LOG_LEVEL_COUNT_; level++) {
		if (!strcmp(name, level_names[level]))
			return level;
	}
	return -1;
}

/* "2025-01-31T12:34:56.789Z" */
static void format_time(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	len = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + len, size - len, ".%03ldZ", now.tv_nsec / 1000000);
}

void log_event(enum log_level level, const char *format, ...)
{
	char message[LINE_SIZE / 2];
	char line[LINE_SIZE];
	struct text text;
	char time[40];
	va_list args;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	for (char *c = message; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
	format_time(time, sizeof(time));
	text_init(&text, line, sizeof(line) - 2);
	if (log_json) {
		text_printf(&text, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", time,
			    level_names[level]);
		text_json_string(&text, message, strlen(message));
		text_append(&text, "}", 1);
	} else {
		text_printf(&text, "%s %-7s %s", time, level_names[level], message);
	}
	line[text.len++] = '\n';
	/* A log that cannot be written has nowhere to say so. */
	(void)!write(STDERR_FILENO, line, text.len);
}

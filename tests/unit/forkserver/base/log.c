/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/log.c. */
#include "forkserver/base/log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"

static char text[4096];

/* What body logs, in text. In a child: Criterion has uses of its own for standard error. */
static void capture(int (*body)(void *context))
{
	char path[HELPER_PATH_SIZE];
	ssize_t len;
	int fd;

	helper_file(path, "", "", 0);
	cr_assert_eq(helper_in_child(body, path), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	len = read(fd, text, sizeof(text) - 1);
	cr_assert_geq(len, 0);
	text[len] = '\0';
	close(fd);
	unlink(path);
}

static void begin(const char *path, enum log_level level, bool json)
{
	dup2(open(path, O_WRONLY | O_APPEND | O_CLOEXEC), STDERR_FILENO);
	log_init(level, json);
}

static int every_level(void *path)
{
	begin(path, LOG_INFO, false);
	log_error("e%d", 1);
	log_warning("w%d", 2);
	log_info("i%d", 3);
	log_debug("d%d", 4);
	return log_enabled(LOG_DEBUG) || !log_enabled(LOG_INFO);
}

Test(log, what_is_important_enough)
{
	capture(every_level);
	cr_assert_not_null(strstr(text, " error   e1\n"), "%s", text);
	cr_assert_not_null(strstr(text, " warning w2\n"), "%s", text);
	cr_assert_not_null(strstr(text, " info    i3\n"), "%s", text);
	cr_assert_null(strstr(text, "d4"), "%s", text);
	/* 2025-01-31T12:34:56.789Z */
	cr_assert_eq(text[10], 'T');
	cr_assert_eq(text[23], 'Z');
}

static int json_lines(void *path)
{
	begin(path, LOG_DEBUG, true);
	log_debug("quotes \" and \\ and \n newline \x01 and \xc3\xa4");
	return 0;
}

Test(log, as_json)
{
	json_t *event;

	capture(json_lines);
	event = json_loads(text, 0, NULL);
	cr_assert_not_null(event, "%s", text);
	cr_assert_str_eq(json_string_value(json_object_get(event, "level")), "debug");
	cr_assert_str_eq(json_string_value(json_object_get(event, "message")),
			 "quotes \" and \\ and   newline   and ??");
	cr_assert_not_null(json_object_get(event, "time"));
	json_decref(event);
}

static int one_line(void *path)
{
	begin(path, LOG_INFO, false);
	log_info("a\nb\rc\x1b[2Jd\x7f");
	return 0;
}

/* A guest's text, or a path, must not make lines of its own or drive a terminal. */
Test(log, control_characters_are_replaced)
{
	capture(one_line);
	cr_assert_not_null(strstr(text, "a b c [2Jd \n"), "%s", text);
	cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
}

static int long_line(void *path)
{
	char message[3000];

	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	begin(path, LOG_INFO, true);
	log_info("%s", message);
	memset(message, '"', sizeof(message) - 1);
	log_info("%s", message);
	return 0;
}

Test(log, long_lines_are_cut)
{
	capture(long_line);
	cr_assert_leq(strlen(text), 2048);
	cr_assert_eq(text[strlen(text) - 1], '\n');
}

Test(log, levels_have_names)
{
	cr_assert_eq(log_level_from_name("error"), LOG_ERROR);
	cr_assert_eq(log_level_from_name("debug"), LOG_DEBUG);
	cr_assert_eq(log_level_from_name(""), -1);
	cr_assert_eq(log_level_from_name("Info"), -1);
}

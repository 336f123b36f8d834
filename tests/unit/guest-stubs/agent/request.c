/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/request.c, with a host that is played (pretend.c). */
#include "guest-stubs/agent/request.h"

#include <criterion/criterion.h>
#include <string.h>

#include "guest-stubs/agent/pretend.h"
#include "guest-stubs/agent/spawn.h"

static struct options options;
static struct pretend pretend;
static struct mailbox box;
static struct identity identity;
static bool poweroff;
static char answer[FORKVM_MAX_RESPONSE + 1];

static void set_up(void)
{
	options_init(&options);
	options.pretend_clone = 3;
	cr_assert_eq(spawn_init(), 0);
	cr_assert_eq(mailbox_open_private(&box, &pretend_bells, &pretend), 0);
	pretend_take_bells(&pretend, &options, &box);
	mailbox_boot(&box);
	identity = (struct identity){.given = {.clone_id = 3}, .hostname = "clone-3"};
}

static const char *ask(const char *request)
{
	size_t size;

	box.shared->request_len = (uint32_t)strlen(request);
	memcpy(box.request.at, request, strlen(request));
	size = request_answer(&box, &options, &identity, &poweroff);
	cr_assert_leq(size, box.response.capacity);
	memcpy(answer, box.response.at, size);
	answer[size] = '\0';
	return answer;
}

TestSuite(request, .init = set_up);

static void expect_verb(const char *text, enum request_verb wanted, const char *wanted_argument)
{
	size_t argument = 0;

	cr_assert_eq(request_parse(text, strlen(text), &argument), wanted, "'%s'", text);
	cr_assert_str_eq(text + argument, wanted_argument, "'%s'", text);
}

Test(request, words)
{
	expect_verb("", REQUEST_IDENTITY, "");
	expect_verb("\n", REQUEST_IDENTITY, "");
	expect_verb("identity", REQUEST_IDENTITY, "");
	expect_verb("identity\n", REQUEST_IDENTITY, "");
	expect_verb("echo", REQUEST_ECHO, "");
	expect_verb("echo  two blanks ", REQUEST_ECHO, " two blanks ");
	expect_verb("exec ls -l\n", REQUEST_EXEC, "ls -l\n");
	expect_verb("clock", REQUEST_CLOCK, "");
	expect_verb("poweroff\n", REQUEST_POWEROFF, "");
	expect_verb("echoes", REQUEST_UNKNOWN, "");
	expect_verb("ech", REQUEST_UNKNOWN, "");
	expect_verb("Identity", REQUEST_UNKNOWN, "");
}

Test(request, echo)
{
	cr_assert_str_eq(ask("echo hello  world\n"), "hello  world\n");
	cr_assert_str_eq(ask("echo"), "");
}

Test(request, echo_of_as_much_as_there_can_be)
{
	memset(box.request.at, 'x', box.request.capacity);
	memcpy(box.request.at, "echo ", 5);
	box.shared->request_len = UINT32_MAX; /* the area is the limit */
	cr_assert_eq(request_answer(&box, &options, &identity, &poweroff),
		     box.request.capacity - 5);
}

Test(request, identity)
{
	cr_assert_eq(strncmp(ask(""), "{\"clone_id\":3,", 14), 0, "%s", answer);
	cr_assert_not_null(strstr(answer, "\"hostname\":\"clone-3\""));
}

Test(request, exec)
{
	cr_assert_str_eq(ask("exec echo a; echo $FORKVM_CLONE_ID; false"), "a\n3\n");
	cr_assert_str_eq(ask("exec"), "");
}

Test(request, handler)
{
	options.handler = "printf '%s:' \"$FORKVM_HOSTNAME\"; cat; exit 1";
	cr_assert_str_eq(ask("echo is not built in now"), "clone-3:echo is not built in now");
	cr_assert_str_eq(ask(""), "clone-3:");
}

Test(request, clock)
{
	ask("clock");
	cr_assert_eq(strncmp(answer, "{\"realtime_ns\":", 15), 0, "%s", answer);
	/* The played host is an hour ahead. */
	cr_assert_not_null(strstr(answer, "\"error_ns\":-3"), "%s", answer);
}

Test(request, poweroff)
{
	cr_assert_str_eq(ask("bogus") + strlen(answer) - 1, "\n");
	cr_assert_not(poweroff);
	cr_assert_str_eq(ask("poweroff"), "ok\n");
	cr_assert(poweroff);
}

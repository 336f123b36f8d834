/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/spawn.c. */
#include "guest-stubs/agent/spawn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPACITY 65536

static char output[CAPACITY + 1];
static struct outcome outcome;
static char *no_environment[] = {NULL};

static int run(const char *line, size_t capacity, const char *input)
{
	struct command command = {
		.envp = no_environment,
		.input = input,
		.input_size = input ? strlen(input) : 0,
		.output = output,
		.output_capacity = capacity,
	};
	int rc = spawn_shell(line, &command, &outcome);

	output[outcome.output_size] = '\0';
	return rc;
}

static void set_up(void)
{
	cr_assert_eq(spawn_init(), 0);
}

TestSuite(spawn, .init = set_up);

Test(spawn, input_and_output)
{
	cr_assert_eq(run("cat; echo end", CAPACITY, "some text\n"), 0);
	cr_assert_str_eq(output, "some text\nend\n");
	cr_assert(outcome_is_success(&outcome));
	cr_assert_eq(run("cat", CAPACITY, NULL), 0);
	cr_assert_str_eq(output, "");
}

Test(spawn, much_of_both)
{
	char *input = malloc(CAPACITY + 1);

	memset(input, 'x', CAPACITY);
	input[CAPACITY] = '\0';
	cr_assert_eq(run("cat", CAPACITY, input), 0);
	cr_assert_eq(outcome.output_size, CAPACITY);
	cr_assert_eq(outcome.output_lost, 0);
	cr_assert_str_eq(output, input);
	free(input);
}

Test(spawn, what_does_not_fit_is_counted)
{
	cr_assert_eq(run("echo 123456789; head -c 300000 /dev/zero", 4, NULL), 0);
	cr_assert_str_eq(output, "1234");
	cr_assert_eq(outcome.output_lost, 300000 + 10 - 4);
	cr_assert(outcome_is_success(&outcome));
}

Test(spawn, how_it_ended)
{
	char words[64];

	cr_assert_eq(run("echo answer; exit 7", CAPACITY, NULL), 0);
	cr_assert_str_eq(output, "answer\n");
	cr_assert_not(outcome_is_success(&outcome));
	cr_assert_str_eq(outcome_describe(&outcome, words, sizeof(words)), "exit status 7");
	cr_assert_eq(run("kill -9 $$", CAPACITY, NULL), 0);
	cr_assert_not(outcome_is_success(&outcome));
	cr_assert_str_eq(outcome_describe(&outcome, words, sizeof(words)), "died of signal 9");
}

Test(spawn, what_cannot_start)
{
	const char *const argv[] = {"/nonexistent/program", NULL};
	const struct command command = {.argv = argv, .envp = no_environment};

	cr_assert_eq(spawn_run(&command, &outcome), -ENOENT);
	cr_assert_eq(run("echo still works", CAPACITY, NULL), 0);
	cr_assert_str_eq(output, "still works\n");
}

Test(spawn, what_takes_too_long, .timeout = 30)
{
	const char *const argv[] = {"/bin/sh", "-c", "echo begun; sleep 60 & sleep 60", NULL};
	const struct command command = {
		.argv = argv,
		.envp = no_environment,
		.output = output,
		.output_capacity = CAPACITY,
		.timeout_s = 1,
	};

	cr_assert_eq(spawn_run(&command, &outcome), 0);
	cr_assert(outcome.timed_out);
	cr_assert_not(outcome_is_success(&outcome));
	cr_assert_eq(outcome.output_size, strlen("begun\n"));
}

Test(spawn, a_daemon_does_not_hold_up_the_answer, .timeout = 30)
{
	cr_assert_eq(run("sleep 60 & echo $!", CAPACITY, NULL), 0);
	cr_assert(outcome_is_success(&outcome));
	cr_assert_gt(outcome.output_size, 1);
	cr_assert_eq(kill(atoi(output), SIGKILL), 0);
}

Test(spawn, a_child_has_ordinary_signals_and_no_descriptors)
{
	cr_assert_eq(run("grep -E 'Sig(Blk|Ign):' /proc/self/status; echo /proc/self/fd/*",
			 CAPACITY, NULL),
		     0);
	cr_assert_not_null(strstr(output, "SigBlk:\t0000000000000000"), "%s", output);
	cr_assert_null(strstr(output, "/fd/4"), "%s", output);
}

Test(spawn, signals_end_what_is_waited_for, .timeout = 30)
{
	cr_assert_not(spawn_poll());
	cr_assert_eq(run("kill -TERM $PPID; sleep 60", CAPACITY, NULL), 0);
	cr_assert(outcome.interrupted);
	cr_assert(spawn_poll());
	spawn_wait_for_end();
}

/* SPDX-License-Identifier: MIT */
/*
 * main() of every unit test program: Criterion's, but a skipped test is told, with its reason, and
 * makes the exit status 77, so that nobody takes it for a pass.
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <stdio.h>

#define STATUS_SKIPPED 77

static size_t skipped;

static void tell_skipped(const struct criterion_global_stats *stats)
{
	const struct criterion_suite_stats *suite;
	const struct criterion_test_stats *test;

	for (suite = stats->suites; suite; suite = suite->next) {
		for (test = suite->tests; test; test = test->next) {
			if (test->test_status != CR_STATUS_SKIPPED)
				continue;
			printf("skipped %s::%s: %s\n", test->test->category, test->test->name,
			       test->message ? test->message : "no reason given");
			skipped++;
		}
	}
	printf("%zu passed, %zu failed, %zu skipped\n", stats->tests_passed, stats->tests_failed,
	       skipped);
}

ReportHook(POST_ALL)(struct criterion_global_stats *stats)
{
	tell_skipped(stats);
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests = criterion_initialize();
	int status = 0;

	if (criterion_handle_args(argc, argv, true))
		status = criterion_run_all_tests(tests) ? 0 : 1;
	criterion_finalize(tests);
	return status ? status : skipped ? STATUS_SKIPPED : 0;
}

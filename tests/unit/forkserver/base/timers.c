/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/timers.c. */
#include "forkserver/base/timers.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 500

static struct timers timers;

static void set_up(void)
{
	cr_assert_eq(timers_init(&timers, COUNT), 0);
}

static void tear_down(void)
{
	timers_done(&timers);
}

TestSuite(timers, .init = set_up, .fini = tear_down);

Test(timers, none)
{
	cr_assert_eq(timers_next(&timers), UINT64_MAX);
	cr_assert_null(timers_take_due(&timers, UINT64_MAX - 1));
}

Test(timers, due_when_its_time_has_come)
{
	struct timer timer = {.expire = NULL};

	timers_arm(&timers, &timer, 100);
	cr_assert_neq(timer.place, 0);
	cr_assert_eq(timers_next(&timers), 100);
	cr_assert_null(timers_take_due(&timers, 99));
	cr_assert_eq(timers_take_due(&timers, 100), &timer);
	cr_assert_eq(timer.place, 0);
	cr_assert_null(timers_take_due(&timers, 1000));
}

Test(timers, disarming)
{
	struct timer a = {0}, b = {0};

	timers_disarm(&timers, &a); /* not armed: fine */
	timers_arm(&timers, &a, 1);
	timers_arm(&timers, &b, 2);
	timers_disarm(&timers, &a);
	timers_disarm(&timers, &a);
	cr_assert_eq(timers_next(&timers), 2);
	timers_disarm(&timers, &b);
	cr_assert_eq(timers_next(&timers), UINT64_MAX);
	cr_assert_eq(timers.count, 0);
}

Test(timers, arming_again_moves_it)
{
	struct timer a = {0}, b = {0};

	timers_arm(&timers, &a, 10);
	timers_arm(&timers, &b, 20);
	timers_arm(&timers, &a, 30);
	cr_assert_eq(timers.count, 2);
	cr_assert_eq(timers_take_due(&timers, 100), &b);
	cr_assert_eq(timers_take_due(&timers, 100), &a);
	timers_arm(&timers, &a, 5);
	timers_arm(&timers, &a, 1);
	cr_assert_eq(timers_next(&timers), 1);
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Against sorting: many timers, armed, moved and disarmed at random. */
Test(timers, many_come_out_in_order)
{
	static struct timer all[COUNT];
	uint64_t wanted[COUNT];
	size_t armed = 0;

	srandom(1);
	for (size_t i = 0; i < COUNT; i++)
		timers_arm(&timers, &all[i], (uint64_t)random() % 1000);
	for (size_t i = 0; i < COUNT; i += 3)
		timers_arm(&timers, &all[i], (uint64_t)random() % 1000);
	for (size_t i = 0; i < COUNT; i += 7)
		timers_disarm(&timers, &all[i]);
	for (size_t i = 0; i < COUNT; i++)
		if (all[i].place)
			wanted[armed++] = all[i].at_ns;
	cr_assert_eq(timers.count, armed);
	qsort(wanted, armed, sizeof(wanted[0]), by_time);
	for (size_t i = 0; i < armed; i++) {
		const struct timer *timer = timers_take_due(&timers, 1000);

		cr_assert_not_null(timer);
		cr_assert_eq(timer->at_ns, wanted[i]);
	}
	cr_assert_null(timers_take_due(&timers, UINT64_MAX - 1));
}

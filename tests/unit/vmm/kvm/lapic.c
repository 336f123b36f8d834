/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/kvm/lapic.c. */
#include "vmm/kvm/lapic.h"

#include <criterion/criterion.h>
#include <string.h>

#define LVTT	     0x320
#define INITIAL	     0x380
#define CURRENT	     0x390
#define PERIODIC     (1u << 17)
#define TSC_DEADLINE (2u << 17)

static void set(struct kvm_lapic_state *lapic, unsigned int at, uint32_t value)
{
	memcpy(lapic->regs + at, &value, sizeof(value));
}

/* The current count and the deadline after a timer in that state was armed again. */
static uint32_t rearm(uint32_t lvtt, uint32_t initial, uint32_t current, __u64 *deadline)
{
	struct kvm_lapic_state lapic = {0};
	uint32_t value;

	set(&lapic, LVTT, lvtt);
	set(&lapic, INITIAL, initial);
	set(&lapic, CURRENT, current);
	lapic_timer_rearm(&lapic, deadline, 1000);
	memcpy(&value, lapic.regs + CURRENT, sizeof(value));
	return value;
}

Test(lapic, a_deadline_ahead_stays)
{
	__u64 deadline = 5000;

	cr_assert_eq(rearm(TSC_DEADLINE, 0, 0, &deadline), 0);
	cr_assert_eq(deadline, 5000);
}

Test(lapic, a_deadline_that_is_over_comes_at_once)
{
	__u64 deadline = 0;

	rearm(TSC_DEADLINE, 0, 0, &deadline);
	cr_assert_eq(deadline, 1000);
}

Test(lapic, a_count_that_ran_out_runs_out_again)
{
	__u64 deadline = 0;

	cr_assert_eq(rearm(0, 77, 0, &deadline), 1);
	cr_assert_eq(rearm(PERIODIC, 77, 0, &deadline), 1);
	cr_assert_eq(deadline, 0);
}

Test(lapic, a_count_that_runs_and_a_timer_that_was_never_armed_stay)
{
	__u64 deadline = 0;

	cr_assert_eq(rearm(0, 77, 33, &deadline), 33);
	cr_assert_eq(rearm(0, 0, 0, &deadline), 0);
	cr_assert_eq(deadline, 0);
}

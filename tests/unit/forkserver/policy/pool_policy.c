/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of forkserver/policy/pool_policy.c: single decisions, and whole days of a server in a
 * simulation: claims come by a trace, making a spare takes its time, and what must always hold is
 * looked at after every step.
 */
#include "forkserver/policy/pool_policy.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/base/util.h"

#define MS	   1000000ull
#define SPARES_MAX 256

static const struct pool_limits plain = {.low = 4, .high = 32, .at_once = 1};

/* A server, as far as the policy sees it. */
struct simulation {
	struct pool_limits limits;
	struct pool_history history;
	uint64_t now_ns;
	uint64_t make_ns; /* how long one takes */
	uint32_t room;
	uint64_t each;
	bool broken;		       /* no spare ever parks */
	uint64_t born_ns[SPARES_MAX];  /* of those parked, oldest first */
	uint64_t ready_ns[SPARES_MAX]; /* of those being made */
	uint32_t parked, making;
	uint64_t quiet_ns; /* how long a claim asks for it */
	uint64_t quiet_until_ns;
	uint64_t next_ns; /* what the policy said */
	uint32_t claims, misses, made, aged, surplus, outgrown;
	uint32_t most; /* spares there ever were */
};

static void remove_first(uint64_t *list, uint32_t *count)
{
	memmove(list, list + 1, --*count * sizeof(*list));
}

static struct pool_view look(const struct simulation *sim)
{
	return (struct pool_view){
		.now_ns = sim->now_ns,
		.parked = sim->parked,
		.making = sim->making,
		.room = sim->room - (sim->parked + sim->making),
		.oldest_ns = sim->parked ? sim->born_ns[0] : 0,
		.each = sim->each,
		.quiet_until_ns = sim->quiet_until_ns,
	};
}

static void check(const struct simulation *sim)
{
	/* One more only while it takes the place of an old one. */
	cr_assert_leq(sim->parked + sim->making, sim->limits.high + (sim->limits.age_ns ? 1 : 0));
	cr_assert_leq(sim->making, sim->limits.at_once);
	cr_assert_leq(sim->parked + sim->making, sim->room);
}

/* Carry decisions out until there is nothing to be done now. */
static void settle(struct simulation *sim)
{
	for (unsigned int steps = 0; steps < 1000; steps++) {
		struct pool_view view = look(sim);
		struct pool_decision decision = pool_decide(&sim->limits, &sim->history, &view);

		sim->next_ns = decision.next_ns;
		if (decision.action == POOL_WAIT) {
			cr_assert_gt(decision.next_ns, sim->now_ns, "it asks for no time at all");
			return;
		}
		if (decision.action == POOL_MAKE) {
			sim->ready_ns[sim->making++] = sim->now_ns + sim->make_ns;
			sim->made++;
			pool_note_made(&sim->history, sim->now_ns);
		} else {
			cr_assert_gt(sim->parked, 0);
			remove_first(sim->born_ns, &sim->parked);
			sim->aged += decision.action == POOL_RETIRE_AGE;
			sim->outgrown += decision.action == POOL_RETIRE_MEMORY;
			sim->surplus += decision.action == POOL_RETIRE_SURPLUS;
			if (decision.action == POOL_RETIRE_SURPLUS)
				pool_note_surplus(&sim->history, sim->now_ns);
		}
		if (sim->parked + sim->making > sim->most)
			sim->most = sim->parked + sim->making;
		check(sim);
	}
	cr_assert_fail("it never comes to rest");
}

/* One that was being made is ready. */
static void finish_one(struct simulation *sim)
{
	sim->now_ns = max_u64(sim->now_ns, sim->ready_ns[0]);
	remove_first(sim->ready_ns, &sim->making);
	if (sim->broken) {
		pool_note_failed(&sim->history, sim->now_ns);
	} else {
		pool_note_parked(&sim->history);
		sim->born_ns[sim->parked++] = sim->now_ns;
	}
	settle(sim);
}

/* Let time pass until then, as a server would: woken by what it waits for. */
static void pass(struct simulation *sim, uint64_t until_ns)
{
	settle(sim);
	for (;;) {
		uint64_t ready_ns = sim->making ? sim->ready_ns[0] : UINT64_MAX;

		if (min_u64(ready_ns, sim->next_ns) > until_ns)
			break;
		if (ready_ns <= sim->next_ns) {
			finish_one(sim);
		} else {
			sim->now_ns = max_u64(sim->now_ns, sim->next_ns);
			settle(sim);
		}
	}
	sim->now_ns = until_ns;
}

static void claim(struct simulation *sim)
{
	pool_note_demand(&sim->history, sim->now_ns);
	if (sim->parked) {
		sim->parked--; /* the youngest */
		sim->claims++;
		sim->quiet_until_ns = sim->now_ns + sim->quiet_ns;
	} else {
		sim->misses++;
	}
	check(sim);
}

/* From now on, count claims, each so long after the one before. */
static void claims_every(struct simulation *sim, unsigned int count, uint64_t interval_ns)
{
	for (unsigned int i = 0; i < count; i++) {
		claim(sim);
		pass(sim, sim->now_ns + interval_ns);
	}
}

static struct simulation server(const struct pool_limits *limits)
{
	/* A clock that has been running for a while. */
	struct simulation sim = {.limits = *limits,
				 .now_ns = 5000 * NS_PER_SEC,
				 .make_ns = 600000,
				 .quiet_ns = MS,
				 .room = 1000};

	pass(&sim, sim.now_ns + NS_PER_SEC);
	return sim;
}

Test(pool_policy, the_low_mark_is_filled_and_that_is_all)
{
	struct simulation sim = server(&plain);

	cr_assert_eq(sim.parked, 4);
	cr_assert_eq(sim.made, 4);
	pass(&sim, sim.now_ns + 3600 * NS_PER_SEC);
	cr_assert_eq(sim.made, 4, "an idle server makes nothing");
	cr_assert_eq(sim.next_ns, UINT64_MAX, "and is not woken");
}

Test(pool_policy, no_spares_are_wanted)
{
	struct pool_limits none = {.at_once = 1};
	struct simulation sim = server(&none);

	claims_every(&sim, 100, MS);
	cr_assert_eq(sim.made, 0);
}

/* With a low mark of nothing, spares are only made for those who come again. */
Test(pool_policy, only_where_there_is_demand)
{
	struct pool_limits lazy = {.high = 8, .at_once = 1};
	struct simulation sim = server(&lazy);

	cr_assert_eq(sim.made, 0);
	claims_every(&sim, 20, 5 * MS);
	cr_assert_leq(sim.misses, 2);
	pass(&sim, sim.now_ns + 600 * NS_PER_SEC);
	cr_assert_eq(sim.parked, 0);
}

Test(pool_policy, a_steady_load_never_misses)
{
	struct simulation sim = server(&plain);

	claims_every(&sim, 100000, 2 * MS); /* 500 a second; 1600 could be made */
	cr_assert_eq(sim.misses, 0);
	cr_assert_leq(sim.most, 32);
}

Test(pool_policy, nothing_is_made_beside_a_claim_while_there_are_spares)
{
	struct simulation sim = server(&plain);
	uint32_t made = sim.made;

	claim(&sim);
	pass(&sim, sim.now_ns + MS - 1);
	cr_assert_eq(sim.made, made);
	pass(&sim, sim.now_ns + 2 * MS);
	cr_assert_eq(sim.made, made + 1);
}

/* Clones that live for longer than anybody is quiet for, claimed by two while that lasts. */
Test(pool_policy, claims_that_come_fast_leave_no_quiet_time)
{
	struct simulation sim = server(&plain);

	sim.quiet_ns = 5 * MS;
	for (int i = 0; i < 5000; i++) {
		claim(&sim);
		claim(&sim);
		pass(&sim, sim.now_ns + 4 * MS);
		cr_assert_geq(sim.parked + sim.making, 2, "after %d", i);
	}
	cr_assert_eq(sim.misses, 0);
}

Test(pool_policy, with_none_left_there_is_no_waiting)
{
	struct simulation sim = server(&plain);
	uint32_t made = sim.made;

	for (int i = 0; i < 4; i++)
		claim(&sim);
	settle(&sim);
	cr_assert_eq(sim.made, made + 1);
}

/* The first burst finds what there is; later ones of its size find enough. */
Test(pool_policy, bursts_are_learnt)
{
	struct simulation sim = server(&plain);

	for (int burst = 0; burst < 50; burst++) {
		uint32_t misses = sim.misses;

		for (int i = 0; i < 20; i++)
			claim(&sim);
		pass(&sim, sim.now_ns + 2 * NS_PER_SEC);
		if (burst == 0)
			cr_assert_eq(sim.misses, 16);
		else
			cr_assert_eq(sim.misses, misses, "burst %d", burst);
	}
	cr_assert_leq(sim.most, 20);
}

Test(pool_policy, bursts_are_forgotten)
{
	struct simulation sim = server(&plain);

	for (int i = 0; i < 20; i++)
		claim(&sim);
	pass(&sim, sim.now_ns + NS_PER_SEC);
	cr_assert_eq(sim.parked, 20);
	pass(&sim, sim.now_ns + 60 * NS_PER_SEC);
	cr_assert_eq(sim.parked, 4);
	cr_assert_eq(sim.surplus, 16);
}

/* Whoever asks for much gets no more than the operator allows. */
Test(pool_policy, a_flood_moves_no_mark)
{
	struct simulation sim = server(&plain);

	for (int i = 0; i < 1000; i++) {
		for (int j = 0; j < 1000; j++)
			claim(&sim);
		pass(&sim, sim.now_ns + 10 * MS);
	}
	cr_assert_leq(sim.most, 32);
	/* What could be made was made and claimed. */
	cr_assert_gt(sim.claims, 10000);
}

/* Claims that come just when a window is over must not be overlooked. */
Test(pool_policy, claims_at_the_edges_of_windows)
{
	struct simulation sim = server(&plain);

	for (int i = 0; i < 200; i++) {
		for (int j = 0; j < 12; j++)
			claim(&sim);
		pass(&sim, sim.now_ns + POOL_WINDOW_NS);
	}
	cr_assert_leq(sim.misses, 8 + 12);
}

Test(pool_policy, a_rate_is_kept)
{
	struct pool_limits limits = plain;
	struct simulation sim;

	limits.rate = 100;
	sim = server(&limits);
	claims_every(&sim, 5000, 2 * MS); /* ten seconds of five times as many */
	cr_assert_leq(sim.made, 4 + 1001 + 100);
	cr_assert_geq(sim.made, 950);
}

Test(pool_policy, old_ones_are_replaced_before_they_go)
{
	struct pool_limits limits = plain;
	struct simulation sim;
	uint64_t end_ns;

	limits.age_ns = 60 * NS_PER_SEC;
	sim = server(&limits);
	end_ns = sim.now_ns + 601 * NS_PER_SEC;
	while (sim.now_ns < end_ns) {
		pass(&sim, sim.now_ns + 100 * MS);
		cr_assert_geq(sim.parked, 4, "there are never fewer");
		cr_assert_leq(sim.now_ns - sim.born_ns[0], 60 * NS_PER_SEC + 10 * MS);
	}
	cr_assert_eq(sim.aged, 40);
	cr_assert_eq(sim.most, 5);
}

Test(pool_policy, old_ones_go_where_there_is_no_room_for_others)
{
	struct pool_limits limits = plain;
	struct simulation sim;

	limits.age_ns = 10 * NS_PER_SEC;
	sim = server(&limits);
	sim.room = 4;
	pass(&sim, sim.now_ns + 11 * NS_PER_SEC);
	cr_assert_geq(sim.aged, 4);
	cr_assert_eq(sim.parked, 4);
}

Test(pool_policy, memory_has_a_limit)
{
	struct pool_limits limits = plain;
	struct simulation sim;

	limits.memory = 3 * MIB;
	sim = server(&limits);
	cr_assert_eq(sim.parked, 4, "nothing is known of their memory yet");
	sim.each = MIB;
	pass(&sim, sim.now_ns + NS_PER_SEC);
	cr_assert_eq(sim.parked, 3);
	cr_assert_eq(sim.outgrown, 1);
	sim.each = 4 * MIB;
	pass(&sim, sim.now_ns + NS_PER_SEC);
	cr_assert_eq(sim.parked, 0, "one is too many");
	pass(&sim, sim.now_ns + 600 * NS_PER_SEC);
	cr_assert_eq(sim.made, 4, "and will be");
}

Test(pool_policy, a_server_that_is_full_makes_none)
{
	struct simulation sim = server(&plain);

	sim.room = 4;
	claims_every(&sim, 100, MS);
	cr_assert_leq(sim.most, 4);
	sim.room = 0;
	sim.parked = sim.making = 0;
	pass(&sim, sim.now_ns + NS_PER_SEC);
	cr_assert_eq(sim.parked, 0);
}

/* A guest that cannot be a spare is not tried over and over again. */
Test(pool_policy, failures_are_tried_less_and_less)
{
	struct simulation sim = {.limits = plain,
				 .now_ns = NS_PER_SEC,
				 .make_ns = 600000,
				 .room = 1000,
				 .broken = true};

	pass(&sim, 3600 * NS_PER_SEC);
	cr_assert_leq(sim.made, 80);
	cr_assert_geq(sim.made, 60, "but it is tried");
	sim.broken = false;
	pass(&sim, sim.now_ns + 60 * NS_PER_SEC);
	cr_assert_eq(sim.parked, 4, "what works again is used again at once");
}

Test(pool_policy, one_failure_costs_little)
{
	struct simulation sim = server(&plain);

	claim(&sim);
	pool_note_failed(&sim.history, sim.now_ns);
	pass(&sim, sim.now_ns + POOL_BACKOFF_NS + 2 * MS);
	cr_assert_eq(sim.parked, 4);
}

Test(pool_policy, several_at_once_where_that_is_allowed)
{
	struct pool_limits limits = plain;
	struct simulation sim;
	uint64_t before;

	limits.at_once = 4;
	sim = server(&limits);
	for (int i = 0; i < 32; i++)
		claim(&sim);
	before = sim.now_ns;
	while (sim.parked < 32)
		pass(&sim, sim.now_ns + MS / 10);
	cr_assert_leq(sim.now_ns - before, 32 / 4 * sim.make_ns + 3 * MS);
}

/* A pseudo-random mixture of all there is: what must hold is looked at in every step. */
Test(pool_policy, anything)
{
	uint64_t state = 88172645463325252ull;
	struct pool_limits limits = {.low = 2,
				     .high = 9,
				     .at_once = 2,
				     .rate = 300,
				     .age_ns = 3 * NS_PER_SEC,
				     .memory = 20 * MIB};
	struct simulation sim = server(&limits);

	for (int i = 0; i < 200000; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		switch (state % 8) {
		case 0:
			pass(&sim, sim.now_ns + state % (3 * NS_PER_SEC));
			break;
		case 1:
			sim.each = state % (8 * MIB);
			break;
		case 2:
			sim.room = 12 + (uint32_t)(state % 20);
			break;
		case 3:
			sim.broken = state % 64 < 8;
			break;
		default:
			claim(&sim);
			pass(&sim, sim.now_ns + state % (2 * MS));
			break;
		}
	}
	cr_assert_gt(sim.claims, 1000);
}

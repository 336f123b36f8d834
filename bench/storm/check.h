/* SPDX-License-Identifier: MIT */
/*
 * Is that what the guest should have answered?
 */
#ifndef FORKVM_BENCH_STORM_CHECK_H
#define FORKVM_BENCH_STORM_CHECK_H

#include <stddef.h>

#include "bench/common/samples.h"

enum check_verdict {
	CHECK_GOOD,
	CHECK_SHORT, /* right so far, but not all of it yet */
	CHECK_BAD,
};

struct checker {
	const char *stub; /* its name, which decides what is right */
	const char *request;
	size_t request_len;
	/*
	 * What must never be seen twice: clone numbers, and of `unique` generation ids and random
	 * draws, each as a 64-bit hash of its kind and text.
	 */
	struct samples once;
};

/* Judge what has come from one clone so far. reason is set for CHECK_BAD. */
enum check_verdict check_answer(struct checker *checker, const char *answer, size_t length,
				const char **ret_reason);

/* How many values were seen more than once among all answers judged good. */
size_t check_repeated(struct checker *checker);

#endif

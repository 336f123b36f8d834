/* SPDX-License-Identifier: MIT */
/*
 * Is that what the guest should have answered?
 */
#ifndef FORKVM_BENCH_STORM_CHECK_H
#define FORKVM_BENCH_STORM_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "bench/storm/storm.h"

enum check_verdict {
	CHECK_GOOD,
	CHECK_SHORT, /* right so far, but not all of it yet */
	CHECK_BAD,
};

#define CHECK_ECHO_LENGTH 22 /* "echo ", and a word of its own for each clone */

struct checker {
	enum storm_check by;
	const char *stub; /* its name, which decides what is right */
	const char *request;
	size_t request_len;
	/*
	 * What must never be seen twice: clone numbers, and of `unique` and of Linux guests
	 * generation ids, random draws and names, each as a 64-bit hash of its kind and text.
	 */
	struct samples once;
	uint64_t next_token;
};

/*
 * What the clone that is known as token is asked: checker->request_len bytes. buffer takes those
 * that are its own.
 */
const char *check_request(const struct checker *checker, uint64_t token,
			  char buffer[CHECK_ECHO_LENGTH + 1]);

/*
 * Judge what has come so far from the clone that was asked as token. reason is set for CHECK_BAD.
 */
enum check_verdict check_answer(struct checker *checker, uint64_t token, const char *answer,
				size_t length, const char **ret_reason);

/* How many values were seen more than once among all answers judged good. */
size_t check_repeated(struct checker *checker);

#endif

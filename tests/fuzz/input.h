/* SPDX-License-Identifier: MIT */
/*
 * The input of a fuzz target that takes it apart step by step.
 */
#ifndef FORKVM_TESTS_FUZZ_INPUT_H
#define FORKVM_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What is left of the input. */
struct input {
	const uint8_t *at;
	size_t left;
};

/* The next size bytes (at most 8) as a number, the first one lowest; zeros beyond the end. */
static inline uint64_t input_take(struct input *input, size_t size)
{
	uint64_t value = 0;

	if (size > input->left)
		size = input->left;
	memcpy(&value, input->at, size);
	input->at += size;
	input->left -= size;
	return value;
}

#endif

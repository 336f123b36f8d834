/* SPDX-License-Identifier: MIT */
/*
 * What every fuzz target is made of: libFuzzer's entry point, and a check that holds in all builds.
 *
 * A target is linked with libFuzzer in the fuzz preset, and with replay.c, which runs it once over
 * each file of the corpus, in all others.
 */
#ifndef FORKVM_TESTS_FUZZ_FUZZ_H
#define FORKVM_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* One input. Returns 0; a finding ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input. */
#define FUZZ_CHECK(condition)                                                            \
	do {                                                                             \
		if (!(condition)) {                                                      \
			fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, \
				#condition);                                             \
			abort();                                                         \
		}                                                                        \
	} while (0)

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the beginning of a file, as a qcow2 header.
 */
#include "forkserver/storage/qcow2.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* On the heap, so that a sanitizer sees what is read behind the end. */
	uint8_t *bytes = malloc(size ? size : 1);
	struct qcow2_header header = {0};
	struct error error = {0};
	int rc;

	if (!bytes)
		return 0;
	memcpy(bytes, data, size);
	rc = qcow2_parse(bytes, size, &header, &error);
	FUZZ_CHECK(rc == -error.code);
	FUZZ_CHECK(rc == 0 || error.text[0] != '\0');
	FUZZ_CHECK(rc < 0 || qcow2_is(bytes, size));
	FUZZ_CHECK(rc < 0 || header.least_bytes <= (1ull << 57));
	FUZZ_CHECK(rc < 0 || header.size <= (1ull << 56));
	free(bytes);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * spin: a clone that never answers and never exits to the host. For timeouts and kills.
 *
 * Request: anything.
 * Answer:  none.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);

void stub_setup(void)
{
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	(void)request;
	(void)request_len;
	(void)response;
	(void)capacity;
	for (;;)
		stub_pause();
}

/* SPDX-License-Identifier: MIT */
/*
 * echo: a request's bytes reach the guest and come back, whatever they are.
 *
 * Request: up to FORKVM_MAX_REQUEST bytes.
 * Answer:  the same bytes, and no others.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);
STUB_BUFFERS(FORKVM_MAX_REQUEST, FORKVM_MAX_RESPONSE);

void stub_setup(void)
{
	/* All of both buffers is in the template: a clone finds no hole, however long the echo. */
	memset(stub_own_request, 0, sizeof(stub_own_request));
	memset(stub_own_response, 0, sizeof(stub_own_response));
}

STUB_HOT_TEXT size_t stub_serve(const char *request, size_t request_len, char *response,
				size_t capacity)
{
	size_t len = request_len < capacity ? request_len : capacity;

	memcpy(response, request, len);
	return len;
}

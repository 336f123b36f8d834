/* SPDX-License-Identifier: MIT */
/*
 * hello: the least a clone can do. The yardstick for latency and memory.
 *
 * Request: anything, ignored.
 * Answer:  ok hello clone=ID
 *
 * The constant words are put into the response in the template; the clone adds its number. It
 * touches one page of code and one of data.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);

#define GREETING     "ok hello clone="
#define GREETING_LEN (sizeof(GREETING) - 1)

void stub_setup(void)
{
	memcpy(stub_hot.response, GREETING, GREETING_LEN);
}

STUB_HOT_TEXT size_t stub_serve(const char *request, size_t request_len, char *response,
				size_t capacity)
{
	struct text answer = {.buffer = response, .capacity = capacity, .len = GREETING_LEN};

	(void)request;
	(void)request_len;
	text_u64(&answer, stub_mailbox.identity.clone_id);
	text_char(&answer, '\n');
	return answer.len;
}

/* SPDX-License-Identifier: MIT */
/*
 * crash: a guest that dies of a triple fault instead of answering.
 *
 * Request: anything.
 * Answer:  none; the VM ends with a guest error.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);

void stub_setup(void)
{
}

/* With an IDT of no entries, the next exception and the double fault after it find no handler. */
static uint64_t crash(uint64_t unused)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = {0, 0};

	(void)unused;
	__asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
	return 0;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	(void)request;
	(void)request_len;
	(void)response;
	(void)capacity;
	return ring0_call(crash, 0);
}

/* SPDX-License-Identifier: MIT */
/*
 * What a stub gets where it does not ask for something else: one vCPU, and buffers on the hot
 * page. All weak; the macros of stub.h replace them.
 */
#include "guest-stubs/runtime/stub.h"

__attribute__((weak)) const uint32_t stub_max_cpus = 1;

__attribute__((weak, section(".bss.percpu"),
	       aligned(STUB_PAGE_SIZE))) char stub_percpu[STUB_PERCPU_SIZE];

/* CPU 0 does not use it. */
__attribute__((weak, section(".bss.stacks"))) char stub_secondary_stacks[1];

__attribute__((weak)) const struct stub_buffers stub_buffers = {
	stub_hot.request, STUB_HOT_REQUEST, stub_hot.response, STUB_HOT_RESPONSE};

__attribute__((weak)) _Noreturn void stub_secondary(uint32_t index)
{
	(void)index;
	for (;;)
		stub_pause();
}

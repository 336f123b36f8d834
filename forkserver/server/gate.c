/* SPDX-License-Identifier: MIT */
/*
 * The gate: see gate.h.
 */
#include "forkserver/server/gate.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#define GATE_PAGE_SIZE 4096
#define GATE_CODE_SIZE 25 /* bytes of the instructions before the page's end */

/*
 * The kernel's convention: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9. The C arguments
 * are one further along. The rest of the page is int3, so that nothing else starts there.
 */
__asm__(".pushsection .text.forkvm_gate, \"ax\", @progbits\n"
	".balign 4096, 0xcc\n"
	"gate_page:\n"
	".org gate_page + 4096 - 25, 0xcc\n"
	".globl gate_call\n"
	".type gate_call, @function\n"
	"gate_call:\n"
	".cfi_startproc\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	mov %r8, %r10\n"
	"	mov %r9, %r8\n"
	"	mov 8(%rsp), %r9\n"
	"	syscall\n"
	"gate_return:\n"
	"	ret\n"
	".cfi_endproc\n"
	".size gate_call, . - gate_call\n"
	".popsection\n");

extern const char gate_page[] __attribute__((visibility("hidden")));
extern const char gate_return[] __attribute__((visibility("hidden")));

uintptr_t gate_address(void)
{
	assert(gate_return - gate_page == GATE_PAGE_SIZE);
	assert(gate_return - (const char *)(uintptr_t)gate_call == GATE_CODE_SIZE);
	return (uintptr_t)gate_return;
}

int gate_withhold(void)
{
	assert((uintptr_t)gate_page % GATE_PAGE_SIZE == 0);
	if (madvise((void *)(uintptr_t)gate_page, GATE_PAGE_SIZE, MADV_DONTFORK))
		return -errno;
	return 0;
}

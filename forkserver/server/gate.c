/* SPDX-License-Identifier: MIT */
/*
 * The gate: see gate.h.
 */
#include "forkserver/server/gate.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define GATE_PAGE_SIZE 4096ul
#define TRAP	       0xcc /* int3: nothing else starts on these pages */

/*
 * The kernel's convention: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9. The C arguments
 * are one further along.
 */
static const unsigned char gate_code[] = {
	0x48, 0x89, 0xf8,	      /* mov %rdi, %rax    */
	0x48, 0x89, 0xf7,	      /* mov %rsi, %rdi    */
	0x48, 0x89, 0xd6,	      /* mov %rdx, %rsi    */
	0x48, 0x89, 0xca,	      /* mov %rcx, %rdx    */
	0x4d, 0x89, 0xc2,	      /* mov %r8, %r10     */
	0x4d, 0x89, 0xc8,	      /* mov %r9, %r8      */
	0x4c, 0x8b, 0x4c, 0x24, 0x08, /* mov 8(%rsp), %r9  */
	0x0f, 0x05,		      /* syscall           */
	0xc3,			      /* ret, on the page that children keep */
};

#define GATE_LENGTH (sizeof(gate_code) - 1) /* of what lies on the first page */

gate_fn *gate_entry;

int gate_init(void)
{
	unsigned char *pages = mmap(NULL, 2 * GATE_PAGE_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return -errno;
	memset(pages, TRAP, 2 * GATE_PAGE_SIZE);
	memcpy(pages + GATE_PAGE_SIZE - GATE_LENGTH, gate_code, sizeof(gate_code));
	if (mprotect(pages, 2 * GATE_PAGE_SIZE, PROT_READ | PROT_EXEC) ||
	    madvise(pages, GATE_PAGE_SIZE, MADV_DONTFORK))
		return -errno;
	gate_entry = (gate_fn *)(uintptr_t)(pages + GATE_PAGE_SIZE - GATE_LENGTH);
	return 0;
}

uintptr_t gate_address(void)
{
	return (uintptr_t)gate_entry + GATE_LENGTH;
}

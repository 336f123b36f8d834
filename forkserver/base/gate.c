/* SPDX-License-Identifier: MIT */
/*
 * The gate and the nursery: see gate.h.
 */
#include "forkserver/base/gate.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/call.h"

#define GATE_PAGE_SIZE 4096ul
#define TRAP	       0xcc /* int3: nothing else starts on these pages */

/*
 * The kernel's convention: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9. The C arguments
 * are one further along.
 */
static const unsigned char call_code[] = {
	0x48, 0x89, 0xf8,	      /* mov %rdi, %rax    */
	0x48, 0x89, 0xf7,	      /* mov %rsi, %rdi    */
	0x48, 0x89, 0xd6,	      /* mov %rdx, %rsi    */
	0x48, 0x89, 0xca,	      /* mov %rcx, %rdx    */
	0x4d, 0x89, 0xc2,	      /* mov %r8, %r10     */
	0x4d, 0x89, 0xc8,	      /* mov %r9, %r8      */
	0x4c, 0x8b, 0x4c, 0x24, 0x08, /* mov 8(%rsp), %r9  */
	0x0f, 0x05,		      /* syscall           */
	0xc3,			      /* ret; the gate's is on the page that children keep */
};

#define CALL_LENGTH    (sizeof(call_code) - 1) /* up to the return instruction */
#define NURSERY_OFFSET 64u		       /* on its page, behind the gate's return */

gate_fn *gate_entry, *nursery_entry;

int gate_init(void)
{
	unsigned char *pages = mmap(NULL, 2 * GATE_PAGE_SIZE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return -errno;
	memset(pages, TRAP, 2 * GATE_PAGE_SIZE);
	memcpy(pages + GATE_PAGE_SIZE - CALL_LENGTH, call_code, sizeof(call_code));
	memcpy(pages + GATE_PAGE_SIZE + NURSERY_OFFSET, call_code, sizeof(call_code));
	if (mprotect(pages, 2 * GATE_PAGE_SIZE, PROT_READ | PROT_EXEC) ||
	    madvise(pages, GATE_PAGE_SIZE, MADV_DONTFORK))
		return -errno;
	gate_entry = (gate_fn *)(uintptr_t)(pages + GATE_PAGE_SIZE - CALL_LENGTH);
	nursery_entry = (gate_fn *)(uintptr_t)(pages + GATE_PAGE_SIZE + NURSERY_OFFSET);
	return 0;
}

uintptr_t gate_address(void)
{
	return (uintptr_t)gate_entry + CALL_LENGTH;
}

uintptr_t nursery_address(void)
{
	return (uintptr_t)nursery_entry + CALL_LENGTH;
}

/* For vmm/, which makes disks (vmm/base/call.h). Before there is a nursery, any way will do. */
long base_call(long nr, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5)
{
	long rc;

	if (!nursery_entry)
		return syscall(nr, a1, a2, a3, a4, a5);
	rc = nursery_call(nr, (long)a1, (long)a2, (long)a3, (long)a4, (long)a5, 0);
	if (rc < 0) {
		errno = (int)-rc;
		return -1;
	}
	return rc;
}

int nursery_leave(void)
{
	uintptr_t page = (uintptr_t)nursery_entry - NURSERY_OFFSET;

	return munmap((void *)page, GATE_PAGE_SIZE) ? -errno : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * System calls that bring something new: see call.h.
 */
#include "vmm/base/call.h"

#include <unistd.h>

__attribute__((weak)) long base_call(long nr, uintptr_t a1, uintptr_t a2, uintptr_t a3,
				     uintptr_t a4, uintptr_t a5)
{
	return syscall(nr, a1, a2, a3, a4, a5);
}

/* SPDX-License-Identifier: MIT */
/* What stands where a PC's BIOS begins: see reset_vector.h. */
#include "vmm/boot/reset_vector.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/layout.h"

/* 16-bit code. */
static const uint8_t code[] = {
	0xb0, 0xfe,		  /* mov $0xfe, %al: pulse output line 0 */
	0xe6, PORT_I8042_COMMAND, /* out %al, $0x64                      */
	0xf4,			  /* hlt, and should that end            */
	0xeb, 0xfd,		  /* jmp to it                           */
};

int reset_vector_write(const struct guest_ram *ram, struct error *error)
{
	void *at = guest_ram_at(ram, GPA_RESET_VECTOR, sizeof(code));

	if (!at)
		return error_set(error, EFBIG, "RAM ends before the reset vector");
	memcpy(at, code, sizeof(code));
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/linux_refuse.c. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"
#include "vmm/boot/linux_kernel.h"

/* A file of size bytes that has magic at offset is refused with part in the words. */
static void refuse(size_t size, size_t offset, const char *magic, size_t length, const char *part)
{
	uint8_t file[128] = {0};
	struct error error = {0};

	memcpy(file + offset, magic, length);
	cr_assert_eq(linux_refuse_file(file, size, &error), -ENOEXEC);
	cr_assert_eq(error.code, ENOEXEC);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
}

Test(linux_refuse, compressed)
{
	refuse(128, 0, "\x1f\x8b\x08", 3, "gunzip");
	refuse(128, 0,
	       "\xfd"
	       "7zXZ",
	       5, "unxz");
	refuse(128, 0, "\x28\xb5\x2f\xfd", 4, "unzstd");
	refuse(128, 0, "\x02\x21\x4c\x18", 4, "unlz4");
	refuse(128, 0, "\x04\x22\x4d\x18", 4, "unlz4");
	refuse(128, 0, "BZh9", 4, "bunzip2");
	refuse(128, 0, "\x5d\0\0\x80", 4, "unlzma");
	refuse(128, 0, "\x89LZO", 4, "lzop");
}

Test(linux_refuse, for_other_firmware)
{
	refuse(128, 0, "MZ", 2, "EFI program");
	refuse(128, 0, "MZ\0\0zimg", 8, "zboot");
	refuse(128, 0, "\x27\x05\x19\x56", 4, "U-Boot");
}

Test(linux_refuse, for_other_machines)
{
	refuse(128, 0x38, "ARM\x64", 4, "64-bit ARM");
	refuse(128, 0x38, "RSC\x05", 4, "RISC-V");
}

Test(linux_refuse, other_things_one_has_around_a_kernel)
{
	refuse(128, 0, "070701", 6, "initrd");
	refuse(128, 0, "QFI\xfb", 4, "qcow2");
	refuse(128, 0, "!<arch>\n", 8, "package");
	refuse(128, 0, "\xed\xab\xee\xdb", 4, "package");
	refuse(128, 0, "#!/bin/sh", 9, "script");
}

Test(linux_refuse, anything_else)
{
	refuse(128, 0, "hello", 5, "not a Linux kernel");
	refuse(1, 0, "M", 1, "not a Linux kernel");
	/* A signature that the file's end cuts off is none. */
	refuse(0x3b, 0x38, "ARM\x64", 4, "not a Linux kernel");
}

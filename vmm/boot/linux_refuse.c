/* SPDX-License-Identifier: MIT */
/*
 * What people give for a kernel that is none: see linux_kernel.h.
 */
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"
#include "vmm/boot/linux_kernel.h"

#define UNPACK "; the kernel inside must be unpacked first"

/* The first that fits counts. */
static const struct {
	size_t offset;
	const char *magic;
	size_t length;
	const char *what;
} signatures[] = {
	{0x38, "ARM\x64", 4, "a kernel for 64-bit ARM: one for x86-64 is wanted"},
	{0x38, "RSC\x05", 4, "a kernel for RISC-V: one for x86-64 is wanted"},
	{4, "zimg", 4, "a compressed EFI kernel image (zboot): give the bzImage or vmlinux"},
	{0, "MZ", 2,
	 "an EFI program without a Linux boot header; if it is a unified kernel image, give the "
	 "kernel inside: objcopy -O binary --only-section=.linux"},
	{0, "\x1f\x8b", 2, "a compressed image (gzip)" UNPACK " (gunzip), if it is not the initrd"},
	{0,
	 "\xfd"
	 "7zXZ",
	 5, "a compressed image (xz)" UNPACK " (unxz)"},
	{0, "\x28\xb5\x2f\xfd", 4, "a compressed image (zstd)" UNPACK " (unzstd)"},
	{0, "\x02\x21\x4c\x18", 4, "a compressed image (lz4)" UNPACK " (unlz4)"},
	{0, "\x04\x22\x4d\x18", 4, "a compressed image (lz4)" UNPACK " (unlz4)"},
	{0, "BZh", 3, "a compressed image (bzip2)" UNPACK " (bunzip2)"},
	{0, "\x5d\0\0", 3, "a compressed image (lzma)" UNPACK " (unlzma)"},
	{0, "\x89LZO", 4, "a compressed image (lzop)" UNPACK " (lzop -d)"},
	{0, "\x27\x05\x19\x56", 4, "a U-Boot image" UNPACK " (dumpimage)"},
	{0, "07070", 5, "a cpio archive: this is an initrd, not a kernel"},
	{0, "QFI\xfb", 4, "a disk image (qcow2), not a kernel"},
	{0, "!<arch>", 7, "an archive or a Debian package, not the kernel in it"},
	{0, "\xed\xab\xee\xdb", 4, "an RPM package, not the kernel in it"},
	{0, "#!", 2, "a script, not a kernel"},
};

int linux_refuse_file(const uint8_t *file, size_t size, struct error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
		size_t at = signatures[i].offset, length = signatures[i].length;

		if (size >= at + length && memcmp(file + at, signatures[i].magic, length) == 0)
			return error_set(error, ENOEXEC, "%s", signatures[i].what);
	}
	return error_set(error, ENOEXEC,
			 "not a Linux kernel: a bzImage (as /boot/vmlinuz is) or an uncompressed "
			 "vmlinux is wanted");
}

/* SPDX-License-Identifier: MIT */
/*
 * Loading Linux: see linux.h.
 */
#include "vmm/boot/linux.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/boot/acpi.h"
#include "vmm/boot/bzimage.h"
#include "vmm/boot/image.h"
#include "vmm/boot/pvh.h"
#include "vmm/boot/reset_vector.h"

static int load_kernel(const char *path, const struct guest_ram *ram, struct linux_kernel *ret,
		       struct error *error)
{
	_cleanup_free_ uint8_t *file = NULL;
	size_t size = 0;
	int rc = image_read(path, LINUX_KERNEL_SIZE_MAX, &file, &size, error);

	assert(rc < 0 || file);
	if (rc == 0) {
		if (bzimage_is(file, size))
			rc = bzimage_load(file, size, ram, ret, error);
		else if (size >= SELFMAG && memcmp(file, ELFMAG, SELFMAG) == 0)
			rc = pvh_load(file, size, ram, ret, error);
		else
			rc = linux_refuse_file(file, size, error);
	}
	if (rc < 0)
		error_prefix(error, "kernel %s", path);
	return rc;
}

/* As high as the kernel reaches it in the RAM below 4 GiB, so that it is in nobody's way. */
static int place_initrd(const struct guest_ram *ram, const struct linux_kernel *kernel,
			struct linux_initrd *initrd, struct error *error)
{
	uint64_t top = min_u64(kernel->initrd_limit, ram->regions[0].size);

	if (initrd->size <= top) {
		initrd->gpa = round_down(top - initrd->size, PAGE_BYTES);
		if (initrd->gpa >= kernel->end)
			return 0;
	}
	return error_set(error, EFBIG,
			 "%llu MiB do not fit between the kernel, to %llu MiB, and %s, at %llu "
			 "MiB%s",
			 (unsigned long long)(round_up(initrd->size, MIB) / MIB),
			 (unsigned long long)(round_up(kernel->end, MIB) / MIB),
			 top < ram->regions[0].size ? "the highest address it can read one from"
						    : "the end of low RAM",
			 (unsigned long long)(top / MIB),
			 top < GPA_LOW_RAM_MAX && top == ram->regions[0].size ? ": give it more RAM"
									      : "");
}

static int load_initrd(const char *path, const struct guest_ram *ram,
		       const struct linux_kernel *kernel, struct linux_initrd *ret,
		       struct error *error)
{
	_cleanup_close_ int fd = -1;
	struct linux_initrd initrd = {0};
	int rc = image_open(path, LINUX_INITRD_SIZE_MAX, &fd, &initrd.size, error);

	if (rc == 0)
		rc = place_initrd(ram, kernel, &initrd, error);
	if (rc == 0) {
		uint8_t *at = guest_ram_at(ram, initrd.gpa, initrd.size);

		assert(at); /* place_initrd keeps to region 0 */
		rc = image_read_fd(fd, at, initrd.size, error);
	}
	if (rc < 0) {
		error_prefix(error, "initrd %s", path);
		return rc;
	}
	*ret = initrd;
	return 0;
}

static int write_cmdline(const char *cmdline, const struct guest_ram *ram,
			 const struct linux_kernel *kernel, struct error *error)
{
	uint64_t max = min_u64(kernel->cmdline_max, GPA_CMDLINE_END - GPA_CMDLINE - 1);
	size_t length = strlen(cmdline);
	char *at = guest_ram_at(ram, GPA_CMDLINE, length + 1);

	if (length > max)
		return error_set(error, E2BIG,
				 "kernel command line of %zu characters: this kernel takes %llu",
				 length, (unsigned long long)max);
	assert(at); /* below 1 MiB */
	memcpy(at, cmdline, length + 1);
	return 0;
}

int linux_load(const struct linux_boot *boot, const struct linux_platform *platform,
	       const struct guest_ram *ram, struct linux_entry *ret, struct error *error)
{
	struct linux_kernel kernel = {0};
	struct linux_initrd initrd = {0};
	int rc;

	if (ram->regions[0].size <= FORKVM_STUB_LOAD_GPA)
		return error_set(error, EFBIG,
				 "%llu KiB of RAM are too few for Linux: give it more",
				 (unsigned long long)(ram->size / KIB));
	rc = acpi_write_tables(ram, platform, error);
	if (rc == 0)
		rc = reset_vector_write(ram, error);
	if (rc == 0)
		rc = load_kernel(boot->kernel, ram, &kernel, error);
	if (rc == 0)
		rc = write_cmdline(boot->cmdline ? boot->cmdline : LINUX_DEFAULT_CMDLINE, ram,
				   &kernel, error);
	if (rc == 0 && boot->initrd)
		rc = load_initrd(boot->initrd, ram, &kernel, &initrd, error);
	if (rc == 0)
		rc = kernel.is_64bit ? bzimage_finish(ram, &initrd, error)
				     : pvh_finish(ram, &initrd, error);
	if (rc < 0)
		return rc;
	*ret = (struct linux_entry){
		.is_64bit = kernel.is_64bit,
		.entry = kernel.entry,
		.info = kernel.is_64bit ? GPA_BOOT_INFO : GPA_PVH_INFO,
		.end = kernel.end,
	};
	return 0;
}

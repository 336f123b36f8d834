/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/linux.c: files in, RAM out. */
#include "vmm/boot/linux.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/boot/kernels.h"
#include "vmm/boot/pvh.h"

#define RAM_SIZE (64 * MIB)

static const struct linux_platform platform = {.vcpus = 2, .virtio_slots = 1, .serial = true};

static struct guest_ram ram;
static struct kernels_bzimage bzimage;
static struct kernels_vmlinux vmlinux;
static char kernel[HELPER_PATH_SIZE], initrd[HELPER_PATH_SIZE];
static struct linux_entry entry;
static struct error error;

static void write_kernel(const void *bytes, size_t size)
{
	if (kernel[0])
		unlink(kernel);
	helper_file(kernel, ".kernel", bytes, size);
}

static void set_up(void)
{
	ram = kernels_make_ram(RAM_SIZE);
	kernels_make_bzimage(&bzimage);
	kernels_make_vmlinux(&vmlinux);
	write_kernel(&bzimage, sizeof(bzimage));
	helper_file(initrd, ".initrd", "an initrd", 9);
}

static void tear_down(void)
{
	guest_ram_done(&ram);
	unlink(kernel);
	unlink(initrd);
}

TestSuite(linux_boot, .init = set_up, .fini = tear_down);

static int load(const struct linux_boot *boot)
{
	error = (struct error){0};
	return linux_load(boot, &platform, &ram, &entry, &error);
}

static void accept(const struct linux_boot *boot)
{
	cr_assert_eq(load(boot), 0, "%s", error.text);
}

static void refuse(const struct linux_boot *boot, int code, const char *part)
{
	size_t fds = helper_count_fds();

	entry = (struct linux_entry){.entry = 1};
	cr_assert_eq(load(boot), -code, "%s", error.text);
	cr_assert_eq(error.code, code);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_eq(entry.entry, 1);
	cr_assert_eq(linux_load(boot, &platform, &ram, &entry, NULL), -code);
	cr_assert_eq(helper_count_fds(), fds);
}

static void refuse_kernel(const void *bytes, size_t size, int code, const char *part)
{
	write_kernel(bytes, size);
	refuse(&(struct linux_boot){.kernel = kernel}, code, part);
	cr_assert_not_null(strstr(error.text, kernel), "%s", error.text);
}

static const struct boot_params *params(void)
{
	return guest_ram_at(&ram, GPA_BOOT_INFO, sizeof(struct boot_params));
}

Test(linux_boot, a_bzimage_alone)
{
	const char *cmdline = guest_ram_at(&ram, GPA_CMDLINE, 1);

	accept(&(struct linux_boot){.kernel = kernel});
	cr_assert(entry.is_64bit);
	cr_assert_eq(entry.entry, KERNELS_LOAD + 0x200);
	cr_assert_eq(entry.info, GPA_BOOT_INFO);
	cr_assert_eq(entry.end, KERNELS_LOAD + KERNELS_INIT_SIZE);
	cr_assert_str_eq(cmdline, LINUX_DEFAULT_CMDLINE);
	cr_assert_eq(params()->hdr.ramdisk_size, 0);
	cr_assert_eq(memcmp(guest_ram_at(&ram, GPA_ACPI, 8), "RSD PTR ", 8), 0);
}

Test(linux_boot, a_bzimage_with_everything)
{
	accept(&(struct linux_boot){.kernel = kernel, .initrd = initrd, .cmdline = "quiet"});
	cr_assert_str_eq((const char *)guest_ram_at(&ram, GPA_CMDLINE, 6), "quiet");
	cr_assert_eq(params()->hdr.ramdisk_size, 9);
	cr_assert_eq(params()->hdr.ramdisk_image, RAM_SIZE - PAGE_BYTES, "at the top");
	cr_assert_eq(memcmp(guest_ram_at(&ram, RAM_SIZE - PAGE_BYTES, 10), "an initrd\0", 10), 0);
}

Test(linux_boot, a_vmlinux_with_everything)
{
	const struct pvh_start_info *info = guest_ram_at(&ram, GPA_PVH_INFO, sizeof(*info));
	const struct pvh_module *module;

	write_kernel(&vmlinux, sizeof(vmlinux));
	accept(&(struct linux_boot){.kernel = kernel, .initrd = initrd, .cmdline = "quiet"});
	cr_assert_not(entry.is_64bit);
	cr_assert_eq(entry.entry, KERNELS_LOAD + 0x10);
	cr_assert_eq(entry.info, GPA_PVH_INFO);
	cr_assert_eq(info->magic, PVH_MAGIC);
	module = guest_ram_at(&ram, info->modules, sizeof(*module));
	cr_assert_eq(module->gpa, RAM_SIZE - PAGE_BYTES);
	cr_assert_eq(module->size, 9);
	cr_assert_str_eq((const char *)guest_ram_at(&ram, info->cmdline, 6), "quiet");
}

/* Below 4 GiB also when most of RAM is above; below what an older kernel reaches. */
Test(linux_boot, where_the_initrd_goes_in_much_ram)
{
	const struct linux_boot boot = {.kernel = kernel, .initrd = initrd};

	guest_ram_done(&ram);
	ram = kernels_make_ram(8 * GIB);
	accept(&boot);
	cr_assert_eq(params()->hdr.ramdisk_image, GPA_LOW_RAM_MAX - PAGE_BYTES);
	bzimage.header.xloadflags = XLF_KERNEL_64;
	write_kernel(&bzimage, sizeof(bzimage));
	accept(&boot);
	cr_assert_eq(params()->hdr.ramdisk_image, 0x80000000 - PAGE_BYTES);
}

Test(linux_boot, files_that_are_not_there)
{
	refuse(&(struct linux_boot){.kernel = "/nowhere/at/all"}, ENOENT, "kernel /nowhere/at/all");
	refuse(&(struct linux_boot){.kernel = kernel, .initrd = "/nowhere/at/all"}, ENOENT,
	       "initrd /nowhere/at/all");
	refuse(&(struct linux_boot){.kernel = "/dev/zero"}, EINVAL, "regular");
	refuse(&(struct linux_boot){.kernel = kernel, .initrd = "/tmp"}, EINVAL, "regular");
}

Test(linux_boot, kernels_that_are_none)
{
	refuse_kernel("", 0, ENODATA, "empty");
	refuse_kernel("x", 1, ENOEXEC, "not a Linux kernel");
	refuse_kernel("\x1f\x8b\x08", 3, ENOEXEC, "gzip");
	refuse_kernel("\x7f"
		      "ELF",
		      4, ENOEXEC, "truncated");
	refuse_kernel(&bzimage, sizeof(bzimage) - 1, EBADMSG, "truncated");
	refuse_kernel(&vmlinux, sizeof(vmlinux) - 1, ENOEXEC, "truncated");
	vmlinux.note.n_type = 0;
	refuse_kernel(&vmlinux, sizeof(vmlinux), ENOEXEC, "CONFIG_PVH");
	bzimage.header.version = 0x0200;
	refuse_kernel(&bzimage, sizeof(bzimage), EPROTONOSUPPORT, "too old");
}

Test(linux_boot, files_above_their_limits)
{
	cr_assert_eq(truncate(initrd, (off_t)LINUX_INITRD_SIZE_MAX + 1), 0);
	refuse(&(struct linux_boot){.kernel = kernel, .initrd = initrd}, EFBIG, "1024");
	cr_assert_eq(truncate(kernel, (off_t)LINUX_KERNEL_SIZE_MAX + 1), 0);
	refuse(&(struct linux_boot){.kernel = kernel}, EFBIG, "1024");
}

Test(linux_boot, an_empty_initrd)
{
	cr_assert_eq(truncate(initrd, 0), 0);
	refuse(&(struct linux_boot){.kernel = kernel, .initrd = initrd}, ENODATA, "empty");
}

Test(linux_boot, an_initrd_that_does_not_fit)
{
	const struct linux_boot boot = {.kernel = kernel, .initrd = initrd};
	uint64_t room = RAM_SIZE - KERNELS_LOAD - KERNELS_INIT_SIZE;

	cr_assert_eq(truncate(initrd, (off_t)room), 0);
	accept(&boot);
	cr_assert_eq(params()->hdr.ramdisk_image, KERNELS_LOAD + KERNELS_INIT_SIZE);
	cr_assert_eq(truncate(initrd, (off_t)room + 1), 0);
	refuse(&boot, EFBIG, "47 MiB do not fit");
	cr_assert_not_null(strstr(error.text, "give it more"), "%s", error.text);
	cr_assert_eq(truncate(initrd, RAM_SIZE + 1), 0);
	refuse(&boot, EFBIG, "do not fit");
	/* More RAM does not help a kernel that cannot reach it. */
	cr_assert_eq(truncate(initrd, 9), 0);
	bzimage.header.xloadflags = XLF_KERNEL_64;
	bzimage.header.initrd_addr_max = 0xffffff;
	write_kernel(&bzimage, sizeof(bzimage));
	refuse(&boot, EFBIG, "the highest address it can read one from");
	cr_assert_null(strstr(error.text, "give it more"), "%s", error.text);
}

Test(linux_boot, command_lines_have_a_limit)
{
	char cmdline[2049];

	memset(cmdline, 'a', sizeof(cmdline));
	cmdline[2047] = '\0';
	accept(&(struct linux_boot){.kernel = kernel, .cmdline = cmdline});
	cmdline[2047] = 'a';
	cmdline[2048] = '\0';
	refuse(&(struct linux_boot){.kernel = kernel, .cmdline = cmdline}, E2BIG, "takes 2047");
	write_kernel(&vmlinux, sizeof(vmlinux));
	refuse(&(struct linux_boot){.kernel = kernel, .cmdline = cmdline}, E2BIG, "takes 2047");
}

/* A kernel may take more than there is room for. */
Test(linux_boot, command_lines_end_before_the_next_thing)
{
	size_t length = GPA_CMDLINE_END - GPA_CMDLINE;
	char *cmdline = malloc(length + 1);
	const char *at = guest_ram_at(&ram, GPA_CMDLINE_END - 1, 2);

	bzimage.header.cmdline_size = UINT32_MAX;
	write_kernel(&bzimage, sizeof(bzimage));
	memset(cmdline, 'a', length);
	cmdline[length] = '\0';
	refuse(&(struct linux_boot){.kernel = kernel, .cmdline = cmdline}, E2BIG, "65535");
	cmdline[length - 1] = '\0';
	accept(&(struct linux_boot){.kernel = kernel, .cmdline = cmdline});
	cr_assert_eq(at[0], '\0');
	cr_assert_eq(at[-1], 'a');
	free(cmdline);
}

Test(linux_boot, too_little_ram)
{
	guest_ram_done(&ram);
	ram = kernels_make_ram(MIB);
	refuse(&(struct linux_boot){.kernel = kernel}, EFBIG, "too few");
	guest_ram_done(&ram);
	ram = kernels_make_ram(MIB + PAGE_BYTES);
	refuse(&(struct linux_boot){.kernel = kernel}, EFBIG, "give it more");
}

Test(linux_boot, a_machine_that_cannot_be)
{
	const struct linux_boot boot = {.kernel = kernel};
	const struct linux_platform none = {.vcpus = 0};

	cr_assert_eq(linux_load(&boot, &none, &ram, &entry, &error), -EINVAL);
}

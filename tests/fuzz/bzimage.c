/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a kernel as bzimage_load takes it, into a small RAM; what is no bzImage, as
 * linux_refuse_file does.
 */
#include <sys/mman.h>

#include "guest-stubs/stub_abi.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/base/util.h"
#include "vmm/boot/bzimage.h"

#define RAM_SIZE (20 * MIB)

static struct guest_ram ram;

static void set_up(void)
{
	struct error error = {0};

	if (ram.host)
		return;
	FUZZ_CHECK(guest_ram_init(&ram, RAM_SIZE, NULL, &error) == 0);
	/* Nobody is to write but where a kernel may lie, and to what has a place of its own. */
	FUZZ_CHECK(mprotect(ram.host, GPA_BOOT_INFO, PROT_NONE) == 0);
	FUZZ_CHECK(mprotect(ram.host + GPA_CMDLINE, FORKVM_STUB_LOAD_GPA - GPA_CMDLINE,
			    PROT_NONE) == 0);
}

static void check_kernel(const struct linux_kernel *kernel)
{
	const struct linux_initrd initrd = {.gpa = RAM_SIZE - PAGE_BYTES, .size = 1};
	struct error error = {0};

	FUZZ_CHECK(kernel->is_64bit);
	FUZZ_CHECK(kernel->entry >= FORKVM_STUB_LOAD_GPA && kernel->entry < kernel->end);
	FUZZ_CHECK(kernel->end <= RAM_SIZE);
	FUZZ_CHECK(kernel->initrd_limit > 0 && kernel->cmdline_max > 0);
	FUZZ_CHECK(bzimage_finish(&ram, &initrd, &error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct linux_kernel kernel = {.entry = 1};
	struct error error = {0};
	int rc;

	set_up();
	if (!bzimage_is(data, size)) {
		FUZZ_CHECK(linux_refuse_file(data, size, &error) < 0);
		FUZZ_CHECK(error.text[0] != '\0');
		return 0;
	}
	rc = bzimage_load(data, size, &ram, &kernel, &error);
	if (rc == 0) {
		FUZZ_CHECK(error.code == 0);
		check_kernel(&kernel);
	} else {
		FUZZ_CHECK(rc == -error.code);
		FUZZ_CHECK(error.text[0] != '\0');
		FUZZ_CHECK(kernel.entry == 1);
	}
	FUZZ_CHECK(bzimage_load(data, size, &ram, &kernel, NULL) == rc);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a kernel as pvh_load takes it, into a small RAM.
 */
#include <sys/mman.h>

#include "guest-stubs/stub_abi.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/base/util.h"
#include "vmm/boot/pvh.h"

#define RAM_SIZE (4 * MIB)

static struct guest_ram ram;

static void set_up(void)
{
	struct error error = {0};

	if (ram.host)
		return;
	FUZZ_CHECK(guest_ram_init(&ram, RAM_SIZE, NULL, &error) == 0);
	/* A write next to the RAM, or to what is not the kernel's, must not go unnoticed. */
	FUZZ_CHECK(mprotect(ram.host, GPA_PVH_INFO, PROT_NONE) == 0);
	FUZZ_CHECK(mprotect(ram.host + GPA_BOOT_GDT, FORKVM_STUB_LOAD_GPA - GPA_BOOT_GDT,
			    PROT_NONE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct linux_initrd initrd = {.gpa = RAM_SIZE - PAGE_BYTES, .size = 1};
	struct linux_kernel kernel = {.entry = 1};
	struct error error = {0};
	int rc;

	set_up();
	rc = pvh_load(data, size, &ram, &kernel, &error);
	if (rc == 0) {
		FUZZ_CHECK(error.code == 0);
		FUZZ_CHECK(!kernel.is_64bit);
		FUZZ_CHECK(kernel.entry < RAM_SIZE);
		FUZZ_CHECK(kernel.end > FORKVM_STUB_LOAD_GPA && kernel.end <= RAM_SIZE);
		FUZZ_CHECK(pvh_finish(&ram, &initrd, &error) == 0);
	} else {
		FUZZ_CHECK(rc == -error.code);
		FUZZ_CHECK(error.text[0] != '\0');
		FUZZ_CHECK(kernel.entry == 1);
	}
	FUZZ_CHECK(pvh_load(data, size, &ram, &kernel, NULL) == rc);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a guest image as elf_load and flat_load take it, into a small RAM.
 */
#include <sys/mman.h>

#include "guest-stubs/stub_abi.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/base/util.h"
#include "vmm/boot/image.h"

#define RAM_SIZE (4 * MIB)

static struct guest_ram ram;

static void set_up(void)
{
	struct error error = {0};

	if (ram.host)
		return;
	FUZZ_CHECK(guest_ram_init(&ram, RAM_SIZE, NULL, &error) == 0);
	/* A write next to the RAM must not go unnoticed. */
	FUZZ_CHECK(mprotect(ram.host, FORKVM_STUB_LOAD_GPA, PROT_NONE) == 0);
}

/* What a loaded image promises to whoever boots it. */
static void check_image(const struct image *image, const struct error *error)
{
	FUZZ_CHECK(image->entry < RAM_SIZE);
	FUZZ_CHECK(image->end > FORKVM_STUB_LOAD_GPA && image->end <= RAM_SIZE);
	FUZZ_CHECK(error->code == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct image untouched = {.entry = 1, .end = 2, .needs = 3};
	struct image image = untouched;
	struct error error = {0};
	int rc;

	set_up();
	rc = elf_load(data, size, &ram, &image, &error);
	if (rc == 0) {
		check_image(&image, &error);
	} else {
		FUZZ_CHECK(rc == -error.code);
		FUZZ_CHECK(error.text[0] != '\0');
		FUZZ_CHECK(image.entry == untouched.entry && image.end == untouched.end &&
			   image.needs == untouched.needs);
	}
	/* The same without a place for words. */
	FUZZ_CHECK(elf_load(data, size, &ram, &image, NULL) == rc);

	error = (struct error){0};
	if (size && flat_load(data, size, &ram, &image, &error) == 0)
		check_image(&image, &error);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_disks.c: what a clone is given for its disks. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/machine/disks.h"

TestSuite(given, .init = disks_set_up, .fini = disks_tear_down);

Test(given, an_empty_slot_is_given_an_image)
{
	struct machine *machine = disks_four();
	struct disk_config config = {.image_fd = disks_file(5 * MIB), .mode = DISK_WRITE_THROUGH};
	int keep = dup(config.image_fd);
	const struct disks_given given = {.index = 2, .config = &config};
	static const char *const write[] = {
		"op=info disk=2",
		"op=fill disk=2 block=100 count=20 seed=3",
		"op=verify disk=2 block=100 count=20 seed=3",
		"op=reset disk=2",
		"op=verify disk=2 block=1279 expect=zero",
		NULL,
	};
	static const char *const read[] = {
		"op=verify disk=2 block=100 count=20 seed=3",
		NULL,
	};
	uint64_t word = 0;

	disks_session(machine, &given, write);
	cr_assert_eq(pread(keep, &word, sizeof(word), 100 * 4096), sizeof(word));
	cr_assert_eq(word, DISKS_MAGIC);
	/* Another clone gets it read-only; a third has an empty slot as ever. */
	config.image_fd = keep;
	config.mode = DISK_READ_ONLY;
	disks_session(machine, &given, read);
	disks_expect(machine, "op=info disk=2", "sectors=0 block=512");
	close(keep);
	machine_free(machine);
}

/* The driver hears of the new size. */
Test(given, a_new_size_is_told)
{
	struct machine *machine = disks_four();
	struct disk_config config = {.image_fd = disks_memory(5 * MIB),
				     .overlay = DISK_OVERLAY_IN_MEMORY};
	struct error error = {0};

	cr_assert_eq(machine_insert_disk(machine, 2, &config, &error), 0, "%s", error.text);
	disks_clone->request = "op=info disk=2";
	disks_clone->request_len = strlen(disks_clone->request);
	life_run_here(machine, 1, disks_clone);
	disks_clone->answer[disks_clone->answer_len] = '\0';
	cr_assert_not_null(strstr((char *)disks_clone->answer, "sectors=10240 "), "%s",
			   disks_clone->answer);
	cr_assert_not_null(strstr((char *)disks_clone->answer, " changed=1 "), "%s",
			   disks_clone->answer);
	machine_free(machine);
}

/* ---- What a clone may not be given ---- */

struct refusal {
	struct machine *machine;
	unsigned int index;
	bool insert;
	const char *text;
};

static int refused(void *context)
{
	const struct refusal *refusal = context;
	const struct disk_overlay overlay = {.data_fd = disks_memory(0)};
	const struct disk_config config = {.image_fd = overlay.data_fd, .mode = DISK_READ_ONLY};
	struct error error = {0};
	int rc = refusal->insert
			 ? machine_insert_disk(refusal->machine, refusal->index, &config, &error)
			 : machine_clone_disk(refusal->machine, refusal->index, &overlay, &error);

	if (rc == -EINVAL && strcmp(error.text, refusal->text) == 0 &&
	    fcntl(overlay.data_fd, F_GETFD) < 0)
		return 0;
	fprintf(stderr, "%d %s\n", rc, error.text);
	return 1;
}

Test(given, what_a_slot_cannot_take)
{
	struct machine *machine = disks_four();
	const struct refusal refusals[] = {
		{machine, 4, false, "disk 4: the machine has 4"},
		{machine, UINT32_MAX, true, "disk 4294967295: the machine has 4"},
		{machine, 1, false, "disk 1 is read-only: it has no overlay"},
		{machine, 2, false, "disk 2: an empty slot has no overlay"},
		{machine, 0, true, "disk 0: the template has one there"},
		{machine, 2, true, "disk 2: disk: the image is empty"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		struct refusal refusal = refusals[i];

		cr_assert_eq(helper_in_child(refused, &refusal), 0, "refusal %zu", i);
	}
	machine_free(machine);
}

static int given_twice(void *context)
{
	const struct disk_overlay overlay = DISK_OVERLAY_IN_MEMORY;
	struct error error = {0};

	return machine_clone_disk(context, 0, &overlay, &error) != 0 ||
	       machine_clone_disk(context, 0, &overlay, &error) != -EINVAL ||
	       strcmp(error.text, "disk 0 was given something already") != 0;
}

Test(given, given_twice)
{
	struct machine_config config = disks_config(1, disks_memory(DISKS_SIZE));
	struct machine *machine = life_template(disks_host, &config, STUB("blk"), NULL);

	cr_assert_eq(helper_in_child(given_twice, machine), 0);
	machine_free(machine);
}

Test(given, given_before_the_freeze)
{
	struct machine_config config = disks_config(1, disks_memory(DISKS_SIZE));
	struct machine *machine = life_load(disks_host, &config, STUB("blk"), NULL);
	const struct disk_overlay overlay = {.data_fd = disks_memory(0)};
	struct error error = {0};

	cr_assert_eq(machine_clone_disk(machine, 0, &overlay, &error), -EINVAL);
	cr_assert_str_eq(error.text, "only a frozen machine's disks can be given something");
	cr_assert_eq(fcntl(overlay.data_fd, F_GETFD), -1);
	machine_free(machine);
}

/* ---- An overlay of the owner's ---- */

Test(given, an_overlay_in_a_file)
{
	struct machine_config config = disks_config(2, disks_file(DISKS_SIZE));
	struct machine *machine = life_template(disks_host, &config, STUB("blk"), "fill=1");
	const struct disk_overlay overlay = {.data_fd = disks_file(0)};
	int keep = dup(overlay.data_fd);
	const struct disks_given given = {.index = 0, .overlay = &overlay};
	static const char *const requests[] = {"op=fill block=512 count=16 seed=8", NULL};
	uint64_t words[2];

	disks_session(machine, &given, requests);
	cr_assert_eq(pread(keep, words, sizeof(words), 512 * 4096), sizeof(words));
	cr_assert_eq(words[0], DISKS_MAGIC);
	cr_assert_eq(words[1], 512 * 8);
	/* The template's writes are not in it. */
	cr_assert_eq(lseek(keep, 0, SEEK_DATA), 512 * 4096);
	close(keep);
	close(overlay.data_fd);
	machine_free(machine);
}

Test(given, a_limit)
{
	struct machine_config config = disks_config(1, disks_memory(DISKS_SIZE));
	struct machine *machine = life_template(disks_host, &config, STUB("blk"), NULL);
	const struct disk_overlay overlay = {.data_fd = -1, .limit = 256 * KIB};
	const struct disks_given given = {.index = 0, .overlay = &overlay};
	static const char *const requests[] = {"op=fill count=64 depth=4",
					       "op=fill count=64 depth=4 seed=2",
					       "op=verify count=64 seed=2",
					       "op=fill block=100 count=1 status=1",
					       "op=fill block=200 count=10 status=1",
					       NULL};
	struct disks_plan plan = {
		.machine = machine,
		.given = &given,
		.requests = requests,
		.complaints =
			"device virtio-blk, disk 0: the overlay's limit of 256 KiB is reached: the "
			"guest's writes to new blocks fail; give it a higher limit\n",
	};

	cr_assert_eq(helper_in_child(disks_run, &plan), 0);
	machine_free(machine);
}

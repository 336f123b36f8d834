/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_disks.c: disks of stubs, through template and clones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/machine/disks.h"

TestSuite(disks, .init = disks_set_up, .fini = disks_tear_down);

/* ---- Layers ---- */

/* The template's writes are in each clone; a clone's are its own; the image stays as it is. */
static void layers(unsigned int vcpus, int fd)
{
	int keep = dup(fd);
	struct machine_config config = disks_config(vcpus, fd);
	struct machine *machine =
		life_template(disks_host, &config, STUB("blk"), "fill=4 seed=9 pending=20");
	static const char *const requests[] = {
		"op=fill seed=5 block=1000 count=100 depth=16",
		"op=verify seed=9 count=1000 depth=32",
		"op=verify seed=5 block=1000 count=100 depth=32",
		"op=discard block=1000 count=10 ranges=3",
		"op=zero block=1010 count=10 size=512",
		"op=log block=2000 count=60 n=1000 depth=20 flush=50 quiet=1",
		"op=check block=2000 count=60 last=1000 depth=20",
		"op=loop kind=randmix n=3000 depth=64 block=3000 count=500",
		"op=flush",
		"op=wce value=0",
		"op=fill block=2500 count=4 size=4096 layout=merged",
		"op=verify block=2500 count=4 size=4096 layout=merged misalign=77",
		"op=verify block=2500 count=4 size=4096 layout=bytes indirect=0 segments=5",
		NULL,
	};

	disks_expect(machine, "op=info", "sectors=32768 block=512 physical=4096");
	disks_session(machine, NULL, requests);
	/* Another clone sees nothing of it, and what the template had not waited for is there. */
	disks_expect_ok(machine, "op=verify seed=9 count=84 size=65536 depth=8");
	disks_expect_ok(machine, "op=verify expect=zero block=1344 count=2752 depth=128");
	cr_assert_eq(lseek(keep, 0, SEEK_DATA), -1, "the image was written");
	close(keep);
	machine_free(machine);
}

Test(disks, layers_in_memory_with_one_vcpu)
{
	layers(1, disks_memory(DISKS_SIZE));
}

Test(disks, layers_in_memory_with_two_vcpus)
{
	layers(2, disks_memory(DISKS_SIZE));
}

Test(disks, layers_in_a_file_with_one_vcpu)
{
	layers(1, disks_file(DISKS_SIZE));
}

Test(disks, layers_in_a_file_with_two_vcpus)
{
	layers(2, disks_file(DISKS_SIZE));
}

/* Each misuse that the stub lists, in one session: the device gets over all of them. */
static void misuses(unsigned int vcpus, int fd)
{
	struct machine_config config = disks_config(vcpus, fd);
	struct machine *machine = life_template(disks_host, &config, STUB("blk"), "populate=16");
	char list[FORKVM_MAX_RESPONSE + 1], *line, *rest = list;
	unsigned int count = 0;

	snprintf(list, sizeof(list), "%s", disks_ask(machine, "op=list"));
	while ((line = strsep(&rest, "\n")) != NULL) {
		char request[64];

		*strchrnul(line, ':') = '\0';
		if (!*line)
			continue;
		snprintf(request, sizeof(request), "op=%s", line);
		disks_expect_ok(machine, request);
		count++;
	}
	cr_assert_gt(count, 30);
	machine_free(machine);
}

Test(disks, misuses_with_one_vcpu)
{
	misuses(1, disks_memory(DISKS_SIZE));
}

Test(disks, misuses_with_two_vcpus)
{
	misuses(2, disks_file(DISKS_SIZE));
}

Test(disks, four_of_all_kinds)
{
	struct machine *machine = disks_four();

	disks_expect(machine, "op=info disk=0",
		     "sectors=32768 block=512 physical=4096 segments=224");
	disks_expect(machine, "op=info disk=1", "sectors=4096 ");
	disks_expect(machine, "op=info disk=1", "ro=1 discard=0 zeroes=0 changed=0");
	disks_expect(machine, "op=info disk=2", "sectors=0 ");
	disks_expect(machine, "op=info disk=3", "sectors=6144 ");
	disks_expect(machine, "op=id disk=3", "id=forkvm-disk3\n");
	disks_expect(machine, "op=fill disk=1", "reason=status sector=0 status=1");
	disks_expect(machine, "op=peek disk=2", "reason=status sector=0 status=1");
	disks_expect_ok(machine, "op=fill disk=3 count=768 depth=8");
	cr_assert_eq(disk_size(machine_get_disk(machine, 3)), 3 * MIB);
	cr_assert_null(machine_get_disk(machine, 4));
	machine_free(machine);
}

/* ---- Threads ---- */

static unsigned int threads_of(unsigned int vcpus, bool rng, bool disk)
{
	struct machine_config config = disks_config(vcpus, disks_memory(DISKS_SIZE));
	struct machine *machine;
	unsigned int threads;

	config.rng = rng;
	if (!disk) {
		close(config.disks[0].image_fd);
		config.disk_count = 0;
	}
	machine = life_template(disks_host, &config, disk ? STUB("blk") : STUB("hello"), NULL);
	threads = machine_extra_threads(machine);
	machine_free(machine);
	return threads;
}

Test(disks, a_single_vcpu_needs_no_thread_for_devices)
{
	cr_assert_eq(threads_of(1, false, false), 0);
	cr_assert_eq(threads_of(1, true, true), 0);
	cr_assert_eq(threads_of(2, false, false), 1);
	cr_assert_eq(threads_of(2, false, true), 2);
}

/* ---- Errors of machine_new ---- */

static void refuse(struct machine_config *config, int code, const char *text)
{
	struct machine *machine = NULL;
	struct error error = {0};
	size_t fds = helper_count_fds();

	for (unsigned int i = 0; i < config->disk_count && i < MACHINE_DISKS_MAX; i++)
		if (config->disks[i].image_fd == 0)
			config->disks[i] =
				(struct disk_config){.image_fd = disks_memory(MIB),
						     .overlay = {.data_fd = disks_memory(0)}};
	cr_assert_eq(machine_new(disks_host, config, &machine, &error), -code);
	cr_assert_str_eq(error.text, text);
	cr_assert_null(machine);
	cr_assert_leq(helper_count_fds(), fds);
}

Test(disks, too_many)
{
	struct machine_config config = {.ram_size = 64 * MIB, .vcpus = 1, .disk_count = 5};

	refuse(&config, EINVAL, "5 disks: at most 4 are possible");
}

Test(disks, refused_with_the_machine)
{
	struct machine_config config = {.ram_size = 1, .vcpus = 1, .disk_count = 3};

	refuse(&config, EINVAL, "RAM of 1 bytes: it must be a multiple of 4 KiB");
}

Test(disks, a_bad_image_among_good_ones)
{
	struct machine_config config = {.ram_size = 64 * MIB, .vcpus = 1, .disk_count = 4};

	config.disks[2] = (struct disk_config){.image_fd = disks_memory(1000),
					       .overlay = {.data_fd = disks_memory(0)}};
	refuse(&config, EINVAL,
	       "disk 2: disk: the image has 1000 bytes: not a multiple of 512, as a raw image's "
	       "size is");
}

/* A disk that is written through cannot be in a template. */
Test(disks, written_through_at_the_freeze)
{
	struct machine_config config = disks_config(1, disks_memory(DISKS_SIZE));
	struct machine *machine;
	struct error error = {0};

	config.disks[0].mode = DISK_WRITE_THROUGH;
	machine = life_load(disks_host, &config, STUB("blk"), NULL);
	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(machine_freeze(machine, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "disk 0: disk: written through"), "%s", error.text);
	machine_free(machine);
}

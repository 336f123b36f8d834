/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_disks.c: disks of stubs, through template and clones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"

#define IMAGE_SIZE (16 * MIB)

static struct kvm_host *host;
static struct clone *clone;

static void set_up(void)
{
	host = require_kvm();
	clone = life_clone_new();
}

static void tear_down(void)
{
	life_clone_free(clone);
	kvm_host_close(host);
}

TestSuite(disks, .init = set_up, .fini = tear_down);

static int image(uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static struct disk_config disk_of(int image_fd, enum disk_mode mode)
{
	return (struct disk_config){.image_fd = image_fd, .mode = mode, .overlay = {.data_fd = -1}};
}

static struct machine_config config_of(unsigned int vcpus, int image_fd)
{
	return (struct machine_config){
		.ram_size = 64 * MIB,
		.vcpus = vcpus,
		.disks = {disk_of(image_fd, DISK_OVERLAY)},
		.disk_count = 1,
	};
}

/* A clone's answer to one request. */
static const char *ask(struct machine *machine, const char *request)
{
	life_ask(machine, 1, request, strlen(request), clone);
	clone->answer[clone->answer_len] = '\0';
	return (const char *)clone->answer;
}

static void expect_ok(struct machine *machine, const char *request)
{
	const char *answer = ask(machine, request);

	cr_assert_eq(strncmp(answer, "ok ", 3), 0, "%s: %s", request, answer);
}

static void expect(struct machine *machine, const char *request, const char *wanted)
{
	const char *answer = ask(machine, request);

	cr_assert_neq(strstr(answer, wanted), NULL, "%s: %s, not %s", request, answer, wanted);
}

/* The template's writes are in each clone; a clone's are its own; the image stays as it is. */
static void layers(unsigned int vcpus)
{
	int fd = image(IMAGE_SIZE);
	int keep = dup(fd);
	struct machine_config config = config_of(vcpus, fd);
	struct machine *machine = life_template(host, &config, STUB("blk"), "fill=4 seed=9");
	struct stat st;

	expect(machine, "op=info", "sectors=32768 block=512 physical=4096");
	expect_ok(machine, "op=verify seed=9 count=1024 depth=8");
	expect_ok(machine, "op=verify expect=zero block=1024 count=3072 size=4096 depth=128");
	expect_ok(machine, "op=fill seed=5 block=1000 count=100 depth=16");
	/* Another clone sees nothing of it. */
	expect_ok(machine, "op=verify seed=9 count=1024 depth=8");
	expect_ok(machine, "op=verify expect=zero block=1024 count=100");
	cr_assert_eq(fstat(keep, &st), 0);
	cr_assert_eq(st.st_blocks, 0, "the image was written");
	close(keep);
	machine_free(machine);
}

Test(disks, layers_with_one_vcpu)
{
	layers(1);
}

Test(disks, layers_with_two_vcpus)
{
	layers(2);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/ring.c, and of disks on hosts that refuse io_uring. */
#include "vmm/block/ring.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"

#define SIZE (256 * KIB)

static struct ring open_ring(uint32_t entries)
{
	struct ring ring;
	int rc = ring_open(&ring, entries);

	require(!ring_is_refused(rc), "io_uring is refused");
	cr_assert_eq(rc, 0, "%s", strerror(-rc));
	rc = ring_map(&ring);
	cr_assert_eq(rc, 0, "%s", strerror(-rc));
	return ring;
}

Test(ring, submissions_and_completions)
{
	struct ring ring = open_ring(4);
	int fd = fixture_image(true, 1, 8192);
	uint8_t memory[8] = {0}, wanted[8];

	cr_assert_null(ring_peek(&ring));
	for (uint64_t i = 0; i < 5; i++) {
		struct io_uring_sqe *sqe = ring_get_sqe(&ring);

		cr_assert_eq(sqe != NULL, i < 4);
		if (!sqe)
			break;
		sqe->opcode = IORING_OP_READ;
		sqe->fd = fd;
		sqe->addr = (uintptr_t)&memory[i];
		sqe->len = 1;
		sqe->off = i;
		sqe->user_data = i;
	}
	cr_assert_eq(ring_unsubmitted(&ring), 4);
	cr_assert_eq(ring_take_back(&ring), 3);
	cr_assert_eq(ring_enter(&ring, 3), 3);
	cr_assert_eq(ring_unsubmitted(&ring), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(ring_peek(&ring)->res, 1);
		ring_seen(&ring);
	}
	cr_assert_null(ring_peek(&ring));
	fixture_fill(1, wanted, 8);
	cr_assert_eq(memcmp(memory, wanted, 3), 0);
	cr_assert_eq(memory[3], 0);
	close(fd);
	ring_close(&ring);
	ring_close(&ring);
}

static int map_without_memory(void *context)
{
	fixture_refuse(SYS_mmap, ENOMEM);
	return ring_map(context) == -ENOMEM ? 0 : 1;
}

Test(ring, is_mapped_when_it_is_used)
{
	struct ring ring;
	int rc = ring_open(&ring, 4);

	require(!ring_is_refused(rc), "io_uring is refused");
	cr_assert_eq(rc, 0);
	cr_assert_null(ring.rings);
	cr_assert_eq(helper_in_child(map_without_memory, &ring), 0);
	cr_assert_eq(ring_map(&ring), 0);
	cr_assert_not_null(ring.rings);
	ring_close(&ring);
	cr_assert_null(ring.rings);
}

static int result_of(struct ring *ring, uint8_t opcode, uint8_t flags)
{
	struct io_uring_sqe *sqe = ring_get_sqe(ring);
	int result;

	sqe->opcode = opcode;
	sqe->flags = flags;
	sqe->fd = -1;
	cr_assert_eq(ring_enter(ring, 1), 1);
	result = ring_peek(ring)->res;
	ring_seen(ring);
	return result;
}

Test(ring, can_do_nothing_but_what_a_disk_does)
{
	struct ring ring = open_ring(4);

	cr_assert_eq(result_of(&ring, IORING_OP_READ, 0), -EBADF);
	cr_assert_eq(result_of(&ring, IORING_OP_FSYNC, 0), -EBADF);
	cr_assert_eq(result_of(&ring, IORING_OP_OPENAT, 0), -EACCES);
	cr_assert_eq(result_of(&ring, IORING_OP_NOP, 0), -EACCES);
	cr_assert_eq(result_of(&ring, IORING_OP_CONNECT, 0), -EACCES);
	cr_assert_eq(result_of(&ring, IORING_OP_READ, IOSQE_IO_LINK), -EACCES);
	cr_assert_eq(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_PERSONALITY, NULL, 0),
		     -1);
	cr_assert_eq(errno, EACCES);
	cr_assert_eq(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0),
		     -1);
	ring_close(&ring);
}

struct refusal {
	int call, error;
	struct disk *disk;
	uint8_t *model;
};

static int work_without_a_ring(void *context)
{
	const struct refusal *refusal = context;

	fixture_refuse(refusal->call, refusal->error);
	fixture_start(refusal->disk);
	if (disk_event_fd(refusal->disk) >= 0)
		return 1;
	memset(refusal->model + 512, 1, 8192);
	if (fixture_io(refusal->disk, DISK_WRITE, 512, 8192, refusal->model + 512) != 0)
		return 2;
	fixture_check(refusal->disk, refusal->model);
	return 0;
}

Test(ring, refused_by_the_host)
{
	const int errors[] = {ENOSYS, EPERM, ENOMEM, EACCES, EINVAL};
	const int calls[] = {SYS_io_uring_setup, SYS_io_uring_register};

	for (size_t i = 0; i < ARRAY_SIZE(errors) * ARRAY_SIZE(calls); i++) {
		struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
		struct refusal refusal = {.call = calls[i % 2], .error = errors[i / 2]};

		refusal.disk = fixture_open(&config);
		refusal.model = malloc(SIZE);
		fixture_fill(1, refusal.model, SIZE);
		cr_assert_eq(helper_in_child(work_without_a_ring, &refusal), 0, "errno %d",
			     refusal.error);
		disk_free(refusal.disk);
		free(refusal.model);
	}
}

/* The ring is there, but the kernel takes nothing any more. */
static int work_with_a_ring_that_fails(void *context)
{
	const struct refusal *refusal = context;

	fixture_start(refusal->disk);
	if (disk_event_fd(refusal->disk) < 0)
		return 1;
	fixture_refuse(SYS_io_uring_enter, refusal->error);
	memset(refusal->model + 512, 1, 8192);
	if (fixture_io(refusal->disk, DISK_WRITE, 512, 8192, refusal->model + 512) != 0)
		return 2;
	if (fixture_io(refusal->disk, DISK_FLUSH, 0, 0, NULL) != 0)
		return 3;
	if (fixture_io(refusal->disk, DISK_WRITE_ZEROES, 3 * 4096, 8192, NULL) != 0)
		return 4;
	memset(refusal->model + 3ul * 4096, 0, 8192);
	fixture_check(refusal->disk, refusal->model);
	return disk_get_stats(refusal->disk)->submitted == 0 ? 0 : 5;
}

Test(ring, that_stops_working)
{
	const int errors[] = {EAGAIN, EBUSY, ENOMEM};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
		struct refusal refusal = {.error = errors[i], .model = malloc(SIZE)};

		config.overlay.data_fd = fixture_file(false);
		config.durable = true;
		refusal.disk = fixture_open(&config);
		fixture_fill(1, refusal.model, SIZE);
		cr_assert_eq(helper_in_child(work_with_a_ring_that_fails, &refusal), 0, "errno %d",
			     refusal.error);
		disk_free(refusal.disk);
		free(refusal.model);
	}
}

/* Writes to files of most kinds need a thread of the kernel's, which counts as one of ours. */
static int work_without_threads(void *context)
{
	const struct rlimit none = {0, 0};
	const struct refusal *refusal = context;

	fixture_start(refusal->disk);
	if (setrlimit(RLIMIT_NPROC, &none) < 0 || setresuid(65534, 65534, 65534) < 0)
		return 1;
	memset(refusal->model + 512, 1, 65536);
	if (fixture_io(refusal->disk, DISK_WRITE, 512, 65536, refusal->model + 512) != 0)
		return 2;
	if (fixture_io(refusal->disk, DISK_FLUSH, 0, 0, NULL) != 0)
		return 3;
	fixture_check(refusal->disk, refusal->model);
	return 0;
}

Test(ring, without_threads_of_its_own)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct refusal refusal = {.model = malloc(SIZE)};

	require(geteuid() == 0, "only root can become somebody else");
	config.overlay.data_fd = fixture_file(false);
	config.durable = true;
	config.direct = DISK_DIRECT_OFF;
	refusal.disk = fixture_open(&config);
	fixture_fill(1, refusal.model, SIZE);
	cr_assert_eq(helper_in_child(work_without_threads, &refusal), 0);
	disk_free(refusal.disk);
	free(refusal.model);
}

Test(ring, only_for_files_that_make_us_wait)
{
	struct disk_config config = fixture_config(fixture_image(true, 1, SIZE));
	struct disk *disk = fixture_open(&config);

	fixture_start(disk);
	cr_assert_eq(disk_event_fd(disk), -1);
	disk_free(disk);
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.force_sync = true;
	disk = fixture_open(&config);
	fixture_start(disk);
	cr_assert_eq(disk_event_fd(disk), -1);
	disk_free(disk);
}

/* ---- A ring that is made late ---- */

struct late {
	struct disk *disk;
	uint8_t *model;
};

static struct late open_late(void)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct late late = {.disk = fixture_open(&config), .model = malloc(SIZE)};

	fixture_fill(1, late.model, SIZE);
	disk_start_late(late.disk);
	return late;
}

static void close_late(struct late *late)
{
	disk_free(late->disk);
	free(late->model);
}

/* A pass of so many reads of 4 KiB. Returns 0 if all are as the model says. */
static int read_blocks(struct late *late, uint32_t count)
{
	struct disk_request requests[8] = {0};
	struct iovec iov[8];
	uint8_t memory[8][4096];
	int wrong = 0;

	disk_expect(late->disk, count);
	for (uint32_t i = 0; i < count; i++) {
		iov[i] = (struct iovec){memory[i], sizeof(memory[i])};
		requests[i] = (struct disk_request){.op = DISK_READ,
						    .offset = 4096ull * i,
						    .length = 4096,
						    .iov = &iov[i],
						    .iov_count = 1};
		disk_submit(late->disk, &requests[i]);
	}
	disk_kick_wait(late->disk);
	while (disk_reap(late->disk))
		;
	for (uint32_t i = 0; i < count; i++)
		wrong += requests[i].result < 0 ||
			 memcmp(memory[i], late->model + 4096ull * i, 4096) != 0;
	return wrong;
}

Test(ring, late_it_comes_with_the_first_pass_of_several)
{
	struct late late = open_late();
	struct ring ring;
	int rc = ring_open(&ring, 4);

	require(!ring_is_refused(rc), "io_uring is refused");
	ring_close(&ring);
	cr_assert_eq(disk_event_fd(late.disk), -1);
	cr_assert_eq(read_blocks(&late, 1), 0);
	cr_assert_eq(read_blocks(&late, 1), 0);
	cr_assert_eq(disk_event_fd(late.disk), -1);
	cr_assert_eq(disk_get_stats(late.disk)->sync, 2);
	cr_assert_eq(read_blocks(&late, 8), 0);
	cr_assert_geq(disk_event_fd(late.disk), 0);
	cr_assert_eq(disk_get_stats(late.disk)->submitted, 8);
	cr_assert_eq(disk_get_stats(late.disk)->enters, 1);
	disk_stop(late.disk);
	cr_assert_eq(disk_event_fd(late.disk), -1);
	fixture_start(late.disk);
	cr_assert_geq(disk_event_fd(late.disk), 0);
	close_late(&late);
}

Test(ring, late_only_for_files_that_make_us_wait)
{
	struct disk_config config = fixture_config(fixture_image(true, 1, SIZE));
	struct late late = {.disk = fixture_open(&config), .model = malloc(SIZE)};

	fixture_fill(1, late.model, SIZE);
	disk_start_late(late.disk);
	cr_assert_eq(read_blocks(&late, 8), 0);
	cr_assert_eq(disk_event_fd(late.disk), -1);
	close_late(&late);
}

static int refuse_late(struct late *late, int call, int error)
{
	fixture_refuse(call, error);
	if (read_blocks(late, 8) != 0 || read_blocks(late, 3) != 0)
		return 1;
	if (disk_event_fd(late->disk) >= 0 || disk_get_stats(late->disk)->enters > 0)
		return 2;
	memset(late->model + 512, 1, 8192);
	if (fixture_io(late->disk, DISK_WRITE, 512, 8192, late->model + 512) != 0)
		return 3;
	fixture_check(late->disk, late->model);
	return 0;
}

static int refuse_late_setup(void *context)
{
	return refuse_late(context, SYS_io_uring_setup, EPERM);
}

static int refuse_late_memory(void *context)
{
	struct late *late = context;

	if (read_blocks(late, 1) != 0)
		return 1;
	/* What is mapped from here on is the ring. */
	fixture_refuse(SYS_mmap, ENOMEM);
	if (read_blocks(late, 8) != 0)
		return 2;
	return disk_event_fd(late->disk) < 0 && disk_get_stats(late->disk)->enters == 0 ? 0 : 3;
}

static int refuse_late_register(void *context)
{
	return refuse_late(context, SYS_io_uring_register, EACCES);
}

Test(ring, late_refused_by_the_host)
{
	int (*const ways[])(void *context) = {refuse_late_setup, refuse_late_register,
					      refuse_late_memory};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct late late = open_late();

		cr_assert_eq(helper_in_child(ways[i], &late), 0, "way %zu", i);
		close_late(&late);
	}
}

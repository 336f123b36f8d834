/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/file.c. */
#include "vmm/block/file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"

/* Refused, with a text that has words in it; and the descriptor is closed. */
static void refuse(int fd, bool may_be_device, bool writable, int code, const char *words)
{
	struct error error = {0};
	struct block_file file;

	cr_assert_geq(fd, 0, "%s", strerror(errno));
	cr_assert_eq(block_file_open(&file, fd, "image", may_be_device, writable, false,
				     DISK_DIRECT_AUTO, &error),
		     -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	cr_assert_eq(file.fd, -1);
	cr_assert_eq(fcntl(fd, F_GETFD), -1);
}

Test(file, what_is_no_image)
{
	int pair[2];

	refuse(open("/", O_RDONLY | O_CLOEXEC), true, false, EISDIR, "is a directory");
	refuse(open("/dev/null", O_RDWR | O_CLOEXEC), true, false, EINVAL, "character device");
	cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
	close(pair[1]);
	refuse(pair[0], true, false, EINVAL, "pipe");
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[1]);
	refuse(pair[0], true, false, EINVAL, "socket");
}

static int reopened(int flags)
{
	char path[HELPER_PATH_SIZE];
	int fd;

	helper_file(path, "", "x", 1);
	fd = open(path, flags | O_CLOEXEC);
	unlink(path);
	return fd;
}

Test(file, modes)
{
	refuse(reopened(O_WRONLY), true, false, EACCES, "not open for reading");
	refuse(reopened(O_PATH), true, false, EACCES, "not open for reading");
	refuse(reopened(O_RDONLY), true, true, EACCES, "to be written");
	refuse(reopened(O_RDWR | O_APPEND), true, true, EINVAL, "O_APPEND");
}

static struct block_file opened(int fd, bool durable, enum disk_direct direct)
{
	struct error error = {0};
	struct block_file file;

	cr_assert_eq(block_file_open(&file, fd, "image", true, false, durable, direct, &error), 0,
		     "%s", error.text);
	return file;
}

Test(file, direct_only_as_wanted)
{
	struct block_file file = opened(fixture_file(false), false, DISK_DIRECT_AUTO);

	cr_assert_eq(file.direct_fd, -1);
	cr_assert_not(file.in_memory);
	block_file_close(&file);
	file = opened(fixture_file(false), true, DISK_DIRECT_AUTO);
	cr_assert_geq(file.direct_fd, 0);
	cr_assert(fcntl(file.direct_fd, F_GETFL) & O_DIRECT);
	cr_assert(fcntl(file.direct_fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_not(fcntl(file.fd, F_GETFL) & O_DIRECT);
	block_file_close(&file);
	file = opened(fixture_file(false), true, DISK_DIRECT_OFF);
	cr_assert_eq(file.direct_fd, -1);
	block_file_close(&file);
	file = opened(fixture_file(true), false, DISK_DIRECT_ON);
	cr_assert_eq(file.direct_fd, -1, "memory is direct enough");
	cr_assert(file.in_memory);
	block_file_close(&file);
}

Test(file, given_with_direct)
{
	int fd = fixture_file(false);
	size_t before = helper_count_fds();
	struct block_file file;

	cr_assert_eq(fcntl(fd, F_SETFL, O_DIRECT), 0);
	file = opened(fd, false, DISK_DIRECT_OFF);
	cr_assert_not(fcntl(file.fd, F_GETFL) & O_DIRECT);
	cr_assert_eq(helper_count_fds(), before);
	block_file_close(&file);
}

Test(file, a_file_system_without_direct)
{
	struct block_file file =
		opened(open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC), true, DISK_DIRECT_AUTO);
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	struct error error = {0};

	cr_assert_eq(file.direct_fd, -1);
	block_file_close(&file);
	cr_assert_eq(
		block_file_open(&file, fd, "image", true, false, false, DISK_DIRECT_ON, &error),
		-EOPNOTSUPP);
	cr_assert_not_null(strstr(error.text, "O_DIRECT"), "%s", error.text);
}

Test(file, picks_the_descriptor_that_suits)
{
	struct block_file file = opened(fixture_file(false), true, DISK_DIRECT_AUTO);
	uint8_t *memory = aligned_alloc(4096, 8192);
	struct iovec iov[] = {{memory, 4096}, {memory + 4096, 4096}};

	file.memory_align = file.offset_align = 512;
	cr_assert_eq(block_file_pick(&file, iov, 2, 0, 0, 8192), file.direct_fd);
	cr_assert_eq(block_file_pick(&file, iov, 2, 512, 1024, 4096), file.direct_fd);
	cr_assert_eq(block_file_pick(&file, iov, 2, 0, 256, 8192), file.fd);
	cr_assert_eq(block_file_pick(&file, iov, 2, 0, 0, 8000), file.fd);
	cr_assert_eq(block_file_pick(&file, iov, 2, 4, 0, 4096), file.fd);
	iov[1].iov_base = memory + 4000;
	cr_assert_eq(block_file_pick(&file, iov, 2, 0, 0, 8192), file.fd);
	cr_assert_eq(block_file_pick(&file, iov, 2, 0, 0, 4096), file.direct_fd, "not of ours");
	free(memory);
	block_file_close(&file);
}

Test(file, more_is_asked_for_than_the_kernel_told)
{
	struct block_file file = opened(fixture_image(false, 3, 8192), true, DISK_DIRECT_AUTO);
	uint8_t wanted[8192], memory[8192];

	fixture_fill(3, wanted, sizeof(wanted));
	file.memory_align = file.offset_align = 1;
	cr_assert_eq(block_file_read(&file, memory + 1, 3, 777), 0);
	cr_assert_eq(memcmp(memory + 1, wanted + 3, 777), 0);
	block_file_close(&file);
}

Test(file, transfers)
{
	struct block_file file = opened(fixture_image(false, 3, 100000), false, DISK_DIRECT_OFF);
	uint8_t *wanted = malloc(100000), *memory = malloc(100000);
	struct iovec iov[200];

	fixture_fill(3, wanted, 100000);
	for (uint32_t i = 0; i < 200; i++)
		iov[i] = (struct iovec){memory + i * 500ul, 500};
	cr_assert_eq(block_file_transfer(&file, false, iov, 200, 0, 0, 100000), 0);
	cr_assert_eq(memcmp(memory, wanted, 100000), 0);
	cr_assert_eq(block_file_transfer(&file, false, iov, 200, 0, 1, 100000), -ENODATA);
	cr_assert_eq(block_file_transfer(&file, false, iov, 200, 1, 0, 100000), -EINVAL);
	cr_assert_eq(block_file_read(&file, NULL, 0, 10), -EFAULT);
	cr_assert_eq(block_file_write_zeros(&file, 5000, 90000), 0);
	memset(wanted + 5000, 0, 90000);
	cr_assert_eq(block_file_transfer(&file, false, iov, 200, 0, 0, 100000), 0);
	cr_assert_eq(memcmp(memory, wanted, 100000), 0);
	free(wanted);
	free(memory);
	block_file_close(&file);
}

Test(file, read_only_for_good)
{
	struct block_file file = opened(fixture_image(false, 3, 8192), true, DISK_DIRECT_AUTO);
	size_t before = helper_count_fds();

	cr_assert_eq(block_file_make_read_only(&file), 0);
	cr_assert_eq(helper_count_fds(), before);
	cr_assert_eq(block_file_write(&file, "x", 0, 1), -EBADF);
	cr_assert(fcntl(file.direct_fd, F_GETFL) & O_DIRECT);
	cr_assert_eq(fcntl(file.direct_fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	block_file_close(&file);
	cr_assert_eq(block_file_make_read_only(&file), -ENOENT);
}

/* A loop device over fd; it goes away when it is closed. */
static int attach(int fd)
{
	struct loop_config config = {.fd = (uint32_t)fd, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), loop = -1, number;
	char path[32];

	require(control >= 0, "no loop devices, or no root");
	for (int tries = 0; tries < 10; tries++) {
		number = ioctl(control, LOOP_CTL_GET_FREE);
		require(number >= 0, "no free loop device");
		snprintf(path, sizeof(path), "/dev/loop%d", number);
		loop = open(path, O_RDWR | O_CLOEXEC);
		require(loop >= 0, "no access to loop devices");
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
			break; /* else somebody else was faster */
		close(loop);
		loop = -1;
	}
	close(control);
	cr_assert_geq(loop, 0, "%s", strerror(errno));
	return loop;
}

Test(file, block_device)
{
	int backing = fixture_image(false, 5, 64 * KIB + 512);
	struct error error = {0};
	struct block_file file = opened(attach(backing), false, DISK_DIRECT_ON);
	uint8_t wanted[65 * KIB], *memory = aligned_alloc(4096, 8192);
	uint64_t size = 0;

	cr_assert_eq(block_file_size(&file, &size, &error), 0, "%s", error.text);
	cr_assert_eq(size, 64 * KIB + 512);
	fixture_fill(5, wanted, sizeof(wanted));
	cr_assert_eq(block_file_read(&file, memory, 4096, 8192), 0);
	cr_assert_eq(memcmp(memory, wanted + 4096, 8192), 0);
	cr_assert_eq(block_file_read(&file, memory, 64 * KIB, 512), 0);
	cr_assert_eq(memcmp(memory, wanted + 64 * KIB, 512), 0);
	cr_assert_eq(block_file_read(&file, memory, 64 * KIB, 1024), -ENODATA);
	refuse(dup(file.fd), false, false, EINVAL, "block device");
	free(memory);
	block_file_close(&file);
	close(backing);
}

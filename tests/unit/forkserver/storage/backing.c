/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of forkserver/storage/backing.c, but for conversions, which tests/integration has
 * (test_disk_cli.py).
 */
#include "forkserver/storage/backing.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forkserver/base/gate.h"
#include "tests/unit/helper.h"
#include "vmm/base/cleanup.h"

static char path[HELPER_PATH_SIZE];
static struct backing backing;
static struct error error;

static void set_up(void)
{
	char bytes[1024];

	memset(bytes, 'x', sizeof(bytes));
	helper_file(path, ".img", bytes, sizeof(bytes));
	cr_assert_eq(gate_init(), 0);
}

static void tear_down(void)
{
	unlink(path);
}

TestSuite(backing, .init = set_up, .fini = tear_down);

static int open_as(enum serve_disk_format format)
{
	struct serve_disk disk = {.format = format};

	snprintf(disk.path, sizeof(disk.path), "%s", path);
	return backing_open(&disk, "/nowhere", -1, &backing, &error);
}

static void refuse(int code, const char *words)
{
	size_t before = helper_count_fds();

	cr_assert_eq(open_as(SERVE_DISK_AUTO), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	cr_assert_not_null(strstr(error.text, path), "%s", error.text);
	cr_assert_eq(backing.fd, -1);
	cr_assert_eq(helper_count_fds(), before);
}

Test(backing, a_raw_image)
{
	cr_assert_eq(open_as(SERVE_DISK_AUTO), 0, "%s", error.text);
	cr_assert_eq(backing.size, 1024);
	cr_assert_not(backing.is_converted);
	cr_assert_eq(fcntl(backing.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	cr_assert(fcntl(backing.fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(backing.path[0], '/');
	fd_close(&backing.fd);
	cr_assert_eq(open_as(SERVE_DISK_QCOW2), -EINVAL);
}

Test(backing, sizes)
{
	cr_assert_eq(truncate(path, 1000), 0);
	refuse(EINVAL, "truncate -s 1024");
	cr_assert_eq(truncate(path, 0), 0);
	refuse(EINVAL, "is empty");
}

Test(backing, a_header_cut_short)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	cr_assert_eq(write(fd, "QFI\xfb", 4), 4);
	close(fd);
	refuse(EINVAL, "truncated");
}

static int open_without_descriptors(void *context)
{
	(void)context;
	return open_as(SERVE_DISK_AUTO) == -EMFILE && backing.fd == -1 ? 0 : 1;
}

Test(backing, no_descriptors)
{
	cr_assert_eq(helper_without_descriptors(open_without_descriptors, NULL), 0);
}

static void check(int fd, bool writable, int code, const char *words)
{
	error = (struct error){0};
	cr_assert_eq(backing_check_given(fd, writable, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	if (fd >= 0)
		close(fd);
}

Test(backing, given_by_clients)
{
	int ends[2];

	check(open(path, O_RDONLY | O_CLOEXEC), false, 0, "");
	check(open(path, O_RDWR | O_CLOEXEC), true, 0, "");
	check(open(path, O_RDWR | O_CLOEXEC), false, 0, "");
	check(open(path, O_RDONLY | O_CLOEXEC), true, EACCES, "for reading only");
	check(open(path, O_WRONLY | O_CLOEXEC), true, EACCES, "not open for reading");
	check(open(path, O_PATH | O_CLOEXEC), false, EACCES, "not open for reading");
	check(open(path, O_RDWR | O_APPEND | O_CLOEXEC), true, EINVAL, "O_APPEND");
	check(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), false, EINVAL, "O_NONBLOCK");
	check(open(path, O_RDONLY | O_DIRECT | O_CLOEXEC), false, EINVAL, "O_DIRECT");
	check(open("/", O_RDONLY | O_CLOEXEC), false, EISDIR, "directory");
	check(open("/dev/null", O_RDONLY | O_CLOEXEC), false, EINVAL, "character device");
	check(memfd_create("empty", MFD_CLOEXEC), false, EINVAL, "is empty");
	check(-1, false, EBADF, "cannot be used");
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	check(ends[0], false, EINVAL, "pipe");
	close(ends[1]);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	check(ends[0], false, EINVAL, "socket");
	close(ends[1]);
	cr_assert_eq(truncate(path, 513), 0);
	check(open(path, O_RDONLY | O_CLOEXEC), false, EINVAL, "513 bytes");
}

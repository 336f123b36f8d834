/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/proto/disk_lock.c. */
#include "forkserver/proto/disk_lock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/helper.h"

static char path[HELPER_PATH_SIZE];
static struct error error;

static void set_up(void)
{
	helper_file(path, ".img", "x", 1);
}

static void tear_down(void)
{
	unlink(path);
}

TestSuite(disk_lock, .init = set_up, .fini = tear_down);

static int reader(void)
{
	return open(path, O_RDONLY | O_CLOEXEC);
}

Test(disk_lock, readers_go_together)
{
	int first = reader(), second = reader(), writer = open(path, O_RDWR | O_CLOEXEC);

	cr_assert_eq(disk_lock(first, false, &error), 0);
	cr_assert_eq(disk_lock(second, false, &error), 0);
	cr_assert_eq(disk_lock(writer, true, &error), -EBUSY);
	cr_assert_not_null(strstr(error.text, "in use"));
	close(first);
	cr_assert_eq(disk_lock(writer, true, &error), -EBUSY);
	close(second);
	cr_assert_eq(disk_lock(writer, true, &error), 0);
	close(writer);
}

Test(disk_lock, a_writer_is_alone)
{
	int writer = open(path, O_RDWR | O_CLOEXEC), other = open(path, O_RDWR | O_CLOEXEC);
	int first = reader();

	cr_assert_eq(disk_lock(writer, true, &error), 0);
	cr_assert_eq(disk_lock(writer, true, &error), 0, "twice is once");
	cr_assert_eq(disk_lock(other, true, &error), -EBUSY);
	cr_assert_eq(disk_lock(first, false, &error), -EBUSY);
	cr_assert_not_null(strstr(error.text, "being written"));
	close(other);
	close(first);
	close(writer);
}

/* It belongs to the open file, which a clone gets a copy of. */
Test(disk_lock, stays_as_long_as_anybody_has_the_file)
{
	int writer = open(path, O_RDWR | O_CLOEXEC), first = reader();
	int copy = dup(writer);

	cr_assert_eq(disk_lock(writer, true, &error), 0);
	close(writer);
	cr_assert_eq(disk_lock(first, false, &error), -EBUSY);
	close(copy);
	cr_assert_eq(disk_lock(first, false, &error), 0);
	close(first);
}

Test(disk_lock, what_cannot_be_locked_is_left)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	/* For writing it would have to be open for that: the kernel says no, and that is no reason.
	 */
	cr_assert_eq(disk_lock(fd, true, &error), 0);
	close(fd);
}

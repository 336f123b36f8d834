/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/base/cleanup.h. */
#include "vmm/base/cleanup.h"

#include <criterion/criterion.h>
#include <fcntl.h>

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int open_something(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	return fd;
}

Test(cleanup, close_at_the_end_of_the_scope)
{
	int number;

	{
		_cleanup_close_ int fd = open_something();

		number = fd;
		cr_assert(is_open(number));
	}
	cr_assert_not(is_open(number));
}

Test(cleanup, a_stolen_descriptor_stays_open)
{
	int number;

	{
		_cleanup_close_ int fd = open_something();

		number = fd_steal(&fd);
		cr_assert_eq(fd, -1);
	}
	cr_assert(is_open(number));
	close(number);
}

Test(cleanup, fd_close_keeps_errno_and_takes_minus_one)
{
	int fd = open_something();

	errno = EXDEV;
	fd_close(&fd);
	cr_assert_eq(fd, -1);
	fd_close(&fd);
	cr_assert_eq(fd, -1);
	cr_assert_eq(errno, EXDEV);
}

static char *allocate(bool steal)
{
	_cleanup_free_ char *memory = malloc(16);
	char *taken = NULL;

	if (steal) {
		taken = ptr_steal(memory);
		cr_assert_null(memory);
	}
	return taken;
}

/* What is not freed, the address sanitizer reports. */
Test(cleanup, memory_is_freed_unless_stolen)
{
	char *memory = allocate(true);

	cr_assert_not_null(memory);
	free(memory);
	cr_assert_null(allocate(false));
}

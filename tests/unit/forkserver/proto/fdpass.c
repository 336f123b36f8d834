/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/proto/fdpass.c. */
#include "forkserver/proto/fdpass.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"

static int pair[2];

static void set_up(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void tear_down(void)
{
	close(pair[0]);
	close(pair[1]);
}

TestSuite(fdpass, .init = set_up, .fini = tear_down);

static void send_fds(const int *fds, size_t count)
{
	struct iovec iov = {.iov_base = (char[]){"x"}, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	union fdpass_control control;

	fdpass_attach(&message, &control, fds, count);
	cr_assert_eq(sendmsg(pair[0], &message, 0), 1);
}

static int receive_fds(int *fds, size_t capacity, size_t *ret_count)
{
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	union fdpass_control control;

	fdpass_prepare(&message, &control);
	cr_assert_eq(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC), 1);
	return fdpass_take(&message, fds, capacity, ret_count);
}

Test(fdpass, none)
{
	size_t count = 99;

	send_fds(NULL, 0);
	cr_assert_eq(receive_fds(NULL, 0, &count), 0);
	cr_assert_eq(count, 0);
}

Test(fdpass, one_is_the_same_file)
{
	size_t count = 0;
	int ends[2], fd = -1;
	char byte = 0;

	cr_assert_eq(pipe(ends), 0);
	send_fds(&ends[1], 1);
	close(ends[1]);
	cr_assert_eq(receive_fds(&fd, 1, &count), 0);
	cr_assert_eq(count, 1);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(write(fd, "y", 1), 1);
	cr_assert_eq(read(ends[0], &byte, 1), 1);
	cr_assert_eq(byte, 'y');
	close(fd);
	close(ends[0]);
}

Test(fdpass, as_many_as_the_protocol_allows)
{
	int fds[FORKVM_PROTOCOL_MAX_DESCRIPTORS] = {0}, got[FORKVM_PROTOCOL_MAX_DESCRIPTORS];
	size_t before = helper_count_fds(), count = 0;

	send_fds(fds, FORKVM_PROTOCOL_MAX_DESCRIPTORS);
	cr_assert_eq(receive_fds(got, FORKVM_PROTOCOL_MAX_DESCRIPTORS, &count), 0);
	cr_assert_eq(count, FORKVM_PROTOCOL_MAX_DESCRIPTORS);
	for (size_t i = 0; i < count; i++)
		close(got[i]);
	cr_assert_eq(helper_count_fds(), before);
}

/* What there is no place for is closed, and said to be lost. */
Test(fdpass, more_than_there_is_place_for)
{
	size_t before = helper_count_fds(), count = 0;
	int fds[5] = {0}, got[2];

	send_fds(fds, 5);
	cr_assert_eq(receive_fds(got, 2, &count), -EMFILE);
	cr_assert_eq(count, 2);
	cr_assert_eq(helper_count_fds(), before + 2);
	close(got[0]);
	close(got[1]);
	send_fds(fds, 5);
	cr_assert_eq(receive_fds(NULL, 0, &count), -EMFILE);
	cr_assert_eq(count, 0);
	cr_assert_eq(helper_count_fds(), before);
}

/* Control data that is not descriptors is passed over. */
Test(fdpass, credentials_in_between)
{
	const int on = 1;
	size_t count = 0;
	int fd = -1, zero = 0;

	cr_assert_eq(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	send_fds(&zero, 1);
	cr_assert_eq(receive_fds(&fd, 1, &count), 0);
	cr_assert_eq(count, 1);
	close(fd);
}

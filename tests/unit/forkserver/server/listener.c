/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/server/listener.c. */
#include "forkserver/server/listener.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "forkserver/base/gate.h"
#include "tests/unit/helper.h"

static char path[HELPER_PATH_SIZE], lock_path[HELPER_PATH_SIZE + 8];

static void set_up(void)
{
	cr_assert_eq(gate_init(), 0);
	helper_path(path, ".sock");
	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
}

static void tear_down(void)
{
	unlink(path);
	unlink(lock_path);
}

TestSuite(listener, .init = set_up, .fini = tear_down);

static void init(struct listener *listener)
{
	struct error error = {0};

	cr_assert_eq(listener_init(listener, path, false, &error), 0, "%s", error.text);
	cr_assert_eq(listener_open(listener, &error), 0, "%s", error.text);
}

static void refuse(int code, const char *part)
{
	size_t fds = helper_count_fds();
	struct listener listener;
	struct error error = {0};

	cr_assert_eq(listener_init(&listener, path, false, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	listener_done(&listener);
	cr_assert_eq(helper_count_fds(), fds);
}

/* 0, or the errno of connecting there. */
static int try_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), code;

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	code = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
	close(fd);
	return code;
}

Test(listener, comes_and_goes)
{
	struct listener listener;
	struct stat st;

	init(&listener);
	cr_assert_eq(try_connect(), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert(S_ISSOCK(st.st_mode));
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(listener.lock_fd, F_GETFD) & FD_CLOEXEC);
	listener_done(&listener);
	cr_assert_lt(stat(path, &st), 0);
	cr_assert_lt(stat(lock_path, &st), 0);
	listener_done(&listener); /* once more is fine */
}

Test(listener, for_everybody)
{
	struct listener listener;
	struct error error = {0};
	struct stat st;

	cr_assert_eq(listener_init(&listener, path, true, &error), 0, "%s", error.text);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666);
	listener_done(&listener);
}

Test(listener, nobody_gets_in_before_it_is_open)
{
	struct listener listener;
	struct error error = {0};

	cr_assert_eq(listener_init(&listener, path, false, &error), 0, "%s", error.text);
	cr_assert_eq(try_connect(), ECONNREFUSED);
	cr_assert_eq(listener_open(&listener, &error), 0);
	cr_assert_eq(try_connect(), 0);
	listener_done(&listener);
}

Test(listener, one_at_a_time)
{
	char pid[32];
	struct listener first;

	init(&first);
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	refuse(EADDRINUSE, pid);
	cr_assert_eq(try_connect(), 0, "the first is none the worse");
	listener_done(&first);
	init(&first);
	listener_done(&first);
}

/* As after kill -9: both files are there, and nobody holds the lock. */
Test(listener, what_a_dead_server_left)
{
	struct listener dead, next;

	init(&dead);
	close(dead.fd);
	close(dead.lock_fd);
	cr_assert_eq(try_connect(), ECONNREFUSED);
	init(&next);
	cr_assert_eq(try_connect(), 0);
	listener_done(&next);
}

Test(listener, a_socket_of_another_program)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	refuse(EADDRINUSE, "another program");
	cr_assert_eq(try_connect(), 0);
	close(fd);
}

Test(listener, something_else)
{
	FILE *file = fopen(path, "we");

	fputs("precious", file);
	fclose(file);
	refuse(EEXIST, "not a socket");
	cr_assert_eq(access(path, F_OK), 0);
}

Test(listener, a_lock_that_is_a_symbolic_link)
{
	char target[HELPER_PATH_SIZE];

	helper_file(target, "", "precious", 8);
	cr_assert_eq(symlink(target, lock_path), 0);
	refuse(ELOOP, "lock");
	cr_assert_eq(access(target, F_OK), 0);
	unlink(target);
}

Test(listener, paths_that_cannot_be)
{
	snprintf(path, sizeof(path), "/nowhere/at/all/socket");
	refuse(ENOENT, "folder");
	memset(path, 'x', 108);
	path[108] = '\0';
	refuse(ENAMETOOLONG, "107");
	path[0] = '\0';
	refuse(EINVAL, "");
}

/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of forkserver/server/descriptors.c, and of what template.c takes of the inherited
 * ones. Each in a child, whose table it may turn upside down.
 */
#include "forkserver/server/descriptors.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forkserver/launch/launch.h"
#include "forkserver/server/template.h"
#include "tests/unit/helper.h"

static struct error error;

/* Exit statuses name the line that was not as it should be, as far as a status can. */
#define EXPECT(condition)                          \
	do {                                       \
		if (!(condition))                  \
			return __LINE__ % 250 + 1; \
	} while (0)

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool is_same(int fd, const struct stat *wanted)
{
	struct stat stat;

	return !fstat(fd, &stat) && stat.st_ino == wanted->st_ino && stat.st_dev == wanted->st_dev;
}

static int clear(void *context)
{
	struct stat first, second, null;
	struct descriptor_kept kept[3];
	int a[2], b[2], none = -1;

	(void)context;
	EXPECT(!pipe(a) && !pipe(b) && !stat("/dev/null", &null));
	/* One where the lowest number will be, one in the way up there, others around them. */
	EXPECT(dup2(a[0], FD_KVM) == FD_KVM && dup2(b[0], FD_HIGH) == FD_HIGH);
	EXPECT(dup2(a[1], FD_HIGH + 1) >= 0 && dup2(a[1], FD_HIGH + 7) >= 0);
	EXPECT(!fstat(a[0], &first) && !fstat(b[0], &second));
	a[0] = FD_KVM;
	b[0] = FD_HIGH;
	kept[0] = (struct descriptor_kept){&b[0], "--b"};
	kept[1] = (struct descriptor_kept){&none, "--none"};
	kept[2] = (struct descriptor_kept){&a[0], "--a"};
	EXPECT(!descriptors_clear(kept, 3, &error));
	EXPECT(none == -1);
	EXPECT(a[0] >= FD_HIGH && b[0] >= FD_HIGH && a[0] != b[0]);
	EXPECT(is_same(a[0], &first) && is_same(b[0], &second));
	EXPECT(fcntl(a[0], F_GETFD) == FD_CLOEXEC && fcntl(b[0], F_GETFD) == FD_CLOEXEC);
	EXPECT(is_same(0, &null) && is_same(1, &null) && is_open(2));
	for (int fd = FD_KVM; fd < FD_HIGH + 20; fd++)
		EXPECT(is_open(fd) == (fd == a[0] || fd == b[0]));
	return 0;
}

Test(descriptors, all_but_the_kept_are_closed)
{
	int status = helper_in_child(clear, NULL);

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

static int clear_missing(void *context)
{
	int missing = 200;
	struct descriptor_kept kept = {&missing, "--ready-fd"};

	(void)context;
	close(3);
	close(missing);
	EXPECT(descriptors_clear(&kept, 1, &error) == -EBADF);
	EXPECT(strstr(error.text, "--ready-fd"));
	/* Not taken by what the call itself opens. */
	missing = 3;
	EXPECT(descriptors_clear(&kept, 1, &error) == -EBADF);
	return 0;
}

Test(descriptors, a_kept_one_that_is_not_open)
{
	int status = helper_in_child(clear_missing, NULL);

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

static int clear_with_few(void *context)
{
	struct rlimit limit = {200, 200};

	(void)context;
	EXPECT(!setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT(descriptors_to_share() == 2);
	EXPECT(descriptors_clear(NULL, 0, &error) == -EMFILE);
	return 0;
}

Test(descriptors, too_low_a_limit)
{
	int status = helper_in_child(clear_with_few, NULL);

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

static int place(void *context)
{
	struct stat stat;
	int pipe_fds[2];

	(void)context;
	EXPECT(!pipe(pipe_fds) && !fstat(pipe_fds[0], &stat));
	EXPECT(!descriptors_place(&pipe_fds[0], 100, &error));
	EXPECT(pipe_fds[0] == 100 && is_same(100, &stat));
	EXPECT(!descriptors_place(&pipe_fds[0], 100, &error) && is_open(100));
	return 0;
}

Test(descriptors, places)
{
	int status = helper_in_child(place, NULL);

	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}

/* ---- The serial port's ---- */

static void claim(const struct serve_serial *serial, int in_fd, int out_fd)
{
	struct template template;

	template_init(&template);
	cr_assert_eq(template_claim_serial(&template, serial, &error), 0, "%s", error.text);
	cr_assert_eq(template.serial.in_fd, in_fd);
	cr_assert_eq(template.serial.out_fd, out_fd);
}

Test(descriptors, serial_ports_by_what_they_are_open_for)
{
	int fds[2], both = open("/dev/null", O_RDWR);

	cr_assert_eq(pipe(fds), 0);
	claim(&(struct serve_serial){.kind = SERVE_SERIAL_LOG}, -1, -1);
	claim(&(struct serve_serial){.kind = SERVE_SERIAL_NONE}, -1, -1);
	claim(&(struct serve_serial){.kind = SERVE_SERIAL_STDIO}, 0, 1);
	claim(&(struct serve_serial){.kind = SERVE_SERIAL_FD, .fd = fds[0]}, fds[0], -1);
	claim(&(struct serve_serial){.kind = SERVE_SERIAL_FD, .fd = fds[1]}, -1, fds[1]);
	claim(&(struct serve_serial){.kind = SERVE_SERIAL_FD, .fd = both}, both, both);
}

Test(descriptors, a_serial_port_that_is_not_open)
{
	const struct serve_serial serial = {.kind = SERVE_SERIAL_FD, .fd = 999};
	struct template template;

	template_init(&template);
	cr_assert_eq(template_claim_serial(&template, &serial, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "--serial fd:999"), "%s", error.text);
}

Test(descriptors, serial_files)
{
	char path[HELPER_PATH_SIZE];
	struct serve_serial serial = {.kind = SERVE_SERIAL_FILE, .path = path};
	struct template template;
	struct stat stat_of_it;

	helper_path(path, ".serial");
	for (int i = 0; i < 2; i++) {
		template_init(&template);
		cr_assert_eq(template_open_serial(&template, &serial, &error), 0, "%s", error.text);
		cr_assert_eq(template.serial.in_fd, -1);
		cr_assert_geq(template.serial.out_fd, FD_HIGH);
		cr_assert_eq(write(template.serial.out_fd, "four", 4), 4);
		template_done(&template);
		cr_assert_eq(template.serial.out_fd, -1);
	}
	cr_assert_eq(stat(path, &stat_of_it), 0);
	cr_assert_eq(stat_of_it.st_size, 8, "it is appended to");
	cr_assert_eq(stat_of_it.st_mode & 077, 0, "nobody else's");
	unlink(path);
	/* A FIFO that nobody reads must not keep the server waiting. */
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(template_open_serial(&template, &serial, &error), -ENXIO);
	cr_assert_not_null(strstr(error.text, "--serial"), "%s", error.text);
	unlink(path);
	serial.path = "/nowhere/at/all";
	cr_assert_eq(template_open_serial(&template, &serial, &error), -ENOENT);
}

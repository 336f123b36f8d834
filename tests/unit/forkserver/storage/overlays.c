/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/storage/overlays.c. */
#include "forkserver/storage/overlays.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/helper.h"

static char folder[HELPER_PATH_SIZE];
static struct overlays overlays;
static struct error error;

static void set_up(void)
{
	helper_path(folder, ".d");
	cr_assert_eq(mkdir(folder, 0700), 0);
}

static void tear_down(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(folder);
}

TestSuite(overlays, .init = set_up, .fini = tear_down);

static void touch(const char *name)
{
	char path[2 * HELPER_PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static uint64_t find_run(const char *server)
{
	uint64_t run;

	cr_assert_eq(overlays_open(folder, server, &overlays, &error), 0, "%s", error.text);
	run = overlays.run;
	overlays_close(&overlays);
	return run;
}

Test(overlays, an_empty_folder)
{
	char path[SERVE_DISK_PATH_SIZE];
	size_t before = helper_count_fds();

	cr_assert_eq(overlays_open(folder, "shop", &overlays, &error), 0, "%s", error.text);
	cr_assert_eq(overlays.run, 0);
	cr_assert_not_null(realpath(folder, path));
	cr_assert_str_eq(overlays.path, path);
	overlays_close(&overlays);
	cr_assert_eq(overlays.fd, -1);
	cr_assert_eq(helper_count_fds(), before);
}

Test(overlays, numbers_go_on)
{
	touch("shop-4-0.overlay");
	cr_assert_eq(find_run("shop"), 5);
	touch("shop-template-17-3.overlay");
	cr_assert_eq(find_run("shop"), 18);
	touch("shop-9-1.overlay");
	cr_assert_eq(find_run("shop"), 18);
	cr_assert_eq(find_run("other"), 0);
}

Test(overlays, names_of_others)
{
	static const char *const names[] = {"shop-1-7-0.overlay",
					    "shop-7.overlay",
					    "shop-7-0.overlay.old",
					    "shop-x-0.overlay",
					    "shop-7-0",
					    "shop--7-0.overlay",
					    "shop-template-0.overlay",
					    "shop-7-0x.overlay",
					    "shoppe-7-0.overlay",
					    "shop-7-.overlay",
					    "shop-99999999999999999999-0.overlay",
					    "shop-template--1-0.overlay"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		touch(names[i]);
	cr_assert_eq(find_run("shop"), 0);
	cr_assert_eq(find_run("shop-1"), 8);
}

Test(overlays, names)
{
	char name[OVERLAYS_NAME_SIZE], server[OVERLAYS_SERVER_SIZE];

	overlays_name_clone(name, "shop", 12, 3);
	cr_assert_str_eq(name, "shop-12-3.overlay");
	touch(name);
	overlays_name_template(name, "shop", 40, 0);
	cr_assert_str_eq(name, "shop-template-40-0.overlay");
	touch(name);
	cr_assert_eq(find_run("shop"), 41);
	memset(server, 's', sizeof(server));
	server[sizeof(server) - 1] = '\0';
	overlays_name_template(name, server, UINT64_MAX, 3);
	cr_assert_not_null(strstr(name, "-3.overlay"), "the longest one fits");
}

static void refuse(const char *path, const char *server, int code)
{
	size_t before = helper_count_fds();

	cr_assert_eq(overlays_open(path, server, &overlays, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, "--overlay"), "%s", error.text);
	cr_assert_eq(helper_count_fds(), before);
}

Test(overlays, refusals)
{
	char server[OVERLAYS_SERVER_SIZE + 1];

	refuse("/nowhere/at/all", "shop", ENOENT);
	refuse("/proc/self/exe", "shop", ENOTDIR);
	refuse("/proc/self", "shop", EPERM);
	memset(server, 's', sizeof(server));
	server[sizeof(server) - 1] = '\0';
	refuse(folder, server, ENAMETOOLONG);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/cli/disk_options.c. */
#include "forkserver/cli/disk_options.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

static struct serve_disks disks;
static struct disk_given given;
static struct error error;

static const struct serve_disk *add(const char *value)
{
	disks = (struct serve_disks){0};
	cr_assert_eq(disk_options_add(&disks, value, &error), 0, "%s: %s", value, error.text);
	cr_assert_eq(disks.count, 1);
	return &disks.disk[0];
}

static void refuse(const char *value, const char *words)
{
	disks = (struct serve_disks){0};
	cr_assert_eq(disk_options_add(&disks, value, &error), -EINVAL, "%s", value);
	cr_assert_not_null(strstr(error.text, words), "%s: %s", value, error.text);
	cr_assert_eq(disks.count, 0);
}

Test(disk_options, defaults)
{
	const struct serve_disk *disk = add("a.img");

	cr_assert_str_eq(disk->path, "a.img");
	cr_assert_not(disk->is_empty || disk->read_only || disk->durable);
	cr_assert_eq(disk->format, SERVE_DISK_AUTO);
	cr_assert_eq(disk->direct, DISK_DIRECT_AUTO);
	cr_assert_str_empty(disk->serial);
}

Test(disk_options, words)
{
	const struct serve_disk *disk = add("/x/a.img,durable,format=raw,direct=on,serial=0123");

	cr_assert_str_eq(disk->path, "/x/a.img");
	cr_assert(disk->durable);
	cr_assert_eq(disk->format, SERVE_DISK_RAW);
	cr_assert_eq(disk->direct, DISK_DIRECT_ON);
	cr_assert_str_eq(disk->serial, "0123");
	disk = add("a,ro,direct=off,format=qcow2");
	cr_assert(disk->read_only);
	cr_assert_eq(disk->format, SERVE_DISK_QCOW2);
	cr_assert_eq(disk->direct, DISK_DIRECT_OFF);
	disk = add("a,serial=abcdefghij0123456789");
	cr_assert_str_eq(disk->serial, "abcdefghij0123456789");
	refuse("a,serial=abcdefghij0123456789x", "1 to 20");
	refuse("a,durable,ro", "cannot be durable");
	refuse("a,Ro", "\"Ro\"");
	refuse("a,", "\"\"");
	refuse("a,ro,", "\"\"");
	refuse("a,format=", "\"\"");
	refuse("a,formatx", "\"formatx\"");
}

Test(disk_options, names_with_commas)
{
	cr_assert_str_eq(add("a,,b")->path, "a,b");
	cr_assert_str_eq(add("a,,")->path, "a,");
	cr_assert_str_eq(add(",,,,")->path, ",,");
	cr_assert_str_eq(add("a,,,ro")->path, "a,");
	cr_assert(disks.disk[0].read_only);
	refuse(",ro", "name is missing");
	refuse("", "name is missing");
}

Test(disk_options, empty_slots)
{
	cr_assert(add("none")->is_empty);
	cr_assert_str_eq(add("none,serial=x")->serial, "x");
	cr_assert_not(add("./none")->is_empty);
	refuse("none,ro", "none,serial=TEXT");
	refuse("none,durable", "none,serial=TEXT");
}

Test(disk_options, limits)
{
	char name[SERVE_DISK_PATH_SIZE + 1];

	disks = (struct serve_disks){0};
	for (unsigned int i = 0; i < MACHINE_DISKS_MAX; i++)
		cr_assert_eq(disk_options_add(&disks, "a", &error), 0);
	cr_assert_eq(disk_options_add(&disks, "a", &error), -E2BIG);
	memset(name, 'n', sizeof(name));
	name[SERVE_DISK_PATH_SIZE - 1] = '\0';
	cr_assert_eq(strlen(add(name)->path), SERVE_DISK_PATH_SIZE - 1);
	name[SERVE_DISK_PATH_SIZE - 1] = 'n';
	name[SERVE_DISK_PATH_SIZE] = '\0';
	disks = (struct serve_disks){0};
	cr_assert_eq(disk_options_add(&disks, name, &error), -ENAMETOOLONG);
}

Test(disk_options, overlays)
{
	add("a,durable");
	cr_assert_eq(disk_options_finish(&disks, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "--overlay"));
	cr_assert_eq(disk_options_set_overlay(&disks, "memory", &error), 0);
	cr_assert_eq(disk_options_finish(&disks, &error), -EINVAL);
	cr_assert_eq(disk_options_set_overlay(&disks, "/some/where", &error), 0);
	cr_assert_eq(disk_options_finish(&disks, &error), 0);
	cr_assert_str_eq(disks.overlay_dir, "/some/where");
	cr_assert_eq(disk_options_set_overlay(&disks, "", &error), -EINVAL);
	cr_assert_eq(disk_options_set_limit(&disks, "3", &error), 0);
	cr_assert_eq(disks.overlay_limit, 3 * MIB);
	cr_assert_eq(disk_options_set_limit(&disks, "4096B", &error), 0);
	cr_assert_eq(disk_options_set_limit(&disks, "4095B", &error), -ERANGE);
	cr_assert_eq(disk_options_set_limit(&disks, "x", &error), -EINVAL);
}

static void take(const char *value, unsigned int slot, enum disk_given_mode mode, const char *path)
{
	cr_assert_eq(disk_options_parse_given(value, &given, &error), 0, "%s: %s", value,
		     error.text);
	cr_assert_eq(given.slot, slot);
	cr_assert_eq(given.mode, mode);
	cr_assert_str_eq(given.path, path);
}

Test(disk_options, given_to_clones)
{
	static const char *const bad[] = {"",	  "a",	 "=a",	 "0=",	  "0=,ro",   "x=a",
					  "-1=a", "4=a", "0=a,", "0=a,x", "0=a,ro,", "0=a,ro,rw"};

	take("0=a", 0, DISK_GIVEN_OVERLAY, "a");
	take("3=/x/y,ro", 3, DISK_GIVEN_READ_ONLY, "/x/y");
	take("1=a=b,rw", 1, DISK_GIVEN_WRITE, "a=b");
	take("1=a,,ro", 1, DISK_GIVEN_OVERLAY, "a,ro");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int rc = disk_options_parse_given(bad[i], &given, &error);

		cr_assert(rc == -EINVAL || rc == -ERANGE, "%s: %d", bad[i], rc);
	}
}

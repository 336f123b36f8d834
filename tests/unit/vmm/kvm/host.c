/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/kvm/host.c. */
#include "vmm/kvm/host.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"

/* Opening device fails with code, says part, and leaves nothing behind. */
static void refuse(const char *device, int code, const char *part)
{
	size_t fds = helper_count_fds();
	struct kvm_host *host = NULL;
	struct error error = {0};

	cr_assert_eq(kvm_host_open(device, &host, &error), -code, "%s", error.text);
	cr_assert_null(host);
	cr_assert_not_null(strstr(error.text, device), "'%s' does not name it", error.text);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_eq(helper_count_fds(), fds);
}

Test(host, knows_what_every_host_has)
{
	struct kvm_host *host = require_kvm();

	cr_assert(fcntl(host->fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_geq(host->vcpu_mmap_size, sizeof(struct kvm_run));
	cr_assert_geq(host->xsave_size, sizeof(struct kvm_xsave));
	cr_assert_geq(host->vcpus_max, 1);
	cr_assert_geq(host->memslots_max, 32);
	cr_assert_gt(host->cpuid->nent, 0);
	cr_assert_gt(host->msrs->nmsrs, 0);
	kvm_host_close(host);
}

Test(host, dev_kvm_is_the_default)
{
	struct kvm_host *host = require_kvm(), *named = NULL;
	struct error error = {0};

	cr_assert_eq(kvm_host_open("/dev/kvm", &named, &error), 0, "%s", error.text);
	cr_assert_eq(named->cpuid->nent, host->cpuid->nent);
	cr_assert_str_eq(named->module, host->module);
	kvm_host_close(named);
	kvm_host_close(host);
}

Test(host, close_takes_null_and_leaves_nothing)
{
	size_t fds = helper_count_fds();

	kvm_host_close(NULL);
	kvm_host_close(require_kvm());
	cr_assert_eq(helper_count_fds(), fds);
}

Test(host, no_device)
{
	refuse("/dev/nothing-here", ENOENT, "modprobe");
}

Test(host, a_device_that_is_not_kvm)
{
	refuse("/dev/null", ENOTTY, "not a KVM device");
	refuse("/dev/zero", ENOTTY, "not a KVM device");
}

/* Opening a socket's name gives ENXIO, as a device node without its driver does. */
Test(host, a_device_without_its_driver)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[HELPER_PATH_SIZE];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	helper_path(path, ".sock");
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	refuse(path, ENODEV, "switched off");
	close(fd);
	unlink(path);
}

static int open_as_nobody(void *context)
{
	struct kvm_host *host = NULL;
	struct error error = {0};

	if (geteuid() == 0 && seteuid(65534) < 0)
		return 100;
	if (kvm_host_open(context, &host, &error) != -EACCES)
		return 101;
	return strstr(error.text, "usermod") ? 0 : 102;
}

Test(host, no_permission)
{
	char path[HELPER_PATH_SIZE];

	helper_file(path, "", "", 0);
	cr_assert_eq(chmod(path, 0), 0);
	cr_assert_eq(helper_in_child(open_as_nobody, path), 0);
	unlink(path);
}

static int open_without_descriptors(void *context)
{
	struct kvm_host *host = NULL;
	struct error error = {0};

	(void)context;
	return kvm_host_open(NULL, &host, &error) != -EMFILE || !strstr(error.text, "/dev/kvm");
}

Test(host, no_descriptors_left)
{
	kvm_host_close(require_kvm());
	cr_assert_eq(helper_without_descriptors(open_without_descriptors, NULL), 0);
}

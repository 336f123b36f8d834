/* SPDX-License-Identifier: MIT */
/*
 * An init's first steps: see mounts.h.
 */
#include "guest-stubs/agent/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stubs/agent/log.h"

static const struct {
	const char *target, *type, *data;
	unsigned long flags;
	bool optional; /* a kernel may lack it */
} mounts[] = {
	{"/dev", "devtmpfs", "mode=0755", MS_NOSUID, false},
	{"/dev/pts", "devpts", "mode=0620,ptmxmode=0666", MS_NOSUID | MS_NOEXEC, true},
	{"/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, true},
	{"/proc", "proc", "", MS_NOSUID | MS_NOEXEC | MS_NODEV, false},
	{"/sys", "sysfs", "", MS_NOSUID | MS_NOEXEC | MS_NODEV, false},
	{"/sys/fs/cgroup", "cgroup2", "", MS_NOSUID | MS_NOEXEC | MS_NODEV, true},
	{"/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV, false},
	{"/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV, false},
};

/* Is something mounted there: is it another file system than its parent folder? */
static bool is_mount_point(const char *target)
{
	struct stat here, above;
	char parent[64];

	strncpy(parent, target, sizeof(parent) - 1);
	parent[sizeof(parent) - 1] = '\0';
	*strrchr(parent, '/') = '\0';
	return stat(target, &here) == 0 && stat(*parent ? parent : "/", &above) == 0 &&
	       here.st_dev != above.st_dev;
}

void mounts_make(void)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		const char *target = mounts[i].target;

		mkdir(target, 0755); /* it mostly exists */
		if (is_mount_point(target) ||
		    mount(mounts[i].type, target, mounts[i].type, mounts[i].flags,
			  mounts[i].data) == 0 ||
		    errno == EBUSY)
			continue;
		if (!mounts[i].optional)
			log_warn("mount %s on %s: %s", mounts[i].type, target, strerror(errno));
	}
}

int mounts_open_console(void)
{
	int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);

	/* Without a console, writing must still lead somewhere. */
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int std = STDIN_FILENO; std <= STDERR_FILENO; std++) {
		if (fd == std)
			fcntl(fd, F_SETFD, 0);
		else if (dup2(fd, std) < 0)
			return -errno;
	}
	if (fd > STDERR_FILENO)
		close(fd);
	return 0;
}

int mounts_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
		request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
		rc = ioctl(fd, SIOCSIFFLAGS, &request);
	} else {
		rc = -1;
	}
	if (rc < 0)
		rc = -errno;
	close(fd);
	return rc;
}

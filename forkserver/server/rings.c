/* SPDX-License-Identifier: MIT */
/*
 * Rings for clones: see rings.h.
 */
#include "forkserver/server/rings.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forkserver/base/cradle.h"
#include "forkserver/base/log.h"
#include "forkserver/base/sys.h"
#include "forkserver/launch/launch.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/block/ring.h"

/* Set before clones are made; they only read it. */
static struct {
	struct io_uring_params params; /* of every ring that is made here */
	bool ask;		       /* clones are to ask for theirs    */
} common;

void rings_init(struct rings *rings)
{
	*rings = (struct rings){.fd = -1, .watch = {.kind = WATCH_RINGS}};
}

void rings_done(struct rings *rings)
{
	fd_close(&rings->fd);
}

bool rings_learn(void)
{
	struct ring ring;

	if (ring_open(&ring, DISK_DEPTH_DEFAULT) < 0)
		return false;
	common.params = ring.params;
	ring_close(&ring);
	return true;
}

/* Linux 5.14: a descriptor is given, and the call answered by it, in one step. */
static bool can_give(int fd)
{
	struct seccomp_notif_addfd nobody = {
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd,
	};

	return sys_seccomp_ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &nobody) == -ENOENT;
}

int rings_serve(struct server *server, int fd, struct error *error)
{
	struct rings *rings = &server->rings;
	int rc = sys_dup_above(fd, FD_HIGH);

	close(fd);
	if (rc < 0)
		return error_set_errno(error, -rc, "cannot keep the filter's notifications");
	rings->fd = rc;
	if (!can_give(rings->fd)) {
		rings_done(rings);
		return 0;
	}
	rc = watch_add(server->epoll_fd, rings->fd, &rings->watch, EPOLLIN);
	if (rc < 0)
		return error_set_errno(error, -rc, "epoll_ctl");
	common.ask = true;
	machine_allow_late_rings(server->machine);
	return 0;
}

/* In a clone. A server that is gone, or refuses, is a host without io_uring. */
int ring_obtain(struct ring *ring, uint32_t entries)
{
	const struct launch *launch = cradle_argument();
	struct io_uring_params params = common.params;
	long fd;

	if (!common.ask)
		return ring_open(ring, entries);
	*ring = RING_NONE;
	if (entries != params.sq_entries)
		return -EINVAL;
	fd = syscall(SYS_io_uring_setup, entries, &params, launch->place);
	if (fd < 0)
		return -errno;
	ring->fd = (int)fd;
	ring->params = params;
	return 0;
}

/* Room for what newer kernels add. */
union notice {
	struct seccomp_notif notif;
	uint8_t room[512];
};

/* The clone that asks, if it may: the kernel says who it is, it says itself only where to look. */
static struct clone *find_asker(const struct server *server, const struct seccomp_notif *notif)
{
	const struct clones *clones = &server->clones;
	uint64_t place = notif->data.args[2];
	struct clone *clone;

	if (notif->data.nr != SYS_io_uring_setup || notif->data.arch != AUDIT_ARCH_X86_64 ||
	    place >= clones->used)
		return NULL;
	clone = &clones->records[place];
	if (clone->pidfd < 0 || clone->pid != (pid_t)notif->pid ||
	    clone->rings >= server->options->disks.count)
		return NULL;
	return clone;
}

static int give(const struct rings *rings, uint64_t id)
{
	struct seccomp_notif_addfd given = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.newfd_flags = O_CLOEXEC,
	};
	struct ring ring;
	int rc = ring_open(&ring, DISK_DEPTH_DEFAULT);

	if (rc < 0)
		return rc;
	given.srcfd = (uint32_t)ring.fd;
	rc = sys_seccomp_ioctl(rings->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &given);
	ring_close(&ring);
	return rc < 0 ? rc : 0;
}

static void refuse(const struct rings *rings, uint64_t id, int error)
{
	struct seccomp_notif_resp response = {.id = id, .error = error};

	/* ENOENT: whoever asked is gone. */
	(void)sys_seccomp_ioctl(rings->fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void rings_on_request(struct server *server)
{
	union notice notice = {.room = {0}};
	struct clone *clone;
	int rc = -EPERM;

	/* ENOENT: killed meanwhile. */
	if (sys_seccomp_ioctl(server->rings.fd, SECCOMP_IOCTL_NOTIF_RECV, &notice) < 0)
		return;
	clone = find_asker(server, &notice.notif);
	if (clone)
		rc = give(&server->rings, notice.notif.id);
	if (rc == 0)
		clone->rings++;
	else
		refuse(&server->rings, notice.notif.id, rc);
}

/* SPDX-License-Identifier: MIT */
/*
 * Exports: see export.h.
 *
 * A stop takes effect when each of the clone's threads leaves the kernel, and nobody tells the
 * server of that, so it looks every millisecond. Descriptors go to clients open for reading only:
 * the template's are, and the clone's own are opened anew.
 */
#include "forkserver/server/export.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/sys.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/block/export.h"

#define LOOK_NS		 NS_PER_MS
#define STOP_LIMIT_NS	 (5 * NS_PER_SEC)
#define LIMIT_DEFAULT_MS 60000u
#define LIMIT_MAX_MS	 3600000u

/* The layers of one disk, as they go to the client. */
struct layers {
	struct export_source source; /* its descriptors are in fds, too, and not owned here */
	int fds[CONN_SEND_FDS];	     /* owned, in the order in which they are sent          */
	const char *kinds[CONN_SEND_FDS];
	unsigned int count;
};

static timer_fn on_timer;

void export_init(struct export_hold *hold)
{
	*hold = (struct export_hold){.timer.expire = on_timer};
}

/* Let the clone go on, unless another connection holds it as well. */
static void let_go(struct server *server, struct conn *conn, enum export_state next)
{
	struct export_hold *hold = &conn->hold;
	struct clone *clone = hold->clone;

	timers_disarm(&server->timers, &hold->timer);
	hold->state = next;
	hold->clone = NULL;
	if (clone && --clone->holders == 0)
		(void)sys_pidfd_signal(clone->pidfd, SIGCONT);
}

static void refuse(struct server *server, struct conn *conn, const char *tag,
		   const struct error *error)
{
	conn_send_error(server, conn, tag, error);
}

static void layers_close(struct layers *layers)
{
	for (unsigned int i = 0; i < layers->count; i++)
		fd_close(&layers->fds[i]);
	layers->count = 0;
}

/* Take fd, which may be -errno. */
static int add_layer(struct layers *layers, const char *kind, int fd)
{
	if (fd < 0)
		return fd;
	if (layers->count == CONN_SEND_FDS) {
		close(fd);
		return -E2BIG;
	}
	layers->kinds[layers->count] = kind;
	layers->fds[layers->count++] = fd;
	return 0;
}

/* A copy of one of the server's own, out of the way of clones. */
static int add_copy(struct layers *layers, const char *kind, int fd)
{
	return add_layer(layers, kind, sys_dup_above(fd, FD_HIGH));
}

/* The same file, if fd is open for reading only; else it is opened anew for that. -errno. */
static int read_only(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	char path[32];

	if (flags < 0)
		return -errno;
	if ((flags & (O_ACCMODE | O_PATH)) == O_RDONLY)
		return sys_dup_above(fd, FD_HIGH);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return sys_reopen_read(path);
}

/* A descriptor of the clone's, but for reading only. What it is, is for the clone to say. */
static int add_fetched(struct layers *layers, const char *kind, int pidfd, int number)
{
	_cleanup_close_ int fetched = sys_pidfd_getfd(pidfd, number);
	_cleanup_close_ int own = -1;
	struct statx found = {0};
	int rc = fetched < 0 ? fetched : sys_statx(fetched, &found);

	if (rc < 0)
		return rc;
	/* /dev/null holds the place of an overlay in memory that was not written to yet. */
	if (S_ISCHR(found.stx_mode))
		return 0;
	if (!S_ISREG(found.stx_mode) && !S_ISBLK(found.stx_mode))
		return -EUCLEAN;
	own = read_only(fetched);
	return own < 0 ? own : add_copy(layers, kind, own);
}

/* What the template has below the clone's own. */
static int add_template(struct server *server, unsigned int disk, struct layers *layers)
{
	struct export_source *source = &layers->source;
	int rc = 0;

	disk_get_source(machine_get_disk(server->machine, disk), source);
	if (source->image_fd >= 0)
		rc = add_copy(layers, "image", source->image_fd);
	for (unsigned int i = 0; rc == 0 && i < source->overlay_count; i++) {
		rc = add_copy(layers, "data", source->overlays[i].data_fd);
		if (rc == 0 && source->overlays[i].map_fd >= 0)
			rc = add_copy(layers, "bitmap", source->overlays[i].map_fd);
	}
	return rc;
}

/* The file that the client gave: the disk is as large as that is. */
static int add_given(const struct clone *clone, unsigned int disk, unsigned int disks,
		     struct layers *layers)
{
	int rc = add_fetched(layers, "image", clone->pidfd, fd_of_disk(disks, disk, DISK_FD_IMAGE));
	struct statx found = {0};
	off_t size;

	if (rc == 0)
		rc = sys_statx(layers->fds[0], &found);
	if (rc < 0)
		return rc;
	size = S_ISREG(found.stx_mode) ? (off_t)found.stx_size : sys_seek_end(layers->fds[0]);
	if (size < 0)
		return (int)size;
	layers->source.size = (uint64_t)size;
	layers->source.image_size = (uint64_t)size;
	return 0;
}

static int collect(struct server *server, const struct clone *clone, unsigned int disk,
		   struct layers *layers)
{
	const struct disk_plan *plan = server->disks.plan;
	bool is_given = clone->given_disks >> disk & 1;
	int data = fd_of_disk(plan->count, disk, DISK_FD_DATA);
	int bitmap = fd_of_disk(plan->count, disk, DISK_FD_BITMAP);
	int rc = is_given ? add_given(clone, disk, plan->count, layers)
			  : add_template(server, disk, layers);

	if (rc == 0 && (clone->overlaid_disks >> disk & 1)) {
		unsigned int before = layers->count;

		rc = add_fetched(layers, "data", clone->pidfd, data);
		if (rc == 0 && layers->count > before && plan->in_folder &&
		    !plan->slots[disk].has_bitmap_inside)
			rc = add_fetched(layers, "bitmap", clone->pidfd, bitmap);
	}
	return rc;
}

/* The reply, with the descriptors beside it. */
static void send_layers(struct server *server, struct conn *conn, struct layers *layers)
{
	const struct export_hold *hold = &conn->hold;
	struct text *text;

	conn_attach(conn, layers->fds, layers->count);
	layers->count = 0;
	text = conn_begin(conn, hold->tag, NO_INDEX);
	text_printf(text,
		    "\"ok\":{\"size\":%" PRIu64 ",\"image_size\":%" PRIu64 ",\"descriptors\":[",
		    layers->source.size, layers->source.image_size);
	for (unsigned int i = 0; i < conn->send_fd_count; i++)
		text_printf(text, "%s\"%s\"", i ? "," : "", layers->kinds[i]);
	text_printf(text, "]}}\n");
	conn_finish(server, conn);
}

static int cannot_collect(int code, uint64_t id, struct error *error)
{
	if (code == EACCES)
		return error_set(error, code,
				 "the server may not read a file of clone %" PRIu64
				 "'s: give it one that is open for reading only",
				 id);
	if (code == EPERM)
		return error_set(error, code,
				 "the host does not let the server have clone %" PRIu64
				 "'s descriptors (kernel.yama.ptrace_scope above 1?)",
				 id);
	if (code == EUCLEAN)
		return error_set(error, code, "clone %" PRIu64 " has no overlay where it should",
				 id);
	return error_set_errno(error, code, "the descriptors of clone %" PRIu64, id);
}

/* It stands still: tell the client, and give it its time. */
static void on_stopped(struct server *server, struct conn *conn)
{
	struct export_hold *hold = &conn->hold;
	struct layers layers = {.count = 0};
	struct error error;
	int rc = collect(server, hold->clone, hold->disk, &layers);

	if (rc < 0) {
		layers_close(&layers);
		cannot_collect(-rc, hold->clone_id, &error);
		refuse(server, conn, hold->tag, &error);
		let_go(server, conn, EXPORT_NONE);
		return;
	}
	hold->state = EXPORT_HELD;
	timers_arm(&server->timers, &hold->timer, server->now_ns + hold->limit_ns);
	send_layers(server, conn, &layers);
}

static void look(struct server *server, struct conn *conn)
{
	struct export_hold *hold = &conn->hold;
	struct error error;

	if (sys_pidfd_is_stopped(hold->clone->pidfd)) {
		on_stopped(server, conn);
		return;
	}
	if (server->now_ns < hold->stop_by_ns) {
		timers_arm(&server->timers, &hold->timer, server->now_ns + LOOK_NS);
		return;
	}
	error_set(&error, ETIMEDOUT, "clone %" PRIu64 " did not stop within %llu s", hold->clone_id,
		  STOP_LIMIT_NS / NS_PER_SEC);
	refuse(server, conn, hold->tag, &error);
	let_go(server, conn, EXPORT_NONE);
}

static void on_timer(struct server *server, struct timer *timer)
{
	struct conn *conn = list_entry(timer, struct conn, hold.timer);

	if (conn->hold.state == EXPORT_STOPPING) {
		look(server, conn);
		return;
	}
	log_info("clone %" PRIu64 " goes on: process %d has not released it in time",
		 conn->hold.clone_id, conn->pid);
	let_go(server, conn, EXPORT_EXPIRED);
}

static int no_clone(uint64_t id, struct error *error)
{
	return error_set(error, ESRCH, "there is no live clone %" PRIu64, id);
}

/* May that disk of that clone be exported now, by this connection? */
static int check(const struct server *server, const struct conn *conn, const struct clone *clone,
		 const struct request *request, struct error *error)
{
	const struct serve_disks *disks = &server->options->disks;
	unsigned int disk = (unsigned int)request->disk;

	/* A spare is nobody's yet. */
	if (!clone || clone->was_killed || clone->state != CLONE_SERVING)
		return no_clone(request->id, error);
	/* What is on a clone's disk is the business of who had it made, and of who has the server.
	 */
	if (conn->uid && conn->uid != server->uid && conn->uid != clone->uid)
		return error_set(error, EACCES, "clone %" PRIu64 " is another user's", request->id);
	if (request->timeout_ms > LIMIT_MAX_MS)
		return error_set(error, ERANGE, "a clone is stopped for at most %u ms",
				 LIMIT_MAX_MS);
	if (conn->hold.state == EXPORT_STOPPING || conn->hold.state == EXPORT_HELD ||
	    conn->send_fd_count)
		return error_set(error, EBUSY,
				 "this connection has an export under way: release that first");
	if (disk >= disks->count)
		return error_set(error, EINVAL, "there is no disk %u: the guest has %u", disk,
				 disks->count);
	if (clone->written_disks >> disk & 1)
		return error_set(error, EINVAL,
				 "disk %u is a file that clone %" PRIu64
				 " writes to itself: there is nothing to export",
				 disk, request->id);
	if (disks->disk[disk].is_empty && !(clone->given_disks >> disk & 1))
		return error_set(error, EINVAL, "disk slot %u of clone %" PRIu64 " is empty", disk,
				 request->id);
	return 0;
}

void export_start(struct server *server, struct conn *conn, const struct request *request)
{
	struct clone *clone = clones_find(&server->clones, request->id);
	uint64_t limit_ms = request->timeout_ms ? request->timeout_ms : LIMIT_DEFAULT_MS;
	struct export_hold *hold = &conn->hold;
	struct error error;
	int rc = check(server, conn, clone, request, &error);

	if (rc == 0 && sys_pidfd_signal(clone->pidfd, SIGSTOP) < 0)
		rc = no_clone(request->id, &error);
	if (rc < 0) {
		refuse(server, conn, request->tag, &error);
		return;
	}
	clone->holders++;
	hold->state = EXPORT_STOPPING;
	hold->clone = clone;
	hold->clone_id = request->id;
	hold->disk = (unsigned int)request->disk;
	hold->limit_ns = limit_ms * NS_PER_MS;
	hold->stop_by_ns = server->now_ns + STOP_LIMIT_NS;
	memcpy(hold->tag, request->tag, sizeof(hold->tag));
	look(server, conn);
}

void export_release(struct server *server, struct conn *conn, const struct request *request)
{
	struct export_hold *hold = &conn->hold;
	bool ended = !hold->clone;
	struct text *text;
	struct error error;

	if (hold->state == EXPORT_EXPIRED && hold->clone_id == request->id) {
		hold->state = EXPORT_NONE;
		error_set(&error, ETIMEDOUT,
			  "clone %" PRIu64
			  " went on before it was released: its time was up, and what "
			  "was read of its disk may be neither old nor new",
			  request->id);
		refuse(server, conn, request->tag, &error);
		return;
	}
	if (hold->state != EXPORT_HELD || hold->clone_id != request->id) {
		error_set(&error, EINVAL, "this connection holds no clone %" PRIu64, request->id);
		refuse(server, conn, request->tag, &error);
		return;
	}
	let_go(server, conn, EXPORT_NONE);
	text = conn_begin(conn, request->tag, NO_INDEX);
	text_printf(text, "\"ok\":{\"ended\":%s}}\n", ended ? "true" : "false");
	conn_finish(server, conn);
}

void export_drop(struct server *server, struct conn *conn)
{
	let_go(server, conn, EXPORT_NONE);
}

void export_on_clone_end(struct server *server, struct clone *clone)
{
	struct list *head = &server->conns.all;
	struct list *next;
	struct error error;

	if (!clone->holders)
		return;
	error_set(&error, ESRCH, "clone %" PRIu64 " ended before its disk could be exported",
		  clone->id);
	for (struct list *link = head->next; link != head; link = next) {
		struct conn *conn = list_entry(link, struct conn, link);

		next = link->next; /* one that has left too much unread is closed here */
		if (conn->hold.clone != clone)
			continue;
		/* Who holds it may read on: nothing changes any more, and its release will do. */
		conn->hold.clone = NULL;
		if (conn->hold.state != EXPORT_STOPPING)
			continue;
		let_go(server, conn, EXPORT_NONE);
		refuse(server, conn, conn->hold.tag, &error);
	}
	clone->holders = 0;
}

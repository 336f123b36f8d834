/* SPDX-License-Identifier: MIT */
/*
 * Making a clone: from the request to the fork, and the server's book-keeping after it.
 *
 * Theory of operation. The client waits for the child, so the fork comes as early as it can and
 * everything that can be done after it is. Two things are arranged so that a clone costs the same
 * whether 0 or 5000 others live:
 *   - the child starts on the server's own table of descriptors (CLONE_FILES) and drops all that is
 *     at FD_HIGH or above, the others' pidfds and all connections, without ever having copied it;
 *   - the records lie in memory that is not forked.
 * Sharing the table has a price: until the child has its own, the server must not close what the
 * child needs. Such descriptors are on loan; kcmp tells when that is over.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forkserver/base/fork.h"
#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/base/sys.h"
#include "forkserver/child/child_run.h"
#include "forkserver/server/batch.h"
#include "forkserver/server/clone.h"
#include "forkserver/server/pool.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

void gift_close(struct gift *gift)
{
	fd_close(&gift->answer_fd);
	fd_close(&gift->console_fd);
	for (unsigned int i = 0; i < MACHINE_DISKS_MAX; i++)
		fd_close(&gift->disk_fds[i]);
}

static int get_int_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value = 0;
	int rc = sys_getsockopt(fd, SOL_SOCKET, option, &value, &len);

	return rc < 0 ? rc : value;
}

int clone_take_gift(struct conn *conn, const struct request *request, struct gift *gift,
		    struct error *error)
{
	bool missing = false;

	if (request->answer)
		gift->answer_fd = conn_take_fd(conn);
	if (request->console)
		gift->console_fd = conn_take_fd(conn);
	for (unsigned int i = 0; i < request->disk_count; i++) {
		int *fd = &gift->disk_fds[request->disks[i].slot];

		*fd = conn_take_fd(conn);
		missing |= *fd < 0;
	}
	if (missing || (request->answer && gift->answer_fd < 0) ||
	    (request->console && gift->console_fd < 0))
		return error_set(error, EBADF,
				 "the request announces descriptors that did not come: send them "
				 "in one message with its line (SCM_RIGHTS)");
	/* Only packets keep requests apart, and only a connection tells of the client's leaving. */
	if (request->answer && (request->session || request->count) &&
	    (get_int_option(gift->answer_fd, SO_TYPE) != SOCK_SEQPACKET ||
	     get_int_option(gift->answer_fd, SO_DOMAIN) != AF_UNIX))
		return error_set(error, EINVAL,
				 "the answer descriptor of a %s must be a Unix socket of type "
				 "SOCK_SEQPACKET",
				 request->session ? "session" : "batch");
	return 0;
}

int clone_check(const struct server *server, size_t request_len, struct error *error)
{
	if (server->stopping)
		return error_set(error, ESHUTDOWN, "the server is stopping");
	if (!server->serving)
		return error_set(error, EINPROGRESS,
				 "the template is still booting: clones can be had when it is "
				 "frozen, which \"freeze\" does at once");
	if (request_len && !server->request_capacity)
		return error_set(error, EMSGSIZE,
				 "this guest takes no requests: it was frozen before it said where "
				 "it wants them");
	if (request_len > server->request_capacity)
		return error_set(error, EMSGSIZE,
				 "the request has %zu bytes where this guest takes at most %zu",
				 request_len, server->request_capacity);
	return 0;
}

/* May one more be made, at the cost of a spare if need be? */
static int check_room(struct server *server, const struct request *request, struct error *error)
{
	const struct clones *clones = &server->clones;

	if (request->spare == REQUEST_SPARE_ONLY)
		return pool_refuse(server, request, error);
	if (clones->live_count >= clones->capacity)
		return error_set(error, EAGAIN,
				 "%u clones are alive, which is the limit (--max-clones): wait for "
				 "some to end",
				 clones->capacity);
	pool_make_room(server);
	return 0;
}

static struct clone *take_record(struct clones *clones)
{
	struct clone *clone;

	if (!list_empty(&clones->unused)) {
		clone = list_entry(clones->unused.next, struct clone, link);
		list_remove(&clone->link);
		return clone;
	}
	assert(clones->used < clones->record_count);
	clone = &clones->records[clones->used];
	clone->place = clones->used++;
	return clone;
}

/* Are all that the child needs in the part of the table that it copies? */
static bool all_low(const struct launch *launch)
{
	bool low = launch->answer_fd < FD_HIGH && launch->console_fd < FD_HIGH &&
		   launch->claim_fd < FD_HIGH;

	for (unsigned int i = 0; i < MACHINE_DISKS_MAX; i++)
		low &= launch->given[i].fd < FD_HIGH;
	return low;
}

static pid_t fork_child(const struct server *server, const struct launch *launch, const void *body,
			size_t body_len, int *ret_pidfd)
{
	/* Its copies are all that the clone has of these: it knows nothing of *server. */
	const struct cradle_child child = {
		.run = child_run,
		.argument = launch,
		.len = sizeof(*launch),
		.more = body,
		.more_len = body_len,
	};
	unsigned int flags = 0;
	pid_t pid;

	if (launch->share_files)
		flags |= FORK_SHARE_FILES;
	/* With further threads the handler that interrupts vCPUs must stay. */
	if (!machine_extra_threads(server->machine))
		flags |= FORK_DEFAULT_SIGNALS;
	pid = fork_process(flags, &child, ret_pidfd);
	/* Without a request there is nothing to hide, and the page need not be copied for it. */
	if (body_len)
		cradle_wipe();
	return pid;
}

static uint64_t timeout_ms(const struct server *server, const struct request *request)
{
	uint64_t limit = server->options->clone_timeout_ms;

	if (!request->has_timeout || !request->timeout_ms)
		return limit;
	return limit && limit < request->timeout_ms ? limit : request->timeout_ms;
}

static void on_timeout(struct server *server, struct timer *timer)
{
	(void)server;
	clone_kill(list_entry(timer, struct clone, timer), FORKVM_END_TIMEOUT, "its time was up");
}

static int cannot_fork(int code, struct error *error)
{
	switch (code) {
	case EAGAIN:
		return error_set(error, code,
				 "the host allows no more processes (limits of user, cgroup or "
				 "kernel.pid_max)");
	case ENOMEM:
		return error_set(error, code, "the host has no memory for another clone");
	case EMFILE:
	case ENFILE:
		return error_set(error, code,
				 "no more descriptors are left for another clone: raise the limit "
				 "on open files (ulimit -n)");
	default:
		return error_set_errno(error, code, "clone3");
	}
}

/* Which disks have an overlay in every clone. */
static unsigned int overlaid_disks(const struct disk_plan *plan)
{
	unsigned int bits = 0;

	for (unsigned int i = 0; plan && i < plan->count; i++)
		bits |= (unsigned int)plan->slots[i].has_overlay << i;
	return bits;
}

/* A record that is as new. */
static void enter_record(struct server *server, struct clone *clone)
{
	clone->watch.kind = WATCH_CLONE;
	clone->state = CLONE_SERVING;
	clone->spare = (struct spare){.fd = -1};
	clone->detached = false;
	clone->session = false;
	clone->was_killed = false;
	clone->has_report = false;
	clone->unwatched = false;
	clone->holders = 0;
	clone->rings = 0;
	clone->given_disks = 0;
	clone->written_disks = 0;
	clone->overlaid_disks = overlaid_disks(server->disks.plan);
	clone->received_ns = server->now_ns;
	clone->tag[0] = '\0';
	clone->owner = NULL;
	clone->batch = NULL;
	clone->index = NO_INDEX;
	clone->timer = (struct timer){.expire = on_timeout};
	for (unsigned int i = 0; i < CLONE_GIVEN_MAX; i++)
		clone->loaned_fds[i] = -1;
	list_append(&server->clones.live, &clone->link);
	clones_enter(&server->clones, clone);
	list_init(&clone->loan_link);
	list_init(&clone->owner_link);
	list_init(&clone->spare.link);
	histogram_add(&server->metrics.fork_ns, clone->forked_ns - clone->fork_ns);
}

int clone_fork(struct server *server, struct launch *launch, const void *body, size_t body_len,
	       struct clone **ret, struct error *error)
{
	struct clones *clones = &server->clones;
	struct clone *clone = take_record(clones);
	int pidfd = -1;

	*ret = clone;
	clone->id = ++clones->last_id;
	launch->machine = server->machine;
	launch->server_pid = server->pid;
	launch->clone_id = clone->id;
	launch->place = clone->place;
	launch->request_len = body_len;
	launch->share_files = clones->can_loan && all_low(launch);
	launch->disks = server->disks.plan;
	launch->cpus = server->cpus;
	clone->learns = learning_wants(&server->learning);
	if (clone->learns)
		server->learning.asked++;
	launch->learns = clone->learns;
	launch->keep = server->options->keep_clones;
	launch->sleep_after_ms = server->options->sleep_after_ms;
	clone->fork_ns = now_ns();
	clone->pid = fork_child(server, launch, body, body_len, &pidfd);
	clone->forked_ns = now_ns();
	clone->pidfd = pidfd;
	if (clone->pid < 0) {
		list_append(&clones->unused, &clone->link);
		return cannot_fork(-clone->pid, error);
	}
	enter_record(server, clone);
	return 0;
}

/* Move the pidfd out of what clones copy, and have its readability reported. */
static int adopt_pidfd(struct server *server, struct clone *clone)
{
	int moved = sys_dup_above(clone->pidfd, FD_HIGH);

	if (moved >= 0) {
		close(clone->pidfd);
		clone->pidfd = moved;
	}
	return watch_add(server->epoll_fd, clone->pidfd, &clone->watch, EPOLLIN);
}

void clone_watch(struct server *server, struct clone *clone)
{
	int rc = adopt_pidfd(server, clone);

	clones_start_tick(server);
	log_debug("clone %lu is process %d", clone->id, clone->pid);
	if (rc == 0)
		return;
	clone->unwatched = true;
	server->clones.unwatched_count++;
	log_error("cannot supervise clone %lu: %s", clone->id, strerror(-rc));
	clone_kill(clone, FORKVM_END_HOST_ERROR, "the server could not supervise it");
}

void clone_begin(struct server *server, struct conn *conn, struct clone *clone,
		 const struct request *request)
{
	struct clones *clones = &server->clones;
	uint64_t timeout = timeout_ms(server, request);

	clone->detached = request->detach;
	clone->session = request->session;
	clone->uid = conn ? conn->uid : server->uid;
	clone->received_ns = server->now_ns;
	memcpy(clone->tag, request->tag, sizeof(clone->tag));
	clone->index = request->batch ? request->index : NO_INDEX;
	if (conn && !request->detach) {
		clone->owner = conn;
		clone->batch = request->batch;
		if (clone->batch)
			batch_on_begin(clone->batch);
		list_append(&conn->clones, &clone->owner_link);
	}
	clone->timer.expire = on_timeout;
	if (timeout)
		timers_arm(&server->timers, &clone->timer, now_ns() + timeout * NS_PER_MS);
	else
		timers_disarm(&server->timers, &clone->timer);
	if (++clones->live_count > server->metrics.clones_peak)
		server->metrics.clones_peak = clones->live_count;
	server->metrics.clones_started++;
}

void clone_lend(struct server *server, struct clone *clone, struct gift *gift)
{
	assert(list_empty(&clone->loan_link));
	clone->loaned_fds[0] = fd_steal(&gift->answer_fd);
	clone->loaned_fds[1] = fd_steal(&gift->console_fd);
	for (unsigned int i = 0; i < MACHINE_DISKS_MAX; i++)
		clone->loaned_fds[2 + i] = fd_steal(&gift->disk_fds[i]);
	list_append(&server->clones.on_loan, &clone->loan_link);
}

void clone_tell_started(struct server *server, struct conn *conn, const struct clone *clone)
{
	struct text *text = conn_begin(conn, clone->tag, clone->index);

	text_printf(text, "\"started\":{\"id\":%lu,\"pid\":%d}}\n", clone->id, clone->pid);
	conn_finish(server, conn);
}

/* The files that the client gave for empty slots. */
static void launch_disks(struct launch *launch, const struct request *request,
			 const struct gift *gift)
{
	for (unsigned int i = 0; i < MACHINE_DISKS_MAX; i++)
		launch->given[i].fd = gift->disk_fds[i];
	for (unsigned int i = 0; i < request->disk_count; i++)
		launch->given[request->disks[i].slot].mode =
			server_disks_given_mode(request->disks[i].mode);
}

static void note_disks(struct clone *clone, const struct request *request)
{
	for (unsigned int i = 0; i < request->disk_count; i++) {
		const struct request_disk *disk = &request->disks[i];
		unsigned int bit = 1u << disk->slot;

		clone->given_disks |= bit;
		if (disk->mode == REQUEST_DISK_WRITE)
			clone->written_disks |= bit;
		if (disk->mode == REQUEST_DISK_OVERLAY)
			clone->overlaid_disks |= bit;
	}
}

/* A clone that is made for the request. */
static int start(struct server *server, struct conn *conn, const struct request *request,
		 struct gift *gift, struct error *error)
{
	struct launch launch = {
		.answer_fd = gift->answer_fd,
		.console_fd = gift->console_fd,
		.claim_fd = -1,
		.session = request->session,
		.framed = request->batch != NULL,
		.index = request->index,
	};
	struct clone *clone = NULL;
	int rc;

	launch_disks(&launch, request, gift);
	rc = clone_fork(server, &launch, request->body, request->body_len, &clone, error);
	if (rc < 0)
		return rc;
	note_disks(clone, request);
	clone_begin(server, conn, clone, request);
	/* They are the child's now; here they are closed at once, or when it has copied them. */
	if (launch.share_files)
		clone_lend(server, clone, gift);
	clone_watch(server, clone);
	if (conn && (request->detach || request->progress))
		clone_tell_started(server, conn, clone);
	return 0;
}

int clone_start_with(struct server *server, struct conn *conn, const struct request *request,
		     struct gift *gift, struct error *error)
{
	int rc = 0;

	if (request->spare != REQUEST_SPARE_NEVER && pool_claim(server, conn, request, gift))
		return 0;
	if (request->spare == REQUEST_SPARE_WAIT)
		rc = pool_wait(server, conn, request, gift, error);
	else
		rc = check_room(server, request, error);
	if (rc == 0 && request->spare != REQUEST_SPARE_WAIT)
		rc = start(server, conn, request, gift, error);
	gift_close(gift);
	return rc;
}

int clone_start(struct server *server, struct conn *conn, const struct request *request,
		struct error *error)
{
	struct gift gift = NO_GIFT;
	int rc = clone_take_gift(conn, request, &gift, error);

	if (rc == 0)
		rc = clone_check(server, request->body_len, error);
	for (unsigned int i = 0; rc == 0 && i < request->disk_count; i++)
		rc = server_disks_check_given(server, &request->disks[i],
					      gift.disk_fds[request->disks[i].slot], error);
	if (rc == 0)
		rc = clone_start_with(server, conn, request, &gift, error);
	gift_close(&gift);
	if (rc < 0)
		server->metrics.clones_refused++;
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Clients' connections.
 *
 * Theory of operation. Each client has its own buffers of fixed size and gets its turn: a client
 * that sends much has a number of lines worked on in each round and waits for the others; one that
 * does not read its replies is not listened to, and closed when too many are due; one that sends
 * half a line and falls silent is closed after a while. Nothing that one client does makes the
 * server wait.
 */
#include "forkserver/server/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/base/sys.h"
#include "forkserver/proto/fdpass.h"
#include "forkserver/server/batch.h"
#include "forkserver/server/conn_out.h"
#include "forkserver/server/ops.h"
#include "forkserver/server/pool.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"

/* Lines of one client that are worked on in a row. */
#define LINES_A_ROUND 16

/* How long half a line may stay so. */
#define HALF_LINE_NS  (10 * NS_PER_SEC)

static timer_fn on_half_line;

void conns_init(struct conns *conns)
{
	conns->count = 0;
	list_init(&conns->all);
	list_init(&conns->ready);
	list_init(&conns->dirty);
	list_init(&conns->dead);
}

int conn_take_fd(struct conn *conn)
{
	int fd;

	if (!conn->fd_count)
		return -1;
	fd = conn->fds[0];
	conn->fd_count--;
	memmove(conn->fds, conn->fds + 1, conn->fd_count * sizeof(conn->fds[0]));
	return fd;
}

void conn_close(struct server *server, struct conn *conn)
{
	/* A server that stops leaves what it is to leave, whoever waits for it. */
	const bool keep = server->stopping && server->options->keep_clones;

	if (conn->dead)
		return;
	conn->dead = true;
	log_debug("connection of process %d closed", conn->pid);
	export_drop(server, conn);
	pool_drop_waiting(server, conn);
	conn_drop_attached(conn);
	batch_drop_all(conn);
	while (!list_empty(&conn->clones))
		clone_orphan(list_entry(conn->clones.next, struct clone, owner_link), keep);
	while (conn->fd_count) {
		int fd = conn_take_fd(conn);

		fd_close(&fd);
	}
	timers_disarm(&server->timers, &conn->timer);
	watch_remove(server->epoll_fd, conn->fd);
	fd_close(&conn->fd);
	list_remove(&conn->ready_link);
	list_remove(&conn->dirty_link);
	list_remove(&conn->link);
	list_append(&server->conns.dead, &conn->link);
	server->conns.count--;
}

void conn_init_buffers(struct conn *conn)
{
	conn->timer.expire = on_half_line;
	export_init(&conn->hold);
	line_buffer_init(&conn->in, conn->in_data, sizeof(conn->in_data));
	text_init(&conn->out, conn->out_data, sizeof(conn->out_data));
}

void conn_make_ready(struct server *server, struct conn *conn)
{
	if (!conn->dead && list_empty(&conn->ready_link))
		list_append(&server->conns.ready, &conn->ready_link);
}

void conn_fail(struct server *server, struct conn *conn, const char *tag, const struct error *error)
{
	log_debug("connection of process %d: %s", conn->pid, error->text);
	conn_send_error(server, conn, tag, error);
	conn_flush(server, conn);
	conn_close(server, conn);
}

static void on_half_line(struct server *server, struct timer *timer)
{
	struct conn *conn = list_entry(timer, struct conn, timer);
	struct error error;

	server->metrics.requests_refused++;
	error_set(&error, ETIMEDOUT,
		  "half a line came, and not the rest of it for %llu s: the connection is closed",
		  HALF_LINE_NS / NS_PER_SEC);
	conn_fail(server, conn, "", &error);
}

/* Is there half a line, of which the rest is waited for? Then it is from its beginning on. */
static void watch_half_line(struct server *server, struct conn *conn)
{
	bool half = line_buffer_pending(&conn->in) && !conn_is_blocked(conn);

	if (!half)
		timers_disarm(&server->timers, &conn->timer);
	else if (!conn->timer.place)
		timers_arm(&server->timers, &conn->timer, server->now_ns + HALF_LINE_NS);
}

static void drop_announced(struct conn *conn, const struct request *request)
{
	for (unsigned int i = request->descriptors; i > 0; i--) {
		int fd = conn_take_fd(conn);

		fd_close(&fd);
	}
}

static void work_on_line(struct server *server, struct conn *conn, const char *line, size_t len)
{
	struct request *request = &server->conns.request;
	struct error error;
	int rc = request_parse(line, len, request, &error);

	request->uid = conn->uid;
	private_json_reset();
	server->metrics.requests++;
	if (rc == -EBADMSG) {
		server->metrics.requests_refused++;
		/* Which descriptors belong to it cannot be told, so those that follow cannot be. */
		conn_fail(server, conn, "", &error);
	} else if (rc < 0) {
		server->metrics.requests_refused++;
		drop_announced(conn, request);
		conn_send_error(server, conn, request->tag, &error);
	} else {
		ops_execute(server, conn, request);
	}
	explicit_bzero(request->body, request->body_len);
}

/* Work on some of the lines that are there. */
static void work_on_lines(struct server *server, struct conn *conn)
{
	unsigned int lines = 0;
	char *line;
	size_t len;

	while (!conn->dead && !conn_is_blocked(conn) && lines < LINES_A_ROUND &&
	       line_buffer_next(&conn->in, &line, &len)) {
		work_on_line(server, conn, line, len);
		lines++;
		/* Replies of one round go out together; but a blocked client must be noticed. */
		if (conn_unsent(conn) > CONN_OUT_SIZE / 8)
			conn_flush(server, conn);
	}
	/* What is left is the beginning of another one. */
	if (lines && !conn->dead)
		timers_disarm(&server->timers, &conn->timer);
}

/* One turn: some lines, some clones of batches, and what is to be said of half a line. */
static void work(struct server *server, struct conn *conn)
{
	bool more;

	list_remove(&conn->ready_link);
	work_on_lines(server, conn);
	more = !conn->dead && !conn_is_blocked(conn) && batch_work(server, conn);
	if (conn->dead)
		return;
	/* A blocked one goes on when epoll says that it has read something. */
	if (!conn_is_blocked(conn) && (more || line_buffer_has_line(&conn->in)))
		conn_make_ready(server, conn);
	if (line_buffer_has_line(&conn->in))
		return;
	if (line_buffer_pending(&conn->in) == conn->in.capacity) {
		struct error error;

		server->metrics.requests_refused++;
		error_set(&error, EMSGSIZE, "a line has at most %d bytes, its newline included",
			  FORKVM_PROTOCOL_MAX_LINE);
		conn_fail(server, conn, "", &error);
		return;
	}
	if (conn->at_end) {
		conn_flush(server, conn);
		conn_close(server, conn);
		return;
	}
	watch_half_line(server, conn);
}

void conns_work(struct server *server)
{
	struct list round;

	if (list_empty(&server->conns.ready))
		return;
	/* Take the whole list: who is put on it in this round waits for the next. */
	round = server->conns.ready;
	round.next->prev = &round;
	round.prev->next = &round;
	list_init(&server->conns.ready);
	while (!list_empty(&round)) {
		struct conn *conn = list_entry(round.next, struct conn, ready_link);

		work(server, conn);
		if (list_empty(&conn->dirty_link))
			conn_update_interest(server, conn);
	}
}

static int take_descriptors(struct conn *conn, struct msghdr *message, struct error *error)
{
	size_t room = FORKVM_PROTOCOL_MAX_DESCRIPTORS - conn->fd_count;
	size_t count;
	int rc = fdpass_take(message, conn->fds + conn->fd_count, room, &count);

	conn->fd_count += (unsigned int)count;
	if (rc < 0)
		return error_set(error, EMFILE,
				 "descriptors were lost: at most %d may wait unclaimed, or the "
				 "server has no more left",
				 FORKVM_PROTOCOL_MAX_DESCRIPTORS);
	return 0;
}

/* Take what the client sent, bytes and descriptors. */
static void receive(struct server *server, struct conn *conn)
{
	union fdpass_control control;
	struct iovec iov;
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	struct error error;
	ssize_t len;

	iov.iov_base = line_buffer_space(&conn->in, &iov.iov_len);
	if (!iov.iov_len)
		return;
	fdpass_prepare(&message, &control);
	len = sys_recvmsg(conn->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len == -EAGAIN || len == -EINTR)
		return;
	if (len < 0) {
		conn_close(server, conn);
		return;
	}
	conn->at_end = len == 0;
	line_buffer_received(&conn->in, (size_t)len);
	if (take_descriptors(conn, &message, &error) < 0)
		conn_fail(server, conn, "", &error);
}

void conn_on_events(struct server *server, struct conn *conn, uint32_t events)
{
	if (conn->dead)
		return;
	/* The list is ordered by activity: who was quiet longest is evicted first. */
	list_remove(&conn->link);
	list_append(&server->conns.all, &conn->link);
	if (events & EPOLLOUT)
		conn_flush(server, conn);
	if (!conn->dead && events & EPOLLIN)
		receive(server, conn);
	else if (!conn->dead && events & (EPOLLHUP | EPOLLERR))
		conn_close(server, conn);
	if (conn->dead)
		return;
	work(server, conn);
	/* With output due this is done when that is sent, at the end of the round. */
	if (!conn->dead && list_empty(&conn->dirty_link))
		conn_update_interest(server, conn);
}

void conns_settle(struct server *server)
{
	struct conns *conns = &server->conns;

	while (!list_empty(&conns->dirty)) {
		struct conn *conn = list_entry(conns->dirty.next, struct conn, dirty_link);

		list_remove(&conn->dirty_link);
		conn_flush(server, conn);
	}
	while (!list_empty(&conns->dead)) {
		struct conn *conn = list_entry(conns->dead.next, struct conn, link);

		list_remove(&conn->link);
		private_unmap(conn, sizeof(*conn));
	}
}

void conns_done(struct server *server)
{
	conns_settle(server);
	while (!list_empty(&server->conns.all))
		conn_close(server, list_entry(server->conns.all.next, struct conn, link));
	conns_settle(server);
}

/* SPDX-License-Identifier: MIT */
/* What goes out to a client: see conn_out.h. */
#include "forkserver/server/conn_out.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "forkserver/base/log.h"
#include "forkserver/base/sys.h"
#include "forkserver/proto/fdpass.h"
#include "forkserver/server/conn.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"

size_t conn_unsent(const struct conn *conn)
{
	return conn->out.len - conn->sent;
}

/* Make room by forgetting what was sent, when that is all or most of it. */
static void forget_sent(struct conn *conn)
{
	if (!conn->sent || conn->sent < conn->out.len / 2)
		return;
	memmove(conn->out.data, conn->out.data + conn->sent, conn_unsent(conn));
	conn->out.len -= conn->sent;
	conn->send_at -= conn->sent;
	conn->sent = 0;
}

struct text *conn_begin(struct conn *conn, const char *tag, int64_t index)
{
	struct text *text = &conn->out;

	forget_sent(conn);
	text_append(text, "{", 1);
	if (tag[0])
		text_printf(text, "\"tag\":%s,", tag);
	if (index != NO_INDEX)
		text_printf(text, "\"index\":%" PRId64 ",", index);
	return text;
}

void conn_attach(struct conn *conn, const int *fds, unsigned int count)
{
	assert(!conn->send_fd_count && count <= CONN_SEND_FDS);
	forget_sent(conn);
	memcpy(conn->send_fds, fds, count * sizeof(fds[0]));
	conn->send_fd_count = count;
	conn->send_at = conn->out.len;
}

void conn_finish(struct server *server, struct conn *conn)
{
	if (conn->dead)
		return;
	if (conn->out.overflow) {
		log_warning(
			"process %d leaves more than %u bytes of replies unread: its connection "
			"is closed",
			conn->pid, CONN_OUT_SIZE);
		conn_close(server, conn);
		return;
	}
	if (list_empty(&conn->dirty_link))
		list_append(&server->conns.dirty, &conn->dirty_link);
}

static void send_error(struct server *server, struct conn *conn, const char *tag, int64_t index,
		       const struct error *error)
{
	struct text *text = conn_begin(conn, tag, index);
	const char *name = strerrorname_np(error->code);

	text_printf(text, "\"error\":{\"code\":\"%s\",\"message\":", name ? name : "EIO");
	text_json_string(text, error->text, strlen(error->text));
	text_append(text, "}}\n", 3);
	conn_finish(server, conn);
}

void conn_send_error(struct server *server, struct conn *conn, const char *tag,
		     const struct error *error)
{
	send_error(server, conn, tag, NO_INDEX, error);
}

void conn_send_refusal(struct server *server, struct conn *conn, const struct request *request,
		       const struct error *error)
{
	send_error(server, conn, request->tag, request->batch ? request->index : NO_INDEX, error);
}

void conn_drop_attached(struct conn *conn)
{
	for (unsigned int i = 0; i < conn->send_fd_count; i++)
		fd_close(&conn->send_fds[i]);
	conn->send_fd_count = 0;
}

bool conn_is_blocked(const struct conn *conn)
{
	return conn->interest & EPOLLOUT;
}

void conn_update_interest(struct server *server, struct conn *conn)
{
	/* Who does not read is not listened to: its requests would only make more replies. */
	bool full = line_buffer_pending(&conn->in) == conn->in.capacity;
	uint32_t wanted = conn_unsent(conn) ? EPOLLOUT : full || conn->at_end ? 0 : EPOLLIN;
	struct epoll_event event = {.events = wanted, .data.ptr = conn};

	if (conn->dead || wanted == conn->interest)
		return;
	if (sys_epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event) == 0)
		conn->interest = wanted;
}

/* Send from where descriptors go along. As sendmsg. */
static ssize_t send_attached(struct conn *conn)
{
	union fdpass_control control;
	struct iovec iov = {.iov_base = conn->out.data + conn->sent, .iov_len = conn_unsent(conn)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	fdpass_attach(&message, &control, conn->send_fds, conn->send_fd_count);
	sent = sys_sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent > 0)
		conn_drop_attached(conn);
	return sent;
}

/* Once. How much the socket took, or -errno. */
static ssize_t send_some(struct conn *conn)
{
	size_t len = conn_unsent(conn);
	ssize_t sent;

	if (conn->send_fd_count && conn->sent == conn->send_at)
		return send_attached(conn);
	if (conn->send_fd_count)
		len = conn->send_at - conn->sent;
	sent = send(conn->fd, conn->out.data + conn->sent, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return sent < 0 ? -errno : sent;
}

void conn_flush(struct server *server, struct conn *conn)
{
	bool again = !conn->dead && conn_unsent(conn);
	bool was_blocked = conn_is_blocked(conn);

	while (again) {
		bool up_to_attached = conn->send_fd_count && conn->sent < conn->send_at;
		ssize_t sent = send_some(conn);

		if (sent < 0 && sent != -EAGAIN && sent != -EINTR) {
			conn_close(server, conn);
			return;
		}
		if (sent > 0)
			conn->sent += (size_t)sent;
		again = up_to_attached && sent > 0;
	}
	if (conn->dead)
		return;
	conn_update_interest(server, conn);
	if (was_blocked && !conn_is_blocked(conn) &&
	    (line_buffer_has_line(&conn->in) || !list_empty(&conn->batches)))
		conn_make_ready(server, conn);
}

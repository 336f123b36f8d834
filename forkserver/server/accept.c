/* SPDX-License-Identifier: MIT */
/*
 * Accepting clients: who they are, how many there may be, and the greeting.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/base/sys.h"
#include "forkserver/server/conn.h"
#include "forkserver/server/server.h"
#include "forkvm_version.h"
#include "vmm/base/cleanup.h"

/* Clients that are accepted in a row before others get their turn. */
#define ACCEPTS_A_ROUND 16

static bool is_allowed(const struct server *server, uid_t uid)
{
	const struct serve_options *options = server->options;

	if (uid == 0 || uid == server->uid)
		return true;
	for (unsigned int i = 0; i < options->allowed_uid_count; i++) {
		if (options->allowed_uids[i] == uid)
			return true;
	}
	return false;
}

/* A client that gets no connection is told so, if its socket takes it, and that is all. */
static void turn_away(struct server *server, int fd, const char *code, const char *message)
{
	char line[256];
	int len = snprintf(line, sizeof(line), "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n",
			   code, message);

	server->metrics.connections_refused++;
	(void)!send(fd, line, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Close the connection that was quiet longest, of those that no clone depends on. */
static bool evict_one(struct server *server)
{
	struct list *head = &server->conns.all;

	for (struct list *link = head->next; link != head; link = link->next) {
		struct conn *conn = list_entry(link, struct conn, link);
		struct error error;

		if (!list_empty(&conn->clones) || !list_empty(&conn->batches))
			continue;
		server->metrics.connections_evicted++;
		error_set(&error, EBUSY, "this connection was idle and made room for another one");
		conn_fail(server, conn, "", &error);
		return true;
	}
	return false;
}

static void greet(struct server *server, struct conn *conn)
{
	struct text *text = conn_begin(conn, "", NO_INDEX);

	text_printf(text, "\"forkvm\":\"%s\",\"protocol\":%d,\"name\":\"%s\",\"pid\":%d,",
		    FORKVM_VERSION, FORKVM_PROTOCOL_VERSION, server->options->name, server->pid);
	text_printf(text, "\"state\":\"%s\",\"max_request\":%zu,\"max_line\":%d}\n",
		    server_state_name(server), server->request_capacity, FORKVM_PROTOCOL_MAX_LINE);
	conn_finish(server, conn);
}

/* Make a connection of an accepted socket, which it owns from then on. -errno. */
static int add(struct server *server, int *fd, const struct ucred *creds)
{
	struct conns *conns = &server->conns;
	struct conn *conn = private_map(sizeof(*conn));
	int moved;
	int rc;

	if (!conn)
		return -ENOMEM;
	/* Clones do not copy descriptors up there. */
	moved = sys_dup_above(*fd, FD_HIGH);
	if (moved >= 0) {
		close(*fd);
		*fd = moved;
	}
	conn->watch.kind = WATCH_CONN;
	conn->interest = EPOLLIN;
	rc = watch_add(server->epoll_fd, *fd, &conn->watch, conn->interest);
	if (rc < 0) {
		private_unmap(conn, sizeof(*conn));
		return rc;
	}
	conn->fd = fd_steal(fd);
	conn->pid = creds->pid;
	conn->uid = creds->uid;
	conn->since_ns = server->now_ns;
	list_init(&conn->ready_link);
	list_init(&conn->dirty_link);
	list_init(&conn->clones);
	list_init(&conn->batches);
	list_append(&conns->all, &conn->link);
	conn_init_buffers(conn);
	if (++conns->count > server->metrics.connections_peak)
		server->metrics.connections_peak = conns->count;
	server->metrics.connections_accepted++;
	greet(server, conn);
	return 0;
}

static void admit(struct server *server, int accepted)
{
	_cleanup_close_ int fd = accepted;
	struct ucred creds = {0};
	socklen_t len = sizeof(creds);
	int rc = sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creds, &len);

	if (rc < 0 || !is_allowed(server, creds.uid)) {
		log_warning("process %d of user %u is not allowed to connect (--allow-uid)",
			    creds.pid, creds.uid);
		turn_away(server, fd, "EACCES", "this user may not use this server");
		return;
	}
	if (server->conns.count >= server->options->max_connections && !evict_one(server)) {
		turn_away(server, fd, "EBUSY",
			  "all connections of this server are in use: try again later");
		return;
	}
	rc = add(server, &fd, &creds);
	if (rc < 0)
		log_warning("cannot take a connection: %s", strerror(-rc));
}

/* No descriptor is left to accept with: make room, or at least tell one client. */
static void on_exhaustion(struct server *server)
{
	int fd;

	if (evict_one(server))
		return;
	log_warning("no descriptors are left for connections: raise the limit on open files");
	fd_close(&server->reserve_fd);
	fd = sys_accept(server->listener.fd);
	if (fd >= 0)
		turn_away(server, fd, "EMFILE", "the server has no descriptors left: try later");
	fd_close(&fd);
	server->reserve_fd = sys_dup_above(STDIN_FILENO, FD_HIGH);
}

void conns_accept(struct server *server)
{
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		int fd = sys_accept(server->listener.fd);

		if (fd == -EMFILE || fd == -ENFILE) {
			on_exhaustion(server);
			return;
		}
		if (fd < 0)
			return;
		admit(server, fd);
	}
}

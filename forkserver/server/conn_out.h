/* SPDX-License-Identifier: MIT */
/*
 * What goes out to a client: lines that wait until its socket takes them, and descriptors with
 * them. Lines are begun and finished by what conn.h declares; this is for conn.c.
 */
#ifndef FORKVM_FORKSERVER_SERVER_CONN_OUT_H
#define FORKVM_FORKSERVER_SERVER_CONN_OUT_H

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct server;

/* Bytes that are due and not sent. */
size_t conn_unsent(const struct conn *conn);

/* Has the client left so much unread that its socket takes no more? */
bool conn_is_blocked(const struct conn *conn);

/* Ask epoll for what this connection is ready to do. */
void conn_update_interest(struct server *server, struct conn *conn);

/*
 * Send what is due, as much as the socket takes; close the connection if it is broken. A client
 * that was blocked by it gets its turn: epoll will not say so when that was sent before anybody
 * asked it.
 */
void conn_flush(struct server *server, struct conn *conn);

/* Close the descriptors that were to go along. */
void conn_drop_attached(struct conn *conn);

#endif

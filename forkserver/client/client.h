/* SPDX-License-Identifier: MIT */
/*
 * The inside of the client library.
 */
#ifndef FORKVM_FORKSERVER_CLIENT_CLIENT_H
#define FORKVM_FORKSERVER_CLIENT_CLIENT_H

#include "forkserver/client/forkvm_client.h"
#include "forkserver/proto/line.h"

struct forkvm_client {
	int fd; /* owned */
	struct forkvm_greeting greeting;
	struct line_buffer in;			  /* its data is owned */
	int fds[FORKVM_PROTOCOL_MAX_DESCRIPTORS]; /* received, not taken yet; owned */
	unsigned int fd_count;
};

/* Send a line, its newline included, with descriptors that stay the caller's. */
int client_send(struct forkvm_client *client, const char *line, size_t len, const int *fds,
		size_t fd_count, struct error *error);

/*
 * The next line, without its newline, valid until the next call: 1; 0 when none came within
 * timeout_ms or a signal came; -errno.
 */
int client_line(struct forkvm_client *client, int timeout_ms, char **ret_line, size_t *ret_len,
		struct error *error);

/* Read the greeting into client->greeting. Errors as forkvm_client_open. */
int client_read_greeting(struct forkvm_client *client, int timeout_ms, struct error *error);

/* forkvm_client_call, with a time limit (-1: none). */
int client_call(struct forkvm_client *client, const char *op, const char *members, int timeout_ms,
		const char **ret_json, struct error *error);

/* "The server's words were not understood". */
int client_not_understood(struct error *error);

/* Read the reply to "freeze". -EPROTO. */
int client_read_frozen(const char *json, struct forkvm_frozen *ret, struct error *error);

#endif

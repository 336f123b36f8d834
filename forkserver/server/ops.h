/* SPDX-License-Identifier: MIT */
/*
 * What each operation of the protocol does.
 */
#ifndef FORKVM_FORKSERVER_SERVER_OPS_H
#define FORKVM_FORKSERVER_SERVER_OPS_H

#include <jansson.h>

#include "forkserver/proto/request.h"
#include "forkserver/server/server.h"

/* Carry the request out and have the connection told. Forks for "clone" (clone.h). */
void ops_execute(struct server *server, struct conn *conn, const struct request *request);

/* The operations that only tell (ops_info.c); each sends its reply. */
void ops_list(struct server *server, struct conn *conn, const struct request *request);
void ops_inspect(struct server *server, struct conn *conn, const struct request *request);
void ops_stats(struct server *server, struct conn *conn, const struct request *request);

/* What they tell of the host's limits (limits_tell.c), and nothing before the freeze. */
json_t *ops_limits(const struct server *server);

/* What they tell of disks (ops_disks.c): of all clones that have ended, the template, a clone. */
json_t *ops_disk_totals(const struct server *server);
json_t *ops_disks_of_template(const struct server *server);
json_t *ops_disks_of_clone(const struct server *server, const struct clone *clone);

#endif

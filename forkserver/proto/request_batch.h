/* SPDX-License-Identifier: MIT */
/*
 * The members of a request for many clones at once: "count", "at_once", "requests" and
 * "requests_b64". For request.c.
 */
#ifndef FORKVM_FORKSERVER_PROTO_REQUEST_BATCH_H
#define FORKVM_FORKSERVER_PROTO_REQUEST_BATCH_H

#include <jansson.h>

#include "forkserver/proto/request.h"

/* Each: 0, or -EINVAL or -EMSGSIZE with words. */
int request_store_count(struct request *request, const json_t *value, struct error *error);
int request_store_at_once(struct request *request, const json_t *value, struct error *error);
int request_store_requests(struct request *request, const json_t *value, struct error *error);
int request_store_requests_b64(struct request *request, const json_t *value, struct error *error);

/* When all members are stored: do they go together? */
int request_check_batch(const struct request *request, const json_t *object, struct error *error);

#endif

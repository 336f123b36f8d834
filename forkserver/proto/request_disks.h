/* SPDX-License-Identifier: MIT */
/*
 * The member "disks" of a request for a clone. For request.c alone.
 */
#ifndef FORKVM_FORKSERVER_PROTO_REQUEST_DISKS_H
#define FORKVM_FORKSERVER_PROTO_REQUEST_DISKS_H

#include <jansson.h>

#include "forkserver/proto/request.h"
#include "vmm/base/error.h"

/* Check the value and store it in request->disks. -EINVAL, in words. */
int request_store_disks(struct request *request, const json_t *value, struct error *error);

#endif

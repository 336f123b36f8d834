/* SPDX-License-Identifier: MIT */
/*
 * The whole of a server's life, for the command line.
 */
#ifndef FORKVM_FORKSERVER_SERVER_SERVE_H
#define FORKVM_FORKSERVER_SERVER_SERVE_H

#include "forkserver/server/options.h"
#include "vmm/base/error.h"

/*
 * Boot a template and serve clones of it until told to stop. Takes the process over: closes
 * descriptors that are not its own, handles SIGTERM and SIGINT, gives up rights. 0 when it was
 * stopped in good order; -errno with words when it could not be started or failed.
 */
int serve(const struct serve_options *options, struct error *error);

#endif

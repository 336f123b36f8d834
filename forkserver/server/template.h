/* SPDX-License-Identifier: MIT */
/*
 * From an image to a frozen machine.
 */
#ifndef FORKVM_FORKSERVER_SERVER_TEMPLATE_H
#define FORKVM_FORKSERVER_SERVER_TEMPLATE_H

#include "forkserver/server/server.h"

/*
 * Boot and freeze the machine that the options describe, on server->host; sets server->machine and
 * what is known of it. *cancel other than 0 gives it up. On failure what was made is for
 * machine_free, in server->machine. Errors: those of machine_new, machine_load, machine_boot and
 * machine_freeze, in words.
 */
int template_boot(struct server *server, const volatile int *cancel, struct error *error);

#endif

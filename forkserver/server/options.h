/* SPDX-License-Identifier: MIT */
/*
 * What a server is told when it starts. Filled in by the command line, only read afterwards.
 */
#ifndef FORKVM_FORKSERVER_SERVER_OPTIONS_H
#define FORKVM_FORKSERVER_SERVER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "forkserver/proto/protocol.h"
#include "vmm/machine/machine.h"

#define SERVE_ALLOWED_UIDS_MAX	    16
#define SERVE_MAX_CONNECTIONS	    1024
#define SERVE_MAX_CONNECTIONS_LIMIT 4096
#define SERVE_MAX_CLONES_LIMIT	    100000

struct serve_options {
	/* the template */
	const char *device; /* NULL: /dev/kvm                        */
	const char *stub;   /* path of the image                     */
	const char *args;   /* boot arguments for the guest, or NULL */
	struct machine_config machine;
	uint64_t boot_timeout_ns; /* 0: none */

	/* the service */
	const char *name;
	char socket[FORKVM_SOCKET_PATH_SIZE];
	uid_t allowed_uids[SERVE_ALLOWED_UIDS_MAX]; /* beside this process's own and root */
	unsigned int allowed_uid_count;
	unsigned int max_connections;
	int ready_fd; /* told when ready, then closed; -1: none */

	/* the clones */
	unsigned int max_clones;   /* 0: what the limit on open files leaves room for     */
	uint64_t clone_timeout_ms; /* default and maximum of a clone's time; 0: unlimited */
	uint64_t clone_memory;	   /* bytes of private memory a clone may have; 0: any    */
	bool keep_clones;	   /* clones outlive the server                           */
	bool anchor;
};

#endif

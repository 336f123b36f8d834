/* SPDX-License-Identifier: MIT */
/*
 * What a server is told when it starts. Filled in by the command line, only read afterwards.
 */
#ifndef FORKVM_FORKSERVER_SERVER_OPTIONS_H
#define FORKVM_FORKSERVER_SERVER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "forkserver/policy/cpu_split.h"
#include "forkserver/policy/pool_policy.h"
#include "forkserver/proto/protocol.h"
#include "forkserver/storage/serve_disks.h"
#include "vmm/machine/machine.h"

#define SERVE_MAX_SPARES	    10000
#define SERVE_RESET_MAX		    1000
#define SERVE_ALLOWED_UIDS_MAX	    16
#define SERVE_MAX_CONNECTIONS	    1024
#define SERVE_MAX_CONNECTIONS_LIMIT 4096
#define SERVE_MAX_CLONES_LIMIT	    100000
#define SERVE_CPU_LATENCY_MAX_US    2000000 /* no idle CPU sleeps as deep as that */

/* Where the serial port of a Linux template leads. */
enum serve_serial_kind {
	SERVE_SERIAL_LOG,   /* the server's log, line by line; no input      */
	SERVE_SERIAL_NONE,  /* nowhere                                       */
	SERVE_SERIAL_STDIO, /* standard input and output of this process     */
	SERVE_SERIAL_FD,    /* an inherited descriptor, as far as it is open */
	SERVE_SERIAL_FILE,  /* a file, which is appended to; no input        */
};

struct serve_serial {
	enum serve_serial_kind kind;
	int fd;		  /* of SERVE_SERIAL_FD   */
	const char *path; /* of SERVE_SERIAL_FILE */
};

/* Whether to make use of a working set. */
enum learning_mode {
	LEARNING_AUTO, /* if it is large enough to pay */
	LEARNING_ON,   /* whatever its size            */
	LEARNING_OFF,
};

/* Which CPUs make spares. */
struct spare_cpus_options {
	enum cpu_split_how how;
	cpu_set_t cpus; /* of CPU_SPLIT_GIVEN */
};

struct serve_options {
	/* the template: a stub or, if that is NULL, a Linux guest */
	const char *device; /* NULL: /dev/kvm                       */
	const char *stub;   /* path of the image                    */
	const char *args;   /* boot arguments for the stub, or NULL */
	struct machine_linux guest;
	struct serve_serial serial;
	struct machine_config machine; /* without its disks */
	struct serve_disks disks;
	uint64_t boot_timeout_ns; /* 0: none                                               */
	uint64_t freeze_after_ns; /* freeze it then, wherever it is; 0: where it says so   */

	/* the service */
	const char *name;
	char socket[FORKVM_SOCKET_PATH_SIZE];
	uid_t allowed_uids[SERVE_ALLOWED_UIDS_MAX]; /* beside this process's own and root */
	unsigned int allowed_uid_count;
	unsigned int max_connections;
	int ready_fd;		/* told when ready, then closed; -1: none */
	int32_t cpu_latency_us; /* asked of idle CPUs under traffic (cpu_latency.h); -1: any */

	/* the clones */
	unsigned int max_clones;   /* 0: what the limit on open files leaves room for     */
	uint64_t clone_timeout_ms; /* default and maximum of a clone's time; 0: unlimited */
	uint64_t clone_memory;	   /* bytes of private memory a clone may have; 0: any    */
	bool keep_clones;	   /* clones outlive the server                           */
	uint32_t sleep_after_ms;   /* sessions without a request for that long; 0: never   */
	struct pool_limits spares; /* at_once is the server's own choice                  */
	struct spare_cpus_options spare_cpus;
	bool reset;	    /* spares that have served are reset                   */
	bool reset_check;   /* and compared with the template                      */
	uint32_t reset_max; /* so many times at most                               */
	bool anchor;
	enum learning_mode working_set;
};

#endif

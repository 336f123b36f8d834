/* SPDX-License-Identifier: MIT */
/*
 * The template's boot as the event loop sees it: when it is over, why, and who waits for that.
 *
 * Theory of operation. The guest runs on threads of its own while the loop serves those who want to
 * know, stop or freeze. What ends the boot (the guest's own mark or end, a client's freeze, a
 * timer) only marks it as over, and the loop is left at the end of its round; boot_finish then
 * stops and freezes the machine, with no client's request half done. So whoever asks for a freeze
 * waits no longer than the freeze takes.
 */
#ifndef FORKVM_FORKSERVER_SERVER_BOOT_H
#define FORKVM_FORKSERVER_SERVER_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/base/timers.h"
#include "forkserver/base/watch.h"
#include "forkserver/proto/request.h"
#include "vmm/base/error.h"

struct server;
struct conn;

/* What ended a boot. */
enum boot_end {
	BOOT_NOT_ENDED,
	BOOT_BY_GUEST,	 /* it marked its template point, or ended */
	BOOT_BY_REQUEST, /* a client asked for the freeze          */
	BOOT_BY_TIME,	 /* --freeze-after                         */
	BOOT_TIMED_OUT,	 /* --boot-timeout                         */
	BOOT_END_COUNT_
};

struct boot {
	struct watch watch; /* of the template's progress_fd */
	struct timer timeout;
	struct timer freeze;
	enum boot_end end;
	uint64_t started_ns; /* the image was loaded        */
	uint64_t stopped_ns; /* the guest was to stand still */
	uint64_t served_ns;  /* clones could be had          */
};

void boot_init(struct boot *boot);

/* Let the loaded template run, watched by the loop. */
int boot_start(struct server *server, struct error *error);

/* The template's progress_fd is readable. */
void boot_on_progress(struct server *server);

/* A client asks for the freeze: it is answered by boot_tell, or at once with an error. */
void boot_request_freeze(struct server *server, struct conn *conn, const struct request *request);

/*
 * After the loop: stop and freeze. -EINTR when the server is to stop instead, -ETIMEDOUT,
 * -ECANCELED when the guest has ended; all in words.
 */
int boot_finish(struct server *server, struct error *error);

/* Answer those who wait for the freeze: the server serves (rc 0), or *error says why it will not.
 */
void boot_tell(struct server *server, int rc, const struct error *error);

/* "guest", "request", "time"; NULL as long as it is not frozen. */
const char *boot_end_name(const struct boot *boot);

#endif

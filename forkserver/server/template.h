/* SPDX-License-Identifier: MIT */
/*
 * From an image to a frozen machine: what is done to the machine itself. When it is done is for
 * boot.h.
 */
#ifndef FORKVM_FORKSERVER_SERVER_TEMPLATE_H
#define FORKVM_FORKSERVER_SERVER_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "forkserver/server/options.h"
#include "vmm/base/error.h"
#include "vmm/machine/machine.h"

struct server;

/* What the template has while it runs, used by its threads. */
struct template
{
	struct machine_sink sink;
	struct machine_serial serial; /* owned, both at FD_HIGH or above; closed by the freeze */
	int progress_fd;	      /* eventfd, owned: the guest marked its place, or ended  */
	size_t line_len;	      /* of the console's line so far                          */
	char line[256];
};

/* Nothing is open. */
void template_init(struct template *template);

/* Close what is left. The machine's threads must have ended. */
void template_done(struct template *template);

/*
 * Before descriptors are cleared: note which inherited ones the serial port is for (--serial stdio
 * and fd:N), as they are numbered now.
 */
int template_claim_serial(struct template *template, const struct serve_serial *serial,
			  struct error *error);

/* After it: open the file of --serial PATH, for appending, made with mode 0600. */
int template_open_serial(struct template *template, const struct serve_serial *serial,
			 struct error *error);

/*
 * Make the machine that the options describe, on server->host, and load its image. On failure what
 * was made is for machine_free, in server->machine. Errors: those of machine_new, machine_load and
 * machine_load_linux, in words.
 */
int template_load(struct server *server, struct error *error);

/* Let it run. From now on template->progress_fd becomes readable when it is worth a look. */
int template_start(struct server *server, struct error *error);

/*
 * Stop it where it is: no thread is left, and its console's last line is in the log. -ECANCELED,
 * with words, when its guest has ended.
 */
int template_stop(struct server *server, struct error *error);

/* Freeze the stopped machine, and set what is known of it in *server. */
int template_freeze(struct server *server, struct error *error);

/* What the guest was loaded from, for people. */
const char *template_image(const struct serve_options *options);

#endif

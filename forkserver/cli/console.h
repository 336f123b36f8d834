/* SPDX-License-Identifier: MIT */
/*
 * A clone's console on the user's terminal.
 */
#ifndef FORKVM_FORKSERVER_CLI_CONSOLE_H
#define FORKVM_FORKSERVER_CLI_CONSOLE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/base/error.h"

/* Ends the connection from a terminal: Ctrl-]. */
#define CONSOLE_ESCAPE	   0x1d
#define CONSOLE_POLL_COUNT 2

struct console {
	int fd;	    /* our end of the clone's console; owned; -1: there is none, or it has ended */
	bool input; /* standard input has not ended                                              */
	bool is_terminal; /* standard input is one, and raw as long as this is open */
	size_t pending;	  /* bytes of data that the guest has not taken yet         */
	char data[1024];
};

/* No console. */
void console_init(struct console *console);

/*
 * Make one; the clone's end, a socket, is the caller's. A terminal becomes raw, so that the guest
 * gets what is typed. -errno.
 */
int console_open(struct console *console, int *ret_theirs, struct error *error);

/* What to wait for: fills at most CONSOLE_POLL_COUNT entries and returns how many. */
nfds_t console_poll(const struct console *console, struct pollfd *fds);

/* Carry what has come, both ways. False when the user wants to leave. */
bool console_relay(struct console *console);

/* Close it, and put the terminal back. */
void console_close(struct console *console);

#endif

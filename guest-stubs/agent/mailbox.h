/* SPDX-License-Identifier: MIT */
/*
 * The agent's end of the contract in guest-stubs/stub_abi.h: the mailbox, its areas, and the
 * doorbells. What rings is behind struct mailbox_bells, so that a test can play the host.
 *
 * A doorbell is an OUT and only that: an IN, or a bell out of turn, ends the VM. Where there is no
 * forkvm the ports lead nowhere and an OUT does nothing, so the agent finds out whether the host is
 * there by ringing CLOCK: whoever answers has written a time.
 */
#ifndef FORKVM_AGENT_MAILBOX_H
#define FORKVM_AGENT_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stubs/stub_abi.h"

struct mailbox;

struct mailbox_bells {
	/*
	 * Ring; what the bell does has happened when this returns. False: the host has nothing more
	 * to ask. (A real host ends the VM instead.)
	 */
	bool (*ring)(struct mailbox *box, uint16_t port, uint32_t value);
};

struct mailbox_area {
	char *at;
	uint64_t gpa;
	uint32_t capacity;
};

struct mailbox {
	const struct mailbox_bells *bells;
	void *context;				/* the bells' own */
	volatile struct forkvm_mailbox *shared; /* the host writes there */
	uint64_t gpa;
	struct mailbox_area request, response, console;
	bool booted;  /* BOOTED was rung */
	bool present; /* and the host answered */
};

struct mailbox_error {
	char text[320];
};

/*
 * Take the ports and the memory. 0, or -errno and in words what is missing: root, a kernel without
 * lockdown, a page below 4 GiB. The memory stays until the process ends.
 */
int mailbox_open(struct mailbox *box, struct mailbox_error *error);

/* The same in ordinary memory and with other bells: nothing outside the process is touched. */
int mailbox_open_private(struct mailbox *box, const struct mailbox_bells *bells, void *context);

/* Is all of it still where the host was told, or will be? The kernel may move single pages. */
bool mailbox_in_place(const struct mailbox *box);

/* Ring BOOTED, then CLOCK to see whether somebody is there: box->present. */
void mailbox_boot(struct mailbox *box);

/*
 * Ring TEMPLATE. True: this is a clone, its identity is there, and its first request, unless
 * request_seq is 0: then the first PARK brings it.
 */
bool mailbox_template(struct mailbox *box);

/* Ring CLOCK. The host's CLOCK_REALTIME, or 0. */
uint64_t mailbox_clock(struct mailbox *box);

/* The identity without the seed, and the seed, which is wiped from the mailbox by reading it. */
void mailbox_identity(const struct mailbox *box, struct forkvm_identity *ret_identity);
void mailbox_take_seed(struct mailbox *box, uint8_t ret_seed[FORKVM_SEED_SIZE]);

/* How many bytes the present request has, at most the capacity of its area. */
size_t mailbox_request_size(const struct mailbox *box);

/* Ring READY with length bytes of the response area. */
void mailbox_ready(struct mailbox *box, size_t length);

/* Ring PARK. True: the next request is there. */
bool mailbox_park(struct mailbox *box);

/* Ring CONSOLE as often as text needs. Lost where nobody listens; fits log_sink_fn. */
void mailbox_console(void *box, const char *text, size_t length);

/* Ring DONE. Returns only where nobody listens. */
void mailbox_done(struct mailbox *box, uint32_t status);

#endif

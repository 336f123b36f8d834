/* SPDX-License-Identifier: MIT */
/*
 * The doorbell device: the host's side of guest-stubs/stub_abi.h.
 */
#ifndef FORKVM_VMM_DEV_STUB_PORT_H
#define FORKVM_VMM_DEV_STUB_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/error.h"
#include "vmm/dev/sink.h"
#include "vmm/io/portbus.h"
#include "vmm/mem/guest_ram.h"

/* Where the guest stands in the order of doorbells. */
enum stub_phase {
	STUB_BOOTING,  /* before BOOTED                              */
	STUB_SETUP,    /* BOOTED rung, TEMPLATE not yet              */
	STUB_TEMPLATE, /* stands at its template point               */
	STUB_SPARE,    /* a clone without a request: PARK brings one */
	STUB_SERVING,  /* has a request                              */
	STUB_ANSWERED, /* READY rung, PARK not yet                   */
	STUB_DONE,     /* DONE rung, or parked without a next request */
};

struct stub_port {
	const struct guest_ram *ram;
	const struct machine_sink *sink; /* may be NULL */
	enum stub_phase phase;
	/* Where things are, as BOOTED gave them, checked once: all ranges lie in RAM. */
	gpa_t mailbox;
	gpa_t request, response, console;
	uint32_t request_capacity, response_capacity, console_capacity;
	uint64_t request_seq;
	/* In a clone that was not frozen at TEMPLATE: what it gets when it rings there. */
	bool is_clone;
	struct forkvm_identity identity;
	const void *pending; /* not owned */
	size_t pending_len;
	/* How it ended: DONE's status, or what the sink returned. */
	uint32_t status;
	int sink_error;		 /* -errno, 0 when the sink did not fail */
	uint64_t first_ready_ns; /* CLOCK_MONOTONIC of the first READY, 0 before */
};

void stub_port_init(struct stub_port *port, const struct guest_ram *ram);

/*
 * A port_handler for [FORKVM_PORT_BASE, FORKVM_PORT_END). PORT_STOP at the template point
 * (phase STUB_TEMPLATE), at the end (STUB_DONE), or when the sink failed (sink_error). -EPROTO for
 * doorbells out of order or malformed, -EFAULT for addresses outside RAM.
 */
int stub_port_access(void *device, const struct port_access *access, struct error *error);

/*
 * Start serving, in a clone: write identity and the first request into the mailbox. Without a
 * request (NULL; an empty one is not NULL) the clone is a spare, whose first PARK brings it. A
 * guest that was frozen elsewhere than at TEMPLATE gets them when it rings there, if ever; request
 * must stay where it is until then. -EMSGSIZE when the request is longer than the guest's area (a
 * guest that has not rung BOOTED has none), -EPROTO when this was done before or the guest has
 * ended.
 */
int stub_port_deliver(struct stub_port *port, const struct forkvm_identity *identity,
		      const void *request, size_t request_len, struct error *error);

#endif

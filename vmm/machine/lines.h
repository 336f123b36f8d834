/* SPDX-License-Identifier: MIT */
/*
 * Interrupt lines: an eventfd for each, which KVM turns into an edge (irqfd).
 *
 * The descriptors belong to the process that made them and end with its VM: none exists while a
 * template forks. An edge that comes while a line leads nowhere is kept, and raised when it is
 * connected.
 */
#ifndef FORKVM_VMM_MACHINE_LINES_H
#define FORKVM_VMM_MACHINE_LINES_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/base/layout.h"
#include "vmm/io/irq.h"
#include "vmm/kvm/vm.h"

struct line {
	int fd; /* owned; -1: not connected */
	uint32_t gsi;
	bool used;    /* some device has it */
	bool pending; /* raised while not connected, or held */
	const bool *held;
};

struct lines {
	struct line list[GSI_COUNT]; /* by GSI */
	bool held;		     /* edges are kept until lines_release */
};

/* Edges to be raised. */
struct line_edges {
	int fds[GSI_COUNT]; /* not owned */
	unsigned int count;
};

void lines_init(struct lines *lines);

/* The line of that number, for a device to raise. *lines must outlive it. */
struct irq_line lines_take(struct lines *lines, uint32_t gsi);

/*
 * Connect all lines that were taken to vm, which must have interrupt controllers: without them
 * nothing is connected and edges stay pending.
 */
int lines_connect(struct lines *lines, const struct kvm_vm *vm, struct error *error);

/* Raise what came while not connected. When the interrupt controllers have their state. */
void lines_replay(struct lines *lines);

/*
 * Keep edges from now on, until lines_release tells which lines had some: for lines_send to raise
 * them when the machine's lock is given back. The first thing that a vCPU does about an interrupt
 * is to look at its device, and to take that lock.
 */
void lines_hold(struct lines *lines);
void lines_release(struct lines *lines, struct line_edges *ret);
void lines_send(const struct line_edges *edges);

/*
 * Take all lines away from vm. When this returns every edge has reached the interrupt controller
 * and is part of its state.
 */
int lines_disconnect(struct lines *lines, const struct kvm_vm *vm, struct error *error);

/* Close the descriptors: the VM is gone, or about to. */
void lines_close(struct lines *lines);

#endif

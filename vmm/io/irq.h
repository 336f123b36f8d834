/* SPDX-License-Identifier: MIT */
/*
 * How a device interrupts its guest: one edge on one line. Where the line leads is the business of
 * whoever made the device; a device keeps the structure and calls irq_raise.
 */
#ifndef FORKVM_VMM_IO_IRQ_H
#define FORKVM_VMM_IO_IRQ_H

#include <stddef.h>

struct irq_line {
	void (*raise)(void *ctx); /* NULL: leads nowhere */
	void *ctx;
};

static inline void irq_raise(const struct irq_line *line)
{
	if (line->raise)
		line->raise(line->ctx);
}

#endif

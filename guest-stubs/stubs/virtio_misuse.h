/* SPDX-License-Identifier: MIT */
/*
 * What a bad driver can do to a virtio device: one function each.
 */
#ifndef FORKVM_STUB_VIRTIO_MISUSE_H
#define FORKVM_STUB_VIRTIO_MISUSE_H

#include <stdbool.h>
#include <stddef.h>

struct setup;

struct misuse {
	const char *name;
	bool breaks; /* the device must ask for a reset; else nothing must happen */
	void (*spoil)(struct setup *); /* before the device is set up; may be NULL */
	void (*run)(void);	       /* with the device running; may be NULL     */
};

extern const struct misuse misuses[];
extern const size_t misuse_count;

#endif

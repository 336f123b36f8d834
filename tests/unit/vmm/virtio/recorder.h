/* SPDX-License-Identifier: MIT */
/*
 * A virtio device for tests that records what its transport does, and answers as it is told.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_VIRTIO_RECORDER_H
#define FORKVM_TESTS_UNIT_VMM_VIRTIO_RECORDER_H

#include "vmm/virtio/device.h"

#define RECORDER_QUEUE_SIZE 16u
#define RECORDER_CONFIG	    10u

/*
 * Up to two queues. It gives back what the first offers, all of it written as it says; from the
 * second it takes nothing.
 */
struct recorder {
	struct virtio_device device;
	uint8_t config[RECORDER_CONFIG];
	unsigned int activated, notified[2], stopped, resets, before, child, parent;
	int activate_rc, before_rc, child_rc;
};

/* With every operation; and with those only that a device must have, and one queue. */
extern const struct virtio_ops recorder_full, recorder_bare;

#endif

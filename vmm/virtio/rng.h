/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng, the entropy device (VIRTIO 1.2, section 5.4): the host's getrandom(2), straight into
 * the guest's buffers.
 *
 * It holds nothing across a fork: no descriptor, no request, not a byte of entropy. What a clone
 * asks for is drawn in the clone. What the guest asked for before it was frozen is in its memory
 * and thereby in that of every clone, as all it computed; the generation id tells it of that.
 */
#ifndef FORKVM_VMM_VIRTIO_RNG_H
#define FORKVM_VMM_VIRTIO_RNG_H

#include "vmm/virtio/device.h"

#define VIRTIO_RNG_QUEUE_SIZE  64
#define VIRTIO_RNG_REQUEST_MAX 65536u /* bytes; of a larger buffer the rest is left alone */

/*
 * A notification may bring a queue full of requests, all served under the machine's lock: beyond
 * this many bytes each gets just VIRTIO_RNG_SMALL of them, which the specification allows.
 */
#define VIRTIO_RNG_PASS_MAX    262144u
#define VIRTIO_RNG_SMALL       256u

struct virtio_rng {
	struct virtio_device device;
};

/* Ready to be given to a transport. There is nothing to undo. */
void virtio_rng_init(struct virtio_rng *rng);

#endif

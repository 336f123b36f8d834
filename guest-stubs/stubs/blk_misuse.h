/* SPDX-License-Identifier: MIT */
/*
 * What a bad driver can do to a virtio-blk device.
 */
#ifndef FORKVM_STUB_BLK_MISUSE_H
#define FORKVM_STUB_BLK_MISUSE_H

#include "guest-stubs/stubs/blk.h"

/*
 * Do the one of that name, look what became of the device, and see that it works in the end. NULL,
 * or what is wrong; "unknown-op" when there is none of that name.
 */
const char *blk_misuse(struct blk_job *job, const char *name, size_t len);

/* One line each: NAME:reset, NAME:STATUS. The answer's length. */
size_t blk_misuse_list(struct text *answer);

#endif

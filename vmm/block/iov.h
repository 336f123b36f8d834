/* SPDX-License-Identifier: MIT */
/*
 * Parts of a request's memory.
 */
#ifndef FORKVM_VMM_BLOCK_IOV_H
#define FORKVM_VMM_BLOCK_IOV_H

#include <stdint.h>
#include <sys/uio.h>

/*
 * The part of iov that starts at its byte skip and has at most length bytes, as iovecs: up to max
 * of them to slice. Returns how many, and in *ret_length the bytes they have, which are fewer when
 * max or iov were too small.
 */
uint32_t iov_slice(const struct iovec *iov, uint32_t count, uint64_t skip, uint64_t length,
		   struct iovec *slice, uint32_t max, uint64_t *ret_length);

/* Fill such a part with zeros. */
void iov_zero(const struct iovec *iov, uint32_t count, uint64_t skip, uint64_t length);

/* Copy such a part to `to`, which has room for length bytes. */
void iov_copy(const struct iovec *iov, uint32_t count, uint64_t skip, uint64_t length, void *to);

#endif

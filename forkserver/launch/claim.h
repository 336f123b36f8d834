/* SPDX-License-Identifier: MIT */
/*
 * What passes between the server and a spare, over a socket of packets (SOCK_SEQPACKET) that only
 * these two have.
 *
 *	spare   ---> server   CLAIM_PARKED, one byte: it waits for its first request
 *	server  ---> spare    the claim: struct claim, the request's bytes, descriptors
 *	clone   ---> server   its report, if the claim allows a reset and its guest is done:
 *	                      it is being put back; it is a spare again, and takes its next
 *	                      claim as soon as it can. Any other end is reported as by all clones
 *
 * The claim is one packet, received straight into the guest's request area, so a spare is claimed
 * by one system call here and two there: one looks at it, one takes it. A packet that a spare has
 * not taken when it dies was not served, and the server can tell (pool_claim.c).
 */
#ifndef FORKVM_FORKSERVER_LAUNCH_CLAIM_H
#define FORKVM_FORKSERVER_LAUNCH_CLAIM_H

#include <stdint.h>

#define CLAIM_PARKED  'P'

/* In struct claim.flags. */
#define CLAIM_ANSWER  (1u << 0) /* the first descriptor is where answers go             */
#define CLAIM_CONSOLE (1u << 1) /* the next one is for the console                      */
#define CLAIM_SESSION (1u << 2) /* the answers' descriptor also brings further requests */
#define CLAIM_RESET   (1u << 3) /* when it is done, it may be reset                     */

#define CLAIM_FRAMED  (1u << 4) /* answers begin with a header, as it is one of a batch */

#define CLAIM_FDS_MAX 2

struct claim {
	uint32_t flags;
	uint32_t request_len; /* bytes that follow                    */
	uint64_t next_id;     /* its id, should it be reset after this */
	uint32_t index;	      /* in its batch                         */
	uint32_t reserved;
};

#endif

/* SPDX-License-Identifier: MIT */
/* What the guest of a peer and the program that drives it agree upon. */
#ifndef FORKVM_BENCH_PEER_SERIAL_SERVICE_H
#define FORKVM_BENCH_PEER_SERIAL_SERVICE_H

#define PEER_MARKER "forkvm-peer-template" /* a line of its own: the guest is set up     */
#define PEER_INIT   "/forkvm-peer-init"	   /* where it is in the initial ramdisk          */

#endif

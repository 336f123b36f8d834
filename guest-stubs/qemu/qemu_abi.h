/* SPDX-License-Identifier: MIT */
/*
 * What a stub that runs under QEMU and the program that drives that QEMU agree upon, beside
 * stub_abi.h.
 *
 * How it comes up: by QEMU's -kernel, at its PVH entry; -append has the boot arguments.
 *
 * Host to guest: the fw_cfg file FORKVM_QEMU_REQUEST (QEMU's -fw_cfg name=...,file=...). It holds
 * struct forkvm_mailbox from is_clone on, FORKVM_QEMU_HEADER bytes, and behind them the request. In
 * the template all of it is zero.
 *
 * Guest to host, on the first serial port: whatever is for the console, then FORKVM_QEMU_MARKER at
 * the template point; in a clone its answer. A clone that has answered halts.
 */
#ifndef FORKVM_QEMU_ABI_H
#define FORKVM_QEMU_ABI_H

#include <stddef.h>

#include "guest-stubs/stub_abi.h"

/*
 * Files have numbers by the order of their names, and a clone must have the number that its
 * template looked up, though it has fewer files: so this is before all others.
 */
#define FORKVM_QEMU_REQUEST   "0/forkvm-request"
#define FORKVM_QEMU_MARKER    "forkvm-peer-template\n"
#define FORKVM_QEMU_HEADER_AT offsetof(struct forkvm_mailbox, is_clone)
#define FORKVM_QEMU_HEADER    (sizeof(struct forkvm_mailbox) - FORKVM_QEMU_HEADER_AT)

#endif

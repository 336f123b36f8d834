/* SPDX-License-Identifier: MIT */
/*
 * What a qcow2 image says of itself (QEMU's docs/interop/qcow2.txt). Pure functions over bytes, for
 * a fuzzer to drive; nothing here reads guest data, which is qemu-img's business (convert.h).
 */
#ifndef FORKVM_FORKSERVER_STORAGE_QCOW2_H
#define FORKVM_FORKSERVER_STORAGE_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"

/* Bytes at a file's start that are looked at. */
#define QCOW2_HEADER_SIZE 104u

struct qcow2_header {
	uint64_t size;	      /* of the disk, bytes                                   */
	bool names_others;    /* it needs other files: a backing file, or one for data */
	uint64_t least_bytes; /* a file with fewer has lost some of its tables        */
};

/* Do these first bytes of a file look like qcow2? */
bool qcow2_is(const uint8_t *bytes, size_t len);

/*
 * Read the header. Errors, in words: -EINVAL for what is damaged or has an impossible number,
 * -EOPNOTSUPP for an encrypted image or another version.
 */
int qcow2_parse(const uint8_t *bytes, size_t len, struct qcow2_header *ret, struct error *error);

#endif

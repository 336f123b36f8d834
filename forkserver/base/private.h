/* SPDX-License-Identifier: MIT */
/*
 * Memory that forks do not carry: the server's own records, buffers and JSON values. A clone never
 * sees another client's bytes, a fork has nothing of it to copy, and the server's writes after a
 * fork meet no copy-on-write fault.
 */
#ifndef FORKVM_FORKSERVER_BASE_PRIVATE_H
#define FORKVM_FORKSERVER_BASE_PRIVATE_H

#include <stddef.h>

/*
 * Map size bytes of zeros that a forked child does not have. Pages cost memory when first touched.
 * NULL when the host refuses (errno says why).
 */
void *private_map(size_t size);

/* Unmap what private_map gave, all of it; NULL is fine. */
void private_unmap(void *memory, size_t size);

/* Give the pages back; they read as zeros again. memory and size are multiples of a page. */
void private_discard(void *memory, size_t size);

/*
 * From now on jansson's values live in an arena of private memory that only private_json_reset
 * empties: an allocation costs an addition, and no line, however contrived, takes more than the
 * arena. Seeds jansson's hash too, which would otherwise open /dev/urandom later. -ENOMEM.
 */
int private_json_init(void);

/* Forget every JSON value there is. */
void private_json_reset(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The dirty stub's second half: RAM that was never populated, touched in every way.
 */
#ifndef FORKVM_STUB_DIRTY_HOLES_H
#define FORKVM_STUB_DIRTY_HOLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOLE_PLACE_PAGES 2	  /* the least distance between places */
#define HOLE_KINDS_ALL	 SIZE_MAX /* as a kind: each in turn           */

struct hole_result {
	const char *reason; /* NULL: all was well */
	uint64_t at;	    /* GPA of the place where it was not */
	uint64_t count;	    /* places touched                    */
	uint64_t high;	    /* of them, above 4 GiB              */
};

/* In the template: make this file's own memory part of it. */
void holes_setup(void);

/* False for an unknown name. */
bool hole_kind_find(const char *name, size_t len, size_t *ret_kind);

/* Touch count places that this clone never touched, stride pages apart. */
void holes_touch(uint64_t count, uint64_t stride, size_t kind, struct hole_result *ret);

#endif

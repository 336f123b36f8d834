/* SPDX-License-Identifier: MIT */
/*
 * Guests of a few instructions, as flat binaries within the test program (guests.S), each for one
 * thing that no stub does.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_MACHINE_GUESTS_H
#define FORKVM_TESTS_UNIT_VMM_MACHINE_GUESTS_H

/* Where holes puts a page of code in its template, far from everything else. */
#define GUEST_ISLAND   0x1800000

/* What holes does with the address in its request. */
#define HOLE_LOAD      0 /* a load of 8 bytes; the result is what was there          */
#define HOLE_STORE     1 /* a store of 8 bytes, and a load                           */
#define HOLE_VECTOR    2 /* a store of 16 bytes, and a load                          */
#define HOLE_ARITHMETC 3 /* a vector addition from memory: KVM cannot emulate it     */
#define HOLE_ATOMIC    4 /* a locked addition, twice                                 */
#define HOLE_STRING    5 /* 3 pages stored by one instruction, and summed            */
#define HOLE_STACK     6 /* a push and a pop: below the address                      */
#define HOLE_CALL      7 /* a call                                                   */
#define HOLE_COPY      8 /* 3 pages copied within holes, from address + 8 MiB        */
#define HOLE_COMPARE   9 /* cmpxchg16b: KVM cannot emulate it either                 */
#define HOLE_COUNT     10

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

struct guest {
	const uint8_t *start, *end;
};

#define GUEST(name)                                                        \
	({                                                                 \
		extern const uint8_t guest_##name[], guest_##name##_end[]; \
		(struct guest){guest_##name, guest_##name##_end};          \
	})

/* The request and the answer of holes. */
struct hole_request {
	uint64_t op;
	uint64_t address;
};

#endif
#endif

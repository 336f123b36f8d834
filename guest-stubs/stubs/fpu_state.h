/* SPDX-License-Identifier: MIT */
/*
 * What fpu.c and fpu_state.S share: the image of all x87 and vector state, and the functions that
 * load and store it.
 */
#ifndef FORKVM_STUB_FPU_STATE_H
#define FORKVM_STUB_FPU_STATE_H

/* What the CPU has and the host has enabled; x87 and SSE are always there. */
#define HAVE_AVX      1
#define HAVE_AVX512F  2
#define HAVE_AVX512BW 4 /* opmask registers of 64 bits, else of 16 */

/* Offsets in struct fpu_state. */
#define FPU_VECTOR    0
#define FPU_OPMASK    2048
#define FPU_X87	      2112
#define FPU_ENV	      2240
#define FPU_MXCSR     2268

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/* What FLDENV and FNSTENV use in 64-bit mode; only control, status and tag are compared. */
struct fpu_env {
	uint16_t control, reserved0;
	uint16_t status, reserved1;
	uint16_t tag, reserved2;
	uint32_t pointers[4];
};

struct fpu_state {
	uint8_t vector[32][64]; /* of each the low 16 bytes with SSE, 32 with AVX */
	uint64_t opmask[8];
	uint8_t x87[8][16]; /* ten bytes each */
	struct fpu_env env;
	uint32_t mxcsr;
	uint64_t xcr0; /* compared, not loaded */
};
_Static_assert(offsetof(struct fpu_state, vector) == FPU_VECTOR, "fpu_state.S");
_Static_assert(offsetof(struct fpu_state, opmask) == FPU_OPMASK, "fpu_state.S");
_Static_assert(offsetof(struct fpu_state, x87) == FPU_X87, "fpu_state.S");
_Static_assert(offsetof(struct fpu_state, env) == FPU_ENV, "fpu_state.S");
_Static_assert(offsetof(struct fpu_state, mxcsr) == FPU_MXCSR, "fpu_state.S");

/* have: HAVE_*. Stored state is left in the registers, but for x87, which is empty afterwards. */
void fpu_load(uint32_t have, const struct fpu_state *from);
void fpu_store(uint32_t have, struct fpu_state *to);

/* Load, ring TEMPLATE, store. */
void fpu_template(uint32_t have, const struct fpu_state *from, struct fpu_state *to);

#endif
#endif

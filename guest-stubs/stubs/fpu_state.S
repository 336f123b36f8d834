/* SPDX-License-Identifier: MIT */
/*
 * Load and store all x87 and vector state: see fpu_state.h.
 */
#include "guest-stubs/stub_abi.h"
#include "guest-stubs/stubs/fpu_state.h"

/* EDI: HAVE_*. RSI: from. */
.macro LOAD
	fninit
	.irp n, 7, 6, 5, 4, 3, 2, 1, 0
	fldt	(FPU_X87 + 16 * \n)(%rsi)
	.endr
	/* Status and control last: the loads have set flags of their own. */
	fldenv	FPU_ENV(%rsi)
	ldmxcsr	FPU_MXCSR(%rsi)
	test	$HAVE_AVX512F, %edi
	jnz	.Lload_zmm\@
	test	$HAVE_AVX, %edi
	jnz	.Lload_ymm\@
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	(FPU_VECTOR + 64 * \n)(%rsi), %xmm\n
	.endr
	jmp	.Lloaded\@
.Lload_ymm\@:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	(FPU_VECTOR + 64 * \n)(%rsi), %ymm\n
	.endr
	jmp	.Lloaded\@
.Lload_zmm\@:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vmovups	(FPU_VECTOR + 64 * \n)(%rsi), %zmm\n
	.endr
	test	$HAVE_AVX512BW, %edi
	jnz	.Lload_opmask64\@
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovw	(FPU_OPMASK + 8 * \n)(%rsi), %k\n
	.endr
	jmp	.Lloaded\@
.Lload_opmask64\@:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovq	(FPU_OPMASK + 8 * \n)(%rsi), %k\n
	.endr
.Lloaded\@:
.endm

/* EDI: HAVE_*. RCX: to. */
.macro STORE
	test	$HAVE_AVX512F, %edi
	jnz	.Lstore_zmm\@
	test	$HAVE_AVX, %edi
	jnz	.Lstore_ymm\@
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movups	%xmm\n, (FPU_VECTOR + 64 * \n)(%rcx)
	.endr
	jmp	.Lstored\@
.Lstore_ymm\@:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovups	%ymm\n, (FPU_VECTOR + 64 * \n)(%rcx)
	.endr
	jmp	.Lstored\@
.Lstore_zmm\@:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	vmovups	%zmm\n, (FPU_VECTOR + 64 * \n)(%rcx)
	.endr
	test	$HAVE_AVX512BW, %edi
	jnz	.Lstore_opmask64\@
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovw	%k\n, (FPU_OPMASK + 8 * \n)(%rcx)
	.endr
	jmp	.Lstored\@
.Lstore_opmask64\@:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	kmovq	%k\n, (FPU_OPMASK + 8 * \n)(%rcx)
	.endr
.Lstored\@:
	stmxcsr	FPU_MXCSR(%rcx)
	/* FNSTENV masks all exceptions, as they were; the pops change the status just stored. */
	fnstenv	FPU_ENV(%rcx)
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7
	fstpt	(FPU_X87 + 16 * \n)(%rcx)
	.endr
.endm

	.text
	.globl fpu_load
fpu_load:
	LOAD
	ret

	.globl fpu_store
fpu_store:
	mov	%rsi, %rcx
	STORE
	ret

	.globl fpu_template
fpu_template:
	mov	%rdx, %rcx
	LOAD
	xor	%eax, %eax
	mov	$FORKVM_PORT_TEMPLATE, %edx
	outl	%eax, %dx
	STORE
	ret

	.section .note.GNU-stack, "", @progbits

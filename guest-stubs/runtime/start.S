/* SPDX-License-Identifier: MIT */
/*
 * Entry of every vCPU and of every exception: all of a stub's ring-0 code but what it runs itself
 * by ring0_call().
 *
 * Theory of operation
 *   A vCPU enters _start in ring 0 with no stack. It fills its own page (stub_percpu: TSS, GDT,
 *   ring-0 stack), loads GDT, IDT and TR, and leaves ring 0 by iretq, into stub_main(). Ring 0 is
 *   kept short because some hosts emulate it, one instruction at a time, and run ring 3 natively.
 *   The IDT's contents are written later, from ring 3.
 *
 *   Ring 0 is seen again only on exceptions. int3 with EAX = STUB_RING0_CALL is the runtime's
 *   "call this in ring 0". An exception at an address of the fixup table resumes at that entry's
 *   second address. Everything else is noted in stub_exception and reported from ring 3.
 */
#include "guest-stubs/runtime/layout.h"

#define ACCESSED_DESCRIPTOR(flags, access) (((flags) << 52) | ((access) << 40) | 0xf00000000ffff)

	.section .text.start, "ax", @progbits
	.globl _start
	.type _start, @function
_start:
	cld
	cmp	stub_max_cpus, %esi
	jae	halt

	/* RBX: this vCPU's page. */
	mov	%esi, %ebx
	shl	$12, %ebx
	add	$stub_percpu, %ebx

	/* GDT. All descriptors are marked accessed, so that loading them writes nothing. */
	movabs	$ACCESSED_DESCRIPTOR(0xa, 0x9b), %rax
	mov	%rax, (STUB_PERCPU_GDT + STUB_KERNEL_CS)(%rbx)
	movabs	$ACCESSED_DESCRIPTOR(0xc, 0x93), %rax
	mov	%rax, (STUB_PERCPU_GDT + STUB_KERNEL_DS)(%rbx)
	movabs	$ACCESSED_DESCRIPTOR(0xc, 0xf3), %rax
	mov	%rax, (STUB_PERCPU_GDT + STUB_USER_DS - 3)(%rbx)
	movabs	$ACCESSED_DESCRIPTOR(0xa, 0xfb), %rax
	mov	%rax, (STUB_PERCPU_GDT + STUB_USER_CS - 3)(%rbx)
	movabs	$((0x89 << 40) | STUB_TSS_LIMIT), %rax
	mov	%rbx, %rcx
	shl	$16, %rcx
	or	%rcx, %rax
	mov	%rax, (STUB_PERCPU_GDT + STUB_TSS_SEL)(%rbx)

	/* TSS: ring-0 stack, and an I/O bitmap of zeros that ends in a byte of ones. */
	lea	STUB_PERCPU_SIZE(%rbx), %rsp
	mov	%rsp, STUB_TSS_RSP0(%rbx)
	movw	$STUB_TSS_IO_BITMAP, STUB_TSS_IO_BASE(%rbx)
	movb	$0xff, STUB_TSS_LIMIT(%rbx)

	lea	STUB_PERCPU_GDT(%rbx), %rax
	push	%rax
	sub	$8, %rsp
	movw	$STUB_GDT_LIMIT, 6(%rsp)
	lgdt	6(%rsp)
	lidt	idt_pointer
	mov	$STUB_TSS_SEL, %eax
	ltr	%ax
	mov	$STUB_USER_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs

	/* Ring-3 stack: CPU 0 has its own, with its top in the hot page. RSP as after a call. */
	mov	$stub_hot + STUB_STACK_SIZE - 8, %ecx
	test	%esi, %esi
	jz	1f
	mov	%esi, %ecx
	shl	$12, %ecx
	add	$stub_secondary_stacks + STUB_SECONDARY_STACK_SIZE - 8, %ecx
1:
	push	%rax
	push	%rcx
	push	$2
	push	$STUB_USER_CS
	push	$stub_main
	/* RDI and RSI are still what the host put there: stub_main's arguments. */
	iretq
	.size _start, . - _start

	/* A vCPU that this stub has no use for. */
halt:
	cli
	hlt
	jmp	halt

	.if STUB_SECONDARY_STACK_SIZE != 4096 || STUB_PERCPU_SIZE != 4096
	.error "start.S shifts by 12"
	.endif

/* One entry each 16 bytes; exceptions.c fills the IDT accordingly. */
	.balign 16
	.globl stub_vectors
stub_vectors:
	.irp vector, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	.balign 16
	/* For 8, 10 to 14, 17, 21, 29 and 30 the CPU has pushed an error code. */
	.if ((0x60227d00 >> \vector) & 1) == 0
	push	$0
	.endif
	push	$\vector
	jmp	exception
	.endr

	.balign 16
	.globl stub_int3
stub_int3:
	cmp	$STUB_RING0_CALL, %eax
	jne	stub_vectors + 3 * 16
	sub	$8, %rsp
	call	*%rdx
	add	$8, %rsp
	iretq

/* On the stack from here up: RCX, RAX, vector, error code, RIP, CS, RFLAGS, RSP, SS. */
exception:
	push	%rax
	push	%rcx
	mov	32(%rsp), %rax
	mov	$stub_fixups, %ecx
1:
	cmp	$stub_fixups_end, %ecx
	jae	2f
	cmp	%rax, (%rcx)
	je	3f
	add	$16, %ecx
	jmp	1b
2:
	mov	%rax, stub_exception + 16
	mov	16(%rsp), %rax
	mov	%rax, stub_exception
	mov	24(%rsp), %rax
	mov	%rax, stub_exception + 8
	mov	40(%rsp), %rax
	mov	%rax, stub_exception + 32
	mov	%cr2, %rax
	mov	%rax, stub_exception + 24
	push	$STUB_USER_DS
	push	$stub_exception_stack_top - 8
	push	$2
	push	$STUB_USER_CS
	push	$stub_exception_report
	iretq
3:
	mov	8(%rcx), %rax
	mov	%rax, 32(%rsp)
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	.section .rodata.start, "a", @progbits
	.balign 8
	.skip	6
idt_pointer:
	.word	32 * 16 - 1
	.quad	stub_idt

	.section .note.GNU-stack, "", @progbits

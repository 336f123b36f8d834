/* SPDX-License-Identifier: MIT */
/*
 * Guests of a few instructions, for GUEST() of guests.h. Each is a flat binary that is loaded and
 * entered at FORKVM_STUB_LOAD_GPA, brings its mailbox, GDT and TSS ready-made with it, and runs in
 * ring 3 (see runtime/start.S of the stubs for why). Vectors there are none: an exception is a
 * triple fault.
 */
#include "guest-stubs/stub_abi.h"
#include "tests/unit/vmm/machine/guests.h"

#define BASE	     FORKVM_STUB_LOAD_GPA
#define MAILBOX	     0x40
#define GDT	     0x100
#define GDT_POINTER  0x180
#define ENTRY	     0x200
#define TSS	     0x1000
#define REQUEST	     0x2000
#define RESPONSE     0x3000
#define CONSOLE	     0x4000
#define STACK_RING0  0x5800
#define STACK_RING3  0x6000
#define IMAGE_SIZE   0x6000
#define TSS_LIMIT    (0x68 + 0x5c00 / 8)
#define ISLAND_PAGE  GUEST_ISLAND

	.section .rodata, "a", @progbits

/* Everything up to the first instruction in ring 3. Further vCPUs halt. */
	.macro guest name
	.balign 4096
	.globl guest_\name, guest_\name\()_end
guest_\name:
	.set start, guest_\name
	jmp	. + ENTRY

	.org	start + MAILBOX
	.long	FORKVM_ABI_MAGIC, FORKVM_ABI_VERSION
	.quad	BASE + REQUEST, BASE + RESPONSE, BASE + CONSOLE
	.long	4096, 4096, 4096, 0
	.quad	0

	.org	start + GDT
	.quad	0, 0
	.quad	0x00af9b000000ffff, 0x00cf93000000ffff, 0	/* ring 0: code, data */
	.quad	0x00cff3000000ffff, 0x00affb000000ffff, 0	/* ring 3: data, code */
	.quad	(0x89 << 40) | ((BASE + TSS) << 16) | TSS_LIMIT, 0

	.org	start + GDT_POINTER
	.word	0x4f
	.quad	BASE + GDT

	.org	start + ENTRY
	test	%esi, %esi
	jnz	2f
	mov	$BASE + STACK_RING0, %esp
	lgdt	BASE + GDT_POINTER
	mov	$0x40, %eax
	ltr	%ax
	mov	$0x2b, %eax
	mov	%eax, %ds
	mov	%eax, %es
	push	$0x2b
	push	$BASE + STACK_RING3
	push	$2
	push	$0x33
	push	$BASE + (1f - start)
	iretq
2:
	cli
	hlt
	jmp	2b
1:
	.endm

	.macro guest_end name
	.org	start + TSS + 4
	.quad	BASE + STACK_RING0
	.org	start + TSS + 0x66
	.word	0x68
	.org	start + TSS + TSS_LIMIT
	.byte	0xff
	.org	start + IMAGE_SIZE
guest_\name\()_end:
	.endm

	.macro bell port, value
	mov	$\value, %eax
	mov	$\port, %edx
	out	%eax, %dx
	.endm

	.macro boot
	bell	FORKVM_PORT_BOOTED, BASE + MAILBOX
	.endm

	.macro template
	boot
	bell	FORKVM_PORT_TEMPLATE, 0
	.endm

/* Answer with the \len bytes at RESPONSE, park, and be done when there is more. */
	.macro answer len
	bell	FORKVM_PORT_READY, \len
	bell	FORKVM_PORT_PARK, 0
	bell	FORKVM_PORT_DONE, 0
	.endm

/* ---- Ends before the template point ---- */

	guest loop
	boot
1:	pause
	jmp	1b
	guest_end loop

	guest early_done
	boot
	bell	FORKVM_PORT_DONE, 0x1234
	guest_end early_done

	guest early_crash
	boot
	ud2
	guest_end early_crash

	/* Back in ring 0 is where HLT works, so this one never leaves it. */
	.balign 4096
	.globl guest_early_halt, guest_early_halt_end
guest_early_halt:
1:	cli
	hlt
	jmp	1b
	.org	guest_early_halt + 64
guest_early_halt_end:

	/* The same in a clone: doorbells from ring 0, the mailbox behind the code. */
	.balign 4096
	.globl guest_halt, guest_halt_end
guest_halt:
	.set start, guest_halt
	jmp	1f
	.org	start + MAILBOX
	.long	FORKVM_ABI_MAGIC, FORKVM_ABI_VERSION
	.quad	0, 0, 0
	.long	0, 0, 0, 0
	.quad	0
	.org	start + ENTRY
1:	test	%esi, %esi
	jnz	2f
	template
2:	cli
	hlt
	jmp	2b
	.org	start + IMAGE_SIZE
guest_halt_end:

	guest early_wild_read
	boot
	mov	0xd0000000, %eax
	guest_end early_wild_read

	guest early_wild_write
	boot
	mov	$0xd0000000, %edi
	movl	$1, (%rdi)
	guest_end early_wild_write

	guest template_twice
	template
	bell	FORKVM_PORT_TEMPLATE, 0
	guest_end template_twice

	guest early_in_from_doorbell
	boot
	mov	$FORKVM_PORT_TEMPLATE, %edx
	in	%dx, %eax
	guest_end early_in_from_doorbell

	guest string_out
	boot
	mov	$FORKVM_PORT_TEMPLATE, %edx
	mov	$BASE + RESPONSE, %esi
	mov	$8, %ecx
	rep outsl
	guest_end string_out

	/* Console text, then the template. */
	guest console
	boot
	movl	$0x6c6c6568, BASE + CONSOLE /* hell */
	movw	$0x0a6f, BASE + CONSOLE + 4 /* o, newline */
	bell	FORKVM_PORT_CONSOLE, 6
	bell	FORKVM_PORT_TEMPLATE, 0
	bell	FORKVM_PORT_CONSOLE, 6
	answer	0
	guest_end console

	/* A page here and there in the template: every 32 MiB of 3 GiB. */
	guest scatter
	boot
	mov	$64 << 20, %edi
1:	movb	$1, (%rdi)
	add	$32 << 20, %edi
	cmp	$3 << 30, %edi
	jb	1b
	bell	FORKVM_PORT_TEMPLATE, 0
	answer	0
	guest_end scatter

/* ---- Clones ---- */

	/* Ports without a device: what is written is lost, what is read is all ones. */
	guest ports
	template
	mov	$0x80, %edx
	mov	$0x12345678, %eax
	out	%eax, %dx
	xor	%eax, %eax
	in	%dx, %eax
	mov	%eax, BASE + RESPONSE
	xor	%eax, %eax
	in	%dx, %ax
	mov	%eax, BASE + RESPONSE + 4
	xor	%eax, %eax
	in	%dx, %al
	mov	%eax, BASE + RESPONSE + 8
	mov	$BASE + RESPONSE + 12, %edi
	mov	$5, %ecx
	rep insb
	answer	17
	guest_end ports

	/* A doorbell in the middle of what the freeze has to keep: counts its own steps. */
	guest steps
	boot
	xor	%ebx, %ebx
	inc	%ebx
	bell	FORKVM_PORT_TEMPLATE, 0
	inc	%ebx
	mov	%ebx, BASE + RESPONSE
	answer	4
	guest_end steps

	/* Rings READY, and goes on for as many requests as there are: answers each with its length. */
	guest session
	template
1:	mov	BASE + MAILBOX + 60, %eax /* request_len */
	mov	%eax, BASE + RESPONSE
	bell	FORKVM_PORT_READY, 4
	bell	FORKVM_PORT_PARK, 0
	jmp	1b
	guest_end session

	/* Does HOLE_* with memory the template never touched; answers 8 bytes. */
	guest holes
	boot
	movb	$0xc3, ISLAND_PAGE /* ret */
	bell	FORKVM_PORT_TEMPLATE, 0
	mov	BASE + REQUEST, %eax
	mov	BASE + REQUEST + 8, %rdi
	cmp	$HOLE_STORE, %eax
	je	hole_store
	cmp	$HOLE_VECTOR, %eax
	je	hole_vector
	cmp	$HOLE_ARITHMETC, %eax
	je	hole_arithmetic
	cmp	$HOLE_ATOMIC, %eax
	je	hole_atomic
	cmp	$HOLE_STRING, %eax
	je	hole_string
	cmp	$HOLE_STACK, %eax
	je	hole_stack
	cmp	$HOLE_CALL, %eax
	je	hole_call
	cmp	$HOLE_COPY, %eax
	je	hole_copy
	cmp	$HOLE_COMPARE, %eax
	je	hole_compare
	mov	(%rdi), %rax
	jmp	hole_done

hole_store:
	mov	$0x1122334455667788, %rax
	mov	%rax, (%rdi)
	xor	%eax, %eax
	mov	(%rdi), %rax
	jmp	hole_done

hole_vector:
	mov	$0x1122334455667788, %rax
	movq	%rax, %xmm0
	punpcklqdq %xmm0, %xmm0
	movups	%xmm0, (%rdi)
	movups	(%rdi), %xmm1
	pcmpeqb	%xmm0, %xmm1
	pmovmskb %xmm1, %eax /* 0xffff: all the same */
	jmp	hole_done

hole_arithmetic:
	mov	$77, %eax
	movq	%rax, %xmm0
	punpcklqdq %xmm0, %xmm0
	and	$-16, %rdi
	paddq	(%rdi), %xmm0
	movaps	%xmm0, (%rdi)
	paddq	(%rdi), %xmm0
	movq	%xmm0, %rax /* 154 */
	jmp	hole_done

hole_atomic:
	mov	$5, %eax
	lock xadd %rax, (%rdi)
	mov	$5, %eax
	lock xadd %rax, (%rdi)
	add	(%rdi), %rax /* 5 + 10 */
	jmp	hole_done

hole_string:
	mov	%rdi, %rsi
	mov	$3, %eax
	mov	$3 * 4096, %ecx
	rep stosb
	xor	%ebx, %ebx
	mov	$3 * 4096, %ecx
1:	movzbl	(%rsi), %eax
	add	%rax, %rbx
	inc	%rsi
	dec	%ecx
	jnz	1b
	mov	%rbx, %rax /* 36864 */
	jmp	hole_done

hole_stack:
	mov	%rsp, %rbx
	mov	%rdi, %rsp
	push	$0x55
	push	$0x66
	pop	%rax
	pop	%rcx
	mov	%rbx, %rsp
	shl	$8, %rax
	or	%rcx, %rax /* 0x6655 */
	jmp	hole_done

	/* Zeros are add %al, (%rax): harmless with AL zero and RAX an address. */
hole_call:
	mov	$BASE + RESPONSE, %eax
	movq	$0, (%rax)
	call	*%rdi
	jmp	hole_done

hole_copy:
	lea	0x800000(%rdi), %rsi
	mov	%rsi, %rbx
	movb	$9, (%rsi)
	movb	$8, 8191(%rsi)
	mov	$3 * 4096, %ecx
	rep movsb
	movzbl	-3 * 4096(%rdi), %eax
	movzbl	-3 * 4096 + 8191(%rdi), %ecx
	shl	$8, %eax
	or	%ecx, %eax /* 0x908 */
	jmp	hole_done

hole_compare:
	xor	%eax, %eax
	xor	%edx, %edx
	mov	$0x77, %ebx
	xor	%ecx, %ecx
	and	$-16, %rdi
	lock cmpxchg16b (%rdi)
	mov	(%rdi), %rax /* 0x77 */
	jmp	hole_done

hole_done:
	mov	%rax, BASE + RESPONSE
	answer	8
	guest_end holes

	.section .note.GNU-stack, "", @progbits

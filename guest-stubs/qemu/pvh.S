/* SPDX-License-Identifier: MIT */
/*
 * A stub's first instructions under QEMU: from the PVH entry (32-bit protected mode, no paging,
 * EBX: start information) to _start as forkvm's loader enters it: 64-bit mode, ring 0, everything
 * below 4 GiB mapped one to one in pages of 2 MiB that ring 3 may use.
 *
 * PVH: Xen's docs/misc/pvh.pandoc. Page tables and control registers: Intel SDM volume 3, chapters
 * 2.5 and 4.5; the bits are those of vmm/boot/longmode.c.
 */
#include "guest-stubs/runtime/layout.h"

#define NOTE_PHYS32_ENTRY 18
#define CR0_LONG_MODE	  0x80010033 /* PG WP NE ET MP PE */
#define CR4_LONG_MODE	  0x620	     /* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER	  0xc0000080
#define EFER_LME	  0x100
#define PTE_TABLE	  0x27 /* accessed, user, writable, present */
#define PTE_PAGE	  0xe7 /* and large, dirty */
#define LARGE_PAGE	  0x200000
#define DIRECTORIES	  4 /* a GiB each */

	.section .note.Xen, "a", @note
	.balign 4
	.long	4, 8, NOTE_PHYS32_ENTRY
	.asciz	"Xen"
	.quad	pvh_start

	.section .text.start, "ax", @progbits
	.code32
	.globl pvh_start
	.type pvh_start, @function
pvh_start:
	cld
	mov	$PTE_PAGE, %eax
	mov	$directories, %edi
	mov	$512 * DIRECTORIES, %ecx
1:
	mov	%eax, (%edi)
	add	$LARGE_PAGE, %eax
	add	$8, %edi
	loop	1b

	mov	$directories + PTE_TABLE, %eax
	mov	$pvh_pdpt, %edi
	mov	$DIRECTORIES, %ecx
2:
	mov	%eax, (%edi)
	add	$STUB_PAGE_SIZE, %eax
	add	$8, %edi
	loop	2b
	movl	$pvh_pdpt + PTE_TABLE, pml4

	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$CR4_LONG_MODE, %eax
	mov	%eax, %cr4
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$EFER_LME, %eax
	wrmsr
	mov	$CR0_LONG_MODE, %eax
	mov	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$STUB_KERNEL_CS, $3f

	.code64
3:
	mov	$STUB_KERNEL_DS, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$stub_hot + STUB_STACK_SIZE, %esp
	mov	%ebx, %edi
	call	pvh_boot_info
	mov	%rax, %rdi
	xor	%esi, %esi
	jmp	_start
	.size pvh_start, . - pvh_start

	.section .rodata.start, "a", @progbits
	.balign 8
gdt:
	.quad	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.section .bss.tables, "aw", @nobits
	.balign STUB_PAGE_SIZE
	.globl pvh_pdpt
pml4:
	.skip	STUB_PAGE_SIZE
pvh_pdpt:
	.skip	STUB_PAGE_SIZE
directories:
	.skip	STUB_PAGE_SIZE * DIRECTORIES

	.section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: MIT */
/*
 * The compiled dsdt.asl as bytes in the program. FORKVM_DSDT_AML is the file's path, from the build.
 */
	.section .rodata
	.balign 8
	.globl acpi_dsdt
	.hidden acpi_dsdt
	.type acpi_dsdt, @object
acpi_dsdt:
	.incbin FORKVM_DSDT_AML
1:
	.size acpi_dsdt, 1b - acpi_dsdt

	.balign 8
	.globl acpi_dsdt_size
	.hidden acpi_dsdt_size
	.type acpi_dsdt_size, @object
acpi_dsdt_size:
	.long 1b - acpi_dsdt
	.size acpi_dsdt_size, 4

	.section .note.GNU-stack, "", @progbits

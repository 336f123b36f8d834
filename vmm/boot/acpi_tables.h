/* SPDX-License-Identifier: MIT */
/*
 * The layout of ACPI tables: ACPI specification 6.3, section 5.2.
 */
#ifndef FORKVM_VMM_BOOT_ACPI_TABLES_H
#define FORKVM_VMM_BOOT_ACPI_TABLES_H

#include <assert.h>
#include <stdint.h>

/* 5.2.5.3: the root pointer */
struct acpi_rsdp {
	char signature[8]; /* "RSD PTR " */
	uint8_t checksum;  /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum; /* of all of it */
	uint8_t reserved[3];
} __attribute__((packed));

#define ACPI_RSDP_V1_BYTES 20u

/* 5.2.6: what every other table starts with */
struct acpi_header {
	char signature[4];
	uint32_t length; /* of the whole table */
	uint8_t revision;
	uint8_t checksum; /* makes all bytes add up to 0 */
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} __attribute__((packed));

/* 5.2.3.2: an address of a register */
struct acpi_gas {
	uint8_t space;	/* ACPI_SPACE_* */
	uint8_t bits;	/* width of the register */
	uint8_t shift;	/* its first bit */
	uint8_t access; /* 1: by bytes */
	uint64_t address;
} __attribute__((packed));

#define ACPI_SPACE_IO	 1u
#define ACPI_ACCESS_BYTE 1u

/* 5.2.8, with as many entries as there are tables for it to name here */
struct acpi_xsdt {
	struct acpi_header header; /* "XSDT" */
	uint64_t tables[2];
} __attribute__((packed));

/* 5.2.9: fixed hardware, of which a hardware-reduced machine has nearly nothing */
struct acpi_fadt {
	struct acpi_header header; /* "FACP" */
	uint32_t facs;
	uint32_t dsdt;
	uint8_t reserved1;
	uint8_t pm_profile;
	uint16_t sci_interrupt;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios_request, pstate_control;
	uint32_t register_blocks[8]; /* PM1a event to GPE1 */
	uint8_t register_lengths[8]; /* PM1 event to C state control */
	uint16_t c2_latency, c3_latency;
	uint16_t flush_size, flush_stride;
	uint8_t duty_offset, duty_width;
	uint8_t day_alarm, month_alarm, century;
	uint16_t boot_architecture; /* ACPI_BOOT_* */
	uint8_t reserved2;
	uint32_t flags; /* ACPI_FADT_* */
	struct acpi_gas reset;
	uint8_t reset_value;
	uint16_t arm_boot_architecture;
	uint8_t minor_revision;
	uint64_t x_facs;
	uint64_t x_dsdt;
	struct acpi_gas x_register_blocks[8];
	struct acpi_gas sleep_control;
	struct acpi_gas sleep_status;
	char hypervisor[8];
} __attribute__((packed));

/* Table 5-35 */
#define ACPI_FADT_WBINVD	   (1u << 0)  /* the instruction works */
#define ACPI_FADT_POWER_BUTTON	   (1u << 4)  /* none of the fixed kind */
#define ACPI_FADT_SLEEP_BUTTON	   (1u << 5)  /* the same */
#define ACPI_FADT_RESET		   (1u << 10) /* reset and reset_value hold */
#define ACPI_FADT_HARDWARE_REDUCED (1u << 20)

/* Table 5-36; neither legacy devices nor an 8042: their bits are not set */
#define ACPI_BOOT_NO_VGA	   (1u << 2)
#define ACPI_BOOT_NO_MSI	   (1u << 3)
#define ACPI_BOOT_NO_RTC	   (1u << 5)

/* 5.2.12: interrupt controllers. Entries follow. */
struct acpi_madt {
	struct acpi_header header; /* "APIC" */
	uint32_t lapic;
	uint32_t flags; /* bit 0: there are two 8259 as well */
} __attribute__((packed));

#define ACPI_MADT_LAPIC	    0u
#define ACPI_MADT_IOAPIC    1u
#define ACPI_MADT_LAPIC_NMI 4u

/* 5.2.12.2 */
struct acpi_madt_lapic {
	uint8_t type, length;
	uint8_t uid;
	uint8_t apic_id;
	uint32_t flags; /* bit 0: usable */
} __attribute__((packed));

/* 5.2.12.3 */
struct acpi_madt_ioapic {
	uint8_t type, length;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t gsi_base;
} __attribute__((packed));

/* 5.2.12.7 */
struct acpi_madt_lapic_nmi {
	uint8_t type, length;
	uint8_t uid; /* 255: all */
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 6.3, 5.2.5.3");
static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.3, 5.2.6");
static_assert(sizeof(struct acpi_gas) == 12, "ACPI 6.3, 5.2.3.2");
static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.3, 5.2.9");
static_assert(sizeof(struct acpi_madt) == 44, "ACPI 6.3, 5.2.12");
static_assert(sizeof(struct acpi_madt_lapic) == 8, "ACPI 6.3, 5.2.12.2");
static_assert(sizeof(struct acpi_madt_ioapic) == 12, "ACPI 6.3, 5.2.12.3");
static_assert(sizeof(struct acpi_madt_lapic_nmi) == 6, "ACPI 6.3, 5.2.12.7");

#endif

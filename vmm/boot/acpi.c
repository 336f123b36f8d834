/* SPDX-License-Identifier: MIT */
/*
 * Writing the ACPI tables: see acpi.h.
 */
#include "vmm/boot/acpi.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"
#include "vmm/boot/acpi_tables.h"
#include "vmm/boot/linux.h"

#define TABLE_ALIGNMENT	 64u
#define FADT_REVISION	 6u
#define FADT_MINOR	 3u
#define MADT_REVISION	 5u
#define IOAPIC_ID	 0u	 /* what KVM's says of itself after a reset */
#define LATENCY_NO_STATE 0xffffu /* microseconds; more than 100 and 1000: no C2 and no C3 */

/* The compiled dsdt.asl: dsdt.S. */
extern const uint8_t acpi_dsdt[];
extern const uint32_t acpi_dsdt_size;

/* Where the next table goes. */
struct area {
	uint8_t *host; /* of GPA_ACPI */
	uint64_t used; /* bytes */
};

/* Zeroed room for a table of size bytes. There is enough: acpi_write_tables has seen to it. */
static void *take(struct area *area, uint64_t size, gpa_t *ret_gpa)
{
	void *at = area->host + area->used;

	assert(area->used + size <= GPA_ACPI_END - GPA_ACPI);
	*ret_gpa = GPA_ACPI + area->used;
	area->used = round_up(area->used + size, TABLE_ALIGNMENT);
	return at;
}

/* What has to be added to the sum of all bytes for it to be 0. */
static uint8_t checksum(const void *table, size_t size)
{
	const uint8_t *bytes = table;
	unsigned int sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += bytes[i];
	return (uint8_t)(0u - sum);
}

/* Everything of a table but its header stands: write that. */
static void finish(struct acpi_header *header, const char *signature, size_t length,
		   uint8_t revision)
{
	memcpy(header->signature, signature, sizeof(header->signature));
	header->length = (uint32_t)length;
	header->revision = revision;
	memcpy(header->oem_id, "FORKVM", sizeof(header->oem_id));
	memcpy(header->oem_table_id, "FORKVM\0", sizeof(header->oem_table_id));
	header->oem_revision = 1;
	memcpy(header->creator_id, "FKVM", sizeof(header->creator_id));
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = checksum(header, length);
}

static struct acpi_gas byte_port(unsigned int port)
{
	return (struct acpi_gas){
		.space = ACPI_SPACE_IO, .bits = 8, .access = ACPI_ACCESS_BYTE, .address = port};
}

static gpa_t write_dsdt(struct area *area)
{
	gpa_t gpa;

	/* iasl made its header. */
	memcpy(take(area, acpi_dsdt_size, &gpa), acpi_dsdt, acpi_dsdt_size);
	return gpa;
}

static gpa_t write_fadt(struct area *area, gpa_t dsdt)
{
	gpa_t gpa;
	struct acpi_fadt *fadt = take(area, sizeof(*fadt), &gpa);

	*fadt = (struct acpi_fadt){
		.dsdt = (uint32_t)dsdt,
		.c2_latency = LATENCY_NO_STATE,
		.c3_latency = LATENCY_NO_STATE,
		.boot_architecture = ACPI_BOOT_NO_VGA | ACPI_BOOT_NO_MSI | ACPI_BOOT_NO_RTC,
		.flags = ACPI_FADT_WBINVD | ACPI_FADT_POWER_BUTTON | ACPI_FADT_SLEEP_BUTTON |
			 ACPI_FADT_RESET | ACPI_FADT_HARDWARE_REDUCED,
		.reset = byte_port(PORT_ACPI + 2),
		.reset_value = ACPI_RESET_VALUE,
		.minor_revision = FADT_MINOR,
		.x_dsdt = dsdt,
		.sleep_control = byte_port(PORT_ACPI),
		.sleep_status = byte_port(PORT_ACPI + 1),
		.hypervisor = "FORKVM",
	};
	finish(&fadt->header, "FACP", sizeof(*fadt), FADT_REVISION);
	return gpa;
}

/* Processor and APIC ids are the vCPU's index. */
static gpa_t write_madt(struct area *area, unsigned int vcpus)
{
	size_t size = sizeof(struct acpi_madt) + vcpus * sizeof(struct acpi_madt_lapic) +
		      sizeof(struct acpi_madt_ioapic) + sizeof(struct acpi_madt_lapic_nmi);
	gpa_t gpa;
	struct acpi_madt *madt = take(area, size, &gpa);
	struct acpi_madt_lapic *lapic = (void *)(madt + 1);
	struct acpi_madt_ioapic *ioapic = (void *)(lapic + vcpus);
	struct acpi_madt_lapic_nmi *nmi = (void *)(ioapic + 1);

	madt->lapic = (uint32_t)GPA_LAPIC;
	for (unsigned int i = 0; i < vcpus; i++)
		lapic[i] = (struct acpi_madt_lapic){.type = ACPI_MADT_LAPIC,
						    .length = sizeof(*lapic),
						    .uid = (uint8_t)i,
						    .apic_id = (uint8_t)i,
						    .flags = 1};
	*ioapic = (struct acpi_madt_ioapic){.type = ACPI_MADT_IOAPIC,
					    .length = sizeof(*ioapic),
					    .id = IOAPIC_ID,
					    .address = (uint32_t)GPA_IOAPIC};
	*nmi = (struct acpi_madt_lapic_nmi){
		.type = ACPI_MADT_LAPIC_NMI, .length = sizeof(*nmi), .uid = 255, .lint = 1};
	finish(&madt->header, "APIC", size, MADT_REVISION);
	return gpa;
}

static void write_roots(struct area *area, struct acpi_rsdp *rsdp, gpa_t fadt, gpa_t madt)
{
	gpa_t gpa;
	struct acpi_xsdt *xsdt = take(area, sizeof(*xsdt), &gpa);

	xsdt->tables[0] = fadt;
	xsdt->tables[1] = madt;
	finish(&xsdt->header, "XSDT", sizeof(*xsdt), 1);
	*rsdp = (struct acpi_rsdp){.revision = 2, .length = sizeof(*rsdp), .xsdt = gpa};
	memcpy(rsdp->signature, "RSD PTR ", sizeof(rsdp->signature));
	memcpy(rsdp->oem_id, "FORKVM", sizeof(rsdp->oem_id));
	rsdp->checksum = checksum(rsdp, ACPI_RSDP_V1_BYTES);
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
}

int acpi_write_tables(const struct guest_ram *ram, const struct linux_platform *platform,
		      struct error *error)
{
	struct area area = {.host = guest_ram_at(ram, GPA_ACPI, GPA_ACPI_END - GPA_ACPI)};
	struct acpi_config *config = guest_ram_at(ram, GPA_ACPI_CONFIG, PAGE_BYTES);
	struct acpi_rsdp *rsdp;
	gpa_t gpa, dsdt, fadt, madt;

	if (platform->vcpus == 0 || platform->vcpus > ACPI_VCPUS_MAX)
		return error_set(error, EINVAL, "%u vCPUs: 1 to %u can be told to Linux",
				 platform->vcpus, ACPI_VCPUS_MAX);
	if (platform->virtio_slots >> VIRTIO_SLOTS_MAX)
		return error_set(error, EINVAL, "virtio slots %#x: there are %u",
				 platform->virtio_slots, VIRTIO_SLOTS_MAX);
	if (!area.host || !config)
		return error_set(error, EFBIG,
				 "no room for ACPI tables in %llu KiB of RAM: give it more",
				 (unsigned long long)(ram->size / KIB));
	memset(area.host, 0, GPA_ACPI_END - GPA_ACPI);
	rsdp = take(&area, sizeof(*rsdp), &gpa);
	dsdt = write_dsdt(&area);
	fadt = write_fadt(&area, dsdt);
	madt = write_madt(&area, platform->vcpus);
	write_roots(&area, rsdp, fadt, madt);
	*config = (struct acpi_config){
		.virtio_slots = platform->virtio_slots,
		.devices = (platform->serial ? ACPI_CONFIG_SERIAL : 0) |
			   (platform->vmgenid ? ACPI_CONFIG_VMGENID : 0),
	};
	return 0;
}

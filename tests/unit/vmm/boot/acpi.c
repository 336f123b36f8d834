/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/acpi.c: the tables found and read as a guest does it. */
#include "vmm/boot/acpi.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/boot/kernels.h"
#include "vmm/boot/acpi_tables.h"
#include "vmm/boot/linux.h"

static struct guest_ram ram;

static void set_up(void)
{
	ram = kernels_make_ram(2 * MIB);
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(acpi, .init = set_up, .fini = tear_down);

static void write_tables(const struct linux_platform *platform)
{
	struct error error = {0};

	cr_assert_eq(acpi_write_tables(&ram, platform, &error), 0, "%s", error.text);
}

static uint8_t sum(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint8_t total = 0;

	for (size_t i = 0; i < size; i++)
		total = (uint8_t)(total + at[i]);
	return total;
}

/* A table in its area, with its signature and a right checksum. */
static const void *table_at(gpa_t gpa, const char *signature)
{
	const struct acpi_header *header = guest_ram_at(&ram, gpa, sizeof(*header));

	cr_assert(gpa > GPA_ACPI && gpa < GPA_ACPI_END, "%s at %#llx", signature,
		  (unsigned long long)gpa);
	cr_assert_eq(memcmp(header->signature, signature, 4), 0, "%.4s is no %s", header->signature,
		     signature);
	cr_assert_geq(header->length, sizeof(*header));
	cr_assert_leq(gpa + header->length, GPA_ACPI_END);
	cr_assert_eq(sum(header, header->length), 0, "%s", signature);
	return header;
}

static const struct acpi_xsdt *find_xsdt(void)
{
	const struct acpi_rsdp *rsdp = guest_ram_at(&ram, GPA_ACPI, sizeof(*rsdp));
	const struct acpi_xsdt *xsdt;

	cr_assert_eq(memcmp(rsdp->signature, "RSD PTR ", 8), 0);
	cr_assert_eq(rsdp->revision, 2);
	cr_assert_eq(rsdp->length, 36);
	cr_assert_eq(sum(rsdp, 20), 0);
	cr_assert_eq(sum(rsdp, 36), 0);
	xsdt = table_at(rsdp->xsdt, "XSDT");
	cr_assert_eq(xsdt->header.length, 36 + 2 * 8);
	return xsdt;
}

static const struct acpi_fadt *find_fadt(void)
{
	return table_at(find_xsdt()->tables[0], "FACP");
}

Test(acpi, all_tables_are_found_and_add_up)
{
	const struct linux_platform platform = {.vcpus = 1};

	write_tables(&platform);
	table_at(find_fadt()->x_dsdt, "DSDT");
	table_at(find_xsdt()->tables[1], "APIC");
}

/* iasl has been seen to make a file longer than its table says, with the rest of it garbage. */
Test(acpi, the_compiled_table_ends_where_it_says)
{
	extern const uint32_t acpi_dsdt_size;
	const struct linux_platform platform = {.vcpus = 1};
	const struct acpi_header *dsdt;

	write_tables(&platform);
	dsdt = table_at(find_fadt()->x_dsdt, "DSDT");
	cr_assert_eq(dsdt->length, acpi_dsdt_size);
	cr_assert_eq(dsdt->revision, 2, "64-bit integers");
}

Test(acpi, the_machine_is_of_the_hardware_reduced_kind)
{
	const struct linux_platform platform = {.vcpus = 1};
	const struct acpi_fadt *fadt;

	write_tables(&platform);
	fadt = find_fadt();
	cr_assert_eq(fadt->header.revision, 6);
	cr_assert_eq(fadt->header.length, 276);
	cr_assert_eq(fadt->flags, 1u << 20 | 1u << 10 | 1u << 5 | 1u << 4 | 1u);
	cr_assert_eq(fadt->boot_architecture, 1u << 5 | 1u << 3 | 1u << 2);
	cr_assert_eq(fadt->sleep_control.space, 1);
	cr_assert_eq(fadt->sleep_control.address, PORT_ACPI);
	cr_assert_eq(fadt->sleep_status.space, 1);
	cr_assert_eq(fadt->sleep_status.address, PORT_ACPI + 1);
	cr_assert_eq(fadt->reset.space, 1);
	cr_assert_eq(fadt->reset.address, PORT_ACPI + 2);
	cr_assert_eq(fadt->reset_value, ACPI_RESET_VALUE);
	cr_assert_lt(PORT_ACPI + 2, PORT_ACPI + PORT_ACPI_COUNT);
	cr_assert_eq(fadt->dsdt, fadt->x_dsdt);
	cr_assert_eq(fadt->facs, 0);
}

static void check_processors(unsigned int vcpus)
{
	const struct linux_platform platform = {.vcpus = vcpus};
	const struct acpi_madt *madt;
	const struct acpi_madt_lapic *lapic;
	const struct acpi_madt_ioapic *ioapic;
	const struct acpi_madt_lapic_nmi *nmi;

	write_tables(&platform);
	madt = table_at(find_xsdt()->tables[1], "APIC");
	cr_assert_eq(madt->header.length, 44 + 8 * vcpus + 12 + 6);
	cr_assert_eq(madt->lapic, GPA_LAPIC);
	cr_assert_eq(madt->flags, 0, "no 8259");
	lapic = (const void *)(madt + 1);
	for (unsigned int i = 0; i < vcpus; i++, lapic++) {
		cr_assert(lapic->type == 0 && lapic->length == 8 && lapic->flags == 1);
		cr_assert_eq(lapic->uid, i);
		cr_assert_eq(lapic->apic_id, i);
	}
	ioapic = (const void *)lapic;
	cr_assert(ioapic->type == 1 && ioapic->length == 12);
	cr_assert_eq(ioapic->address, GPA_IOAPIC);
	cr_assert_eq(ioapic->gsi_base, 0);
	nmi = (const void *)(ioapic + 1);
	cr_assert(nmi->type == 4 && nmi->length == 6 && nmi->uid == 255 && nmi->lint == 1);
}

Test(acpi, one_entry_a_processor)
{
	check_processors(1);
	check_processors(2);
	check_processors(32);
	check_processors(ACPI_VCPUS_MAX);
}

Test(acpi, what_the_machine_has)
{
	const struct acpi_config *config = guest_ram_at(&ram, GPA_ACPI_CONFIG, sizeof(*config));

	write_tables(&(struct linux_platform){.vcpus = 1});
	cr_assert_eq(config->virtio_slots, 0);
	cr_assert_eq(config->devices, 0);
	write_tables(&(struct linux_platform){.vcpus = 1, .virtio_slots = 0x2005, .serial = true});
	cr_assert_eq(config->virtio_slots, 0x2005);
	cr_assert_eq(config->devices, 1);
	write_tables(&(struct linux_platform){.vcpus = 1, .vmgenid = true});
	cr_assert_eq(config->devices, 2);
}

static void refuse(const struct linux_platform *platform, int code, const char *part)
{
	struct error error = {0};

	cr_assert_eq(acpi_write_tables(&ram, platform, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
}

Test(acpi, a_machine_that_cannot_be)
{
	refuse(&(struct linux_platform){.vcpus = 0}, EINVAL, "0 vCPUs");
	refuse(&(struct linux_platform){.vcpus = ACPI_VCPUS_MAX + 1}, EINVAL, "254");
	refuse(&(struct linux_platform){.vcpus = 1, .virtio_slots = 1u << VIRTIO_SLOTS_MAX}, EINVAL,
	       "slots");
}

Test(acpi, ram_that_ends_too_early)
{
	guest_ram_done(&ram);
	ram = kernels_make_ram(GPA_ACPI_END);
	refuse(&(struct linux_platform){.vcpus = 1}, EFBIG, "give it more");
	guest_ram_done(&ram);
	ram = kernels_make_ram(GPA_ACPI_CONFIG);
	refuse(&(struct linux_platform){.vcpus = 1}, EFBIG, "give it more");
}

/* How often text is in the file. */
static unsigned int occurrences(const char *path, const char *text)
{
	static char content[256 * 1024];
	FILE *file = fopen(path, "r");
	unsigned int count = 0;

	cr_assert_not_null(file, "%s", path);
	content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
	fclose(file);
	for (const char *at = content; (at = strstr(at, text)); at += strlen(text))
		count++;
	return count;
}

/* Somebody else's reader of AML sees the devices with the addresses and lines of layout.h. */
Test(acpi, the_devices_as_iasl_reads_them, .timeout = 30)
{
	const struct linux_platform platform = {.vcpus = 1};
	char aml[HELPER_PATH_SIZE], dsl[HELPER_PATH_SIZE], text[2 * HELPER_PATH_SIZE];
	const struct acpi_header *dsdt;

	require(system("command -v iasl >/dev/null") == 0, "iasl is not installed");
	write_tables(&platform);
	dsdt = table_at(find_fadt()->x_dsdt, "DSDT");
	helper_file(aml, ".aml", dsdt, dsdt->length);
	snprintf(text, sizeof(text), "iasl -d %s >/dev/null 2>&1", aml);
	cr_assert_eq(system(text), 0, "%s", text);
	snprintf(dsl, sizeof(dsl), "%.*s.dsl", (int)(strlen(aml) - 4), aml);

	cr_assert_eq(occurrences(dsl, "\"LNRO0005\""), VIRTIO_SLOTS_MAX);
	for (unsigned int slot = 0; slot < VIRTIO_SLOTS_MAX; slot++) {
		snprintf(text, sizeof(text), "0x%08llX,         // Address Base",
			 (unsigned long long)(GPA_VIRTIO_MMIO + slot * VIRTIO_MMIO_BYTES));
		cr_assert_eq(occurrences(dsl, text), 1, "%s", text);
		snprintf(text, sizeof(text), "0x%08X,\n                }\n", GSI_VIRTIO + slot);
		cr_assert_eq(occurrences(dsl, text), 1, "%s", text);
	}
	snprintf(text, sizeof(text), "0x%04X,             // Range Minimum", PORT_COM1);
	cr_assert_eq(occurrences(dsl, text), 1, "%s", text);
	snprintf(text, sizeof(text), "SystemMemory, 0x%08llX, 0x%02zX",
		 (unsigned long long)GPA_ACPI_CONFIG, sizeof(struct acpi_config));
	cr_assert_eq(occurrences(dsl, text), 1, "%s", text);
	snprintf(text, sizeof(text), "0x%08llX, \n                Zero",
		 (unsigned long long)GPA_VMGENID);
	cr_assert_eq(occurrences(dsl, text), 1, "%s", text);
	cr_assert_eq(occurrences(dsl, "\"VM_Gen_Counter\""), 2);
	cr_assert_eq(occurrences(dsl, "Notify (GENI, 0x80)"), 1);
	cr_assert_eq(occurrences(dsl, "Edge, ActiveHigh, Exclusive"), VIRTIO_SLOTS_MAX + 2);
	unlink(aml);
	unlink(dsl);
}

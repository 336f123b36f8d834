// SPDX-License-Identifier: MIT
//
// What a Linux guest finds in this machine, in ACPI's own language (ACPI specification 6.3, chapters
// 5, 6 and 19). Compiled at build time: the C preprocessor puts in the values of vmm/base/layout.h,
// iasl makes the table. One table serves every machine: a device says by _STA whether it is there,
// and asks the page at GPA_ACPI_CONFIG, which C code fills (struct acpi_config of vmm/boot/acpi.h).

// A virtio-mmio device in a slot. The id is the one that Linux knows virtio-mmio by. The build works
// out each slot's address and line (iasl makes broken tables of sums in resource templates).
#define VIRTIO_SLOT(NAME, SLOT)								\
	Device (NAME)									\
	{										\
		Name (_HID, "LNRO0005")							\
		Name (_UID, SLOT)							\
		Name (_CCA, One)							\
		Method (_STA, 0)							\
		{									\
			Return (SLTS (SLOT))						\
		}									\
		Name (_CRS, ResourceTemplate ()						\
		{									\
			Memory32Fixed (ReadWrite, GPA_VIRTIO_MMIO_##SLOT,		\
				       VIRTIO_MMIO_BYTES)				\
			Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive)	\
			{								\
				GSI_VIRTIO_##SLOT					\
			}								\
		})									\
	}

DefinitionBlock ("", "DSDT", 2, "FORKVM", "FORKVM", 1)
{
	// Soft off: what goes into SLP_TYP of the sleep control register of the FADT.
	Name (\_S5, Package () { 5, 0, 0, 0 })

	Scope (\_SB)
	{
		// struct acpi_config
		OperationRegion (CONF, SystemMemory, GPA_ACPI_CONFIG, 8)
		Field (CONF, DWordAcc, NoLock, Preserve)
		{
			SLOT, 32,	// virtio_slots: bit i: slot i has a device
			SERI, 1,	// devices: ACPI_CONFIG_SERIAL
			VGEN, 1,	//          ACPI_CONFIG_VMGENID
		}

		// _STA of something that is there if Arg0 is not zero.
		Method (STAT, 1)
		{
			If (Arg0)
			{
				Return (0x0f)
			}
			Return (Zero)
		}

		// _STA of virtio slot Arg0.
		Method (SLTS, 1)
		{
			Return (STAT (SLOT & (One << Arg0)))
		}

		// The serial port: a 16550.
		Device (COM1)
		{
			Name (_HID, EisaId ("PNP0501"))
			Name (_UID, One)
			Method (_STA, 0)
			{
				Return (STAT (SERI))
			}
			Name (_CRS, ResourceTemplate ()
			{
				IO (Decode16, PORT_COM1, PORT_COM1, 1, 8)
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive)
				{
					GSI_COM1
				}
			})
		}

		// The generation id of this clone ("Virtual Machine Generation ID", Microsoft 2012):
		// 16 bytes at ADDR; drivers know the device by _CID.
		Device (GENI)
		{
			Name (_HID, "FKVM0001")
			Name (_CID, "VM_Gen_Counter")
			Name (_DDN, "VM_Gen_Counter")
			Method (_STA, 0)
			{
				Return (STAT (VGEN))
			}
			// low and high half
			Name (ADDR, Package () { GPA_VMGENID, Zero })
		}

		// The generic event device (ACPI 6.3, 5.6.9): its one interrupt says that the
		// generation id is a new one.
		Device (EVNT)
		{
			Name (_HID, "ACPI0013")
			Name (_UID, Zero)
			Method (_STA, 0)
			{
				Return (STAT (VGEN))
			}
			Name (_CRS, ResourceTemplate ()
			{
				Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive)
				{
					GSI_ACPI_EVENT
				}
			})
			Method (_EVT, 1, Serialized)
			{
				If (Arg0 == GSI_ACPI_EVENT)
				{
					Notify (\_SB.GENI, 0x80)
				}
			}
		}

		// VIRTIO_SLOTS_MAX of them
		VIRTIO_SLOT (VIO0, 0)
		VIRTIO_SLOT (VIO1, 1)
		VIRTIO_SLOT (VIO2, 2)
		VIRTIO_SLOT (VIO3, 3)
		VIRTIO_SLOT (VIO4, 4)
		VIRTIO_SLOT (VIO5, 5)
		VIRTIO_SLOT (VIO6, 6)
		VIRTIO_SLOT (VIO7, 7)
		VIRTIO_SLOT (VIO8, 8)
		VIRTIO_SLOT (VIO9, 9)
		VIRTIO_SLOT (VI10, 10)
		VIRTIO_SLOT (VI11, 11)
		VIRTIO_SLOT (VI12, 12)
		VIRTIO_SLOT (VI13, 13)
	}
}

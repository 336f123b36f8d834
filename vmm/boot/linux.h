/* SPDX-License-Identifier: MIT */
/*
 * Starting a stock Linux kernel: the kernel, its command line, its initrd, the description of its
 * machine, all put into RAM; and the first register values.
 *
 * Theory of operation. A file that Linux is built to comes in two kinds. A bzImage (what a
 * distribution installs as vmlinuz) unpacks itself: it is started by the 64-bit boot protocol of
 * Documentation/arch/x86/boot.rst, see bzimage.h. An uncompressed vmlinux, an ELF file, is started
 * by the PVH entry of Xen, in 32-bit mode, see pvh.h. Both find the same machine, as acpi.h and
 * e820.h tell it. The places of everything are in vmm/base/layout.h; the initrd goes to the top of
 * the RAM below 4 GiB, or as high as the kernel can reach it.
 */
#ifndef FORKVM_VMM_BOOT_LINUX_H
#define FORKVM_VMM_BOOT_LINUX_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/guest_ram.h"

#define LINUX_KERNEL_SIZE_MAX \
	(1ull << 30) /* bytes of file; a vmlinux may carry debug information */
#define LINUX_INITRD_SIZE_MAX (1ull << 30)

/* The console is the serial port, the root the first disk; a panic is a reset at once. */
#define LINUX_DEFAULT_CMDLINE "console=ttyS0 root=/dev/vda rw panic=-1"

/* What the operator gave. Paths are not kept. */
struct linux_boot {
	const char *kernel;  /* bzImage or uncompressed vmlinux  */
	const char *initrd;  /* NULL: none                       */
	const char *cmdline; /* NULL: LINUX_DEFAULT_CMDLINE      */
};

/* What the machine has. */
struct linux_platform {
	unsigned int vcpus;    /* 1 to ACPI_VCPUS_MAX                        */
	uint32_t virtio_slots; /* bit i: slot i has a device                 */
	bool serial;	       /* a 16550 at PORT_COM1                       */
	bool vmgenid;	       /* a generation id at GPA_VMGENID             */
};

/* How the boot CPU starts. */
struct linux_entry {
	bool is_64bit; /* else 32-bit, paging off                         */
	gpa_t entry;   /* first instruction                               */
	gpa_t info;    /* struct boot_params, or struct pvh_start_info    */
	gpa_t end;     /* first byte above what the kernel takes at first */
};

/*
 * Load what boot names into RAM that is all zeros. Each message names the file, what is wrong and
 * what helps. Errors:
 *	-ENOENT, -EACCES, ...	as open(2) and read(2) say
 *	-ENODATA		an empty file
 *	-EINVAL			not a regular file; a platform that cannot be
 *	-ENOEXEC		not a kernel, one for another machine, one in a form that is not
 *				started here (compressed, for EFI only), a header of nonsense
 *	-EBADMSG		a bzImage cut short (a vmlinux: -ENOEXEC)
 *	-EPROTONOSUPPORT	a bzImage too old, or a 32-bit one
 *	-EFBIG			a file above its limit; kernel or initrd do not fit into the RAM
 *	-E2BIG			a command line longer than the kernel's limit
 */
int linux_load(const struct linux_boot *boot, const struct linux_platform *platform,
	       const struct guest_ram *ram, struct linux_entry *ret, struct error *error);

/*
 * Make a fresh vCPU of a VM with in-kernel interrupt controllers, with its CPUID table applied,
 * what firmware would leave behind: memory is cached by default, string instructions are fast, the
 * 8259 is cut off. To be called for every vCPU. The boot CPU, index 0, is pointed at the entry;
 * others wait for it to start them. Errors: those of the KVM calls.
 */
int linux_enter(const struct kvm_vcpu *vcpu, const struct linux_entry *entry, struct error *error);

#endif

/* SPDX-License-Identifier: MIT */
/* A guest of a few instructions for the probes; see guest.h. */
#define _GNU_SOURCE
#include "guest.h"

#include "probe.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Guest-physical map below GUEST_CODE and above it, inside the first memslot. */
#define PML4	      0x1000ul
#define PDPT	      0x2000ul
#define PD	      0x3000ul
#define STACK	      0x8000ul /* grows down from the code */
#define TSS	      0x10000ul

#define TSS_BITMAP_AT 0x68u  /* offset of the I/O bitmap in a 64-bit TSS    */
#define TSS_BASE_AT   0x66u  /* offset of the field that holds that offset  */
#define TSS_BITMAP    8192u  /* one bit a port                              */
#define PTE_USER      0x7ul  /* present, writable, user                     */
#define PTE_LARGE     0xe7ul /* the same, accessed, dirty, 2 MiB page       */

static void put64(uint8_t *at, uint64_t value)
{
	memcpy(at, &value, sizeof(value));
}

static void write_tables(uint8_t *ram)
{
	const uint16_t bitmap_base = TSS_BITMAP_AT;

	put64(ram + PML4, PDPT | PTE_USER);
	put64(ram + PDPT, PD | PTE_USER);
	for (uint64_t i = 0; i < 512; i++)
		put64(ram + PD + i * 8, i << 21 | PTE_LARGE);
	/* The bitmap is zeros, every port allowed, and ends with a byte of ones. */
	memcpy(ram + TSS + TSS_BASE_AT, &bitmap_base, sizeof(bitmap_base));
	ram[TSS + TSS_BITMAP_AT + TSS_BITMAP] = 0xff;
}

static void write_registers(const struct guest *guest)
{
	struct kvm_segment code = {.limit = ~0u,
				   .selector = 0x33,
				   .type = 11,
				   .present = 1,
				   .dpl = 3,
				   .s = 1,
				   .l = 1,
				   .g = 1};
	struct kvm_segment data = code;
	/*
	 * IOPL 3 beside the I/O bitmap: QEMU's emulation of SVM does not look at the bitmap of a
	 * TSS that is busy, which one set by KVM_SET_SREGS must be.
	 */
	struct kvm_regs regs = {.rip = GUEST_CODE, .rsp = STACK, .rflags = 0x3002};
	struct kvm_sregs sregs;

	data.selector = 0x2b;
	data.type = 3;
	data.l = 0;
	data.db = 1;
	probe_need(ioctl(guest->vcpu, KVM_GET_SREGS, &sregs) == 0, "KVM_GET_SREGS");
	sregs.cr0 = 0x80000033ul; /* PG NE ET MP PE */
	sregs.cr3 = PML4;
	sregs.cr4 = 0x20;   /* PAE */
	sregs.efer = 0x500; /* LMA LME */
	sregs.cs = code;
	sregs.ss = sregs.ds = sregs.es = sregs.fs = sregs.gs = data;
	sregs.tr = (struct kvm_segment){.base = TSS,
					.limit = TSS_BITMAP_AT + TSS_BITMAP,
					.selector = 0x40,
					.type = 11,
					.present = 1};
	probe_need(ioctl(guest->vcpu, KVM_SET_SREGS, &sregs) == 0, "KVM_SET_SREGS");
	probe_need(ioctl(guest->vcpu, KVM_SET_REGS, &regs) == 0, "KVM_SET_REGS");
}

void guest_init(struct guest *guest, const void *code, size_t size)
{
	static struct {
		struct kvm_cpuid2 table;
		struct kvm_cpuid_entry2 entries[256];
	} cpuid = {.table.nent = 256};

	*guest = (struct guest){.kvm = probe_kvm_open()};
	guest->vm = ioctl(guest->kvm, KVM_CREATE_VM, 0);
	probe_need(guest->vm >= 0, "KVM_CREATE_VM");
	guest->ram = mmap(NULL, GUEST_RAM, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	probe_need(guest->ram != MAP_FAILED, "mmap of RAM");
	/* Processors with VMX but no unrestricted guest want three pages there. */
	probe_need(ioctl(guest->vm, KVM_SET_TSS_ADDR, 0xfffbd000ul) == 0, "KVM_SET_TSS_ADDR");
	guest_add_slot(guest, 0, GUEST_SLOT);
	write_tables(guest->ram);
	memcpy(guest->ram + GUEST_CODE, code, size);

	guest->vcpu = ioctl(guest->vm, KVM_CREATE_VCPU, 0);
	probe_need(guest->vcpu >= 0, "KVM_CREATE_VCPU");
	guest->run_size = (size_t)ioctl(guest->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	guest->run =
		mmap(NULL, guest->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->vcpu, 0);
	probe_need(guest->run != MAP_FAILED, "mmap of kvm_run");
	/* Long mode must be in the CPUID table before EFER may name it. */
	probe_need(ioctl(guest->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) == 0, "SUPPORTED_CPUID");
	probe_need(ioctl(guest->vcpu, KVM_SET_CPUID2, &cpuid) == 0, "KVM_SET_CPUID2");
	write_registers(guest);
}

void guest_done(struct guest *guest)
{
	munmap(guest->run, guest->run_size);
	close(guest->vcpu);
	close(guest->vm);
	close(guest->kvm);
	munmap(guest->ram, GUEST_RAM);
}

void guest_add_slot(struct guest *guest, uint64_t gpa, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = guest->slots++,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)guest->ram + gpa,
	};

	probe_need(ioctl(guest->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0, "memslot at %#lx",
		   (unsigned long)gpa);
}

int guest_run(struct guest *guest)
{
	if (ioctl(guest->vcpu, KVM_RUN, 0) < 0)
		return -errno;
	return (int)guest->run->exit_reason;
}

uint64_t guest_rip(const struct guest *guest)
{
	struct kvm_regs regs;

	probe_need(ioctl(guest->vcpu, KVM_GET_REGS, &regs) == 0, "KVM_GET_REGS");
	return regs.rip;
}

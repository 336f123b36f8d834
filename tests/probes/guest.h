/* SPDX-License-Identifier: MIT */
/*
 * A guest of a few instructions for the probes: 64-bit mode, ring 3, RAM mapped one to one with
 * 2 MiB pages, all ports open by the I/O bitmap of its TSS. (Ring 3 because on hosts without
 * hardware virtualization only that runs natively, and because it is what the stubs run in.)
 */
#ifndef FORKVM_TESTS_PROBES_GUEST_H
#define FORKVM_TESTS_PROBES_GUEST_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_RAM      (64ul << 20) /* host memory behind the guest          */
#define GUEST_SLOT     (1ul << 20)  /* bytes from 0 registered to begin with */
#define GUEST_CODE     0x8000ul	    /* where code is put and entered         */
#define GUEST_UNBACKED 0x2000000ul  /* a GPA outside the first memslot       */

struct guest {
	int kvm, vm, vcpu; /* owned by the guest; closed by guest_done */
	struct kvm_run *run;
	size_t run_size;
	uint8_t *ram; /* GUEST_RAM bytes, GPA 0 upwards */
	uint32_t slots;
};

/* Make it, with code at GUEST_CODE. Ends the probe when it cannot, skips it without KVM. */
void guest_init(struct guest *guest, const void *code, size_t size);
void guest_done(struct guest *guest);

/* Register another memslot: ram[gpa, gpa + size) at gpa. */
void guest_add_slot(struct guest *guest, uint64_t gpa, uint64_t size);

/* KVM_RUN once; returns the exit reason, or -errno. */
int guest_run(struct guest *guest);

/* Address of the next instruction. */
uint64_t guest_rip(const struct guest *guest);

#endif

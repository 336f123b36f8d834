/* SPDX-License-Identifier: MIT */
/*
 * A KVM VM and its vCPUs as descriptors and mappings: made, filled with memory, closed. What is in
 * them is state.h's business.
 *
 * All of these descriptors belong to the process that made them: KVM binds a VM to the address
 * space of its maker, and a fork that uses them gets -EIO. None exists when a template forks.
 */
#ifndef FORKVM_VMM_KVM_VM_H
#define FORKVM_VMM_KVM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/kvm/host.h"

struct kvm_run;

struct kvm_vm {
	int fd;		 /* owned; closed before a fork */
	bool irqchip;	 /* in-kernel PIC, I/O APIC and LAPICs */
	bool pit;	 /* and an in-kernel PIT */
	uint32_t slots;	 /* memslots registered so far; the next one's number */
	bool log_writes; /* have KVM note which pages of memslots added from now on are written */
};

struct kvm_vcpu {
	int fd;		     /* owned; closed before a fork */
	struct kvm_run *run; /* shared with the kernel; unmapped before a fork */
	size_t run_size;     /* bytes of that mapping */
	unsigned int index;  /* 0 is the boot CPU */
};

/*
 * Make a VM: KVM_CREATE_VM (again when a signal interrupts it, as happens under load), an exit to
 * us rather than #UD when an instruction cannot be emulated, and what VMX needs without
 * unrestricted guest.
 */
int kvm_vm_init(struct kvm_vm *vm, const struct kvm_host *host, struct error *error);

/*
 * In-kernel interrupt controllers, and a PIT if wanted (it costs each VM a kernel thread); before
 * the first vCPU.
 */
int kvm_vm_add_irqchip(struct kvm_vm *vm, bool with_pit, struct error *error);

/*
 * Register size bytes at host memory as RAM at gpa (KVM_SET_USER_MEMORY_REGION). The memory must
 * outlive the VM.
 */
int kvm_vm_add_memslot(struct kvm_vm *vm, uint64_t gpa, uint64_t size, void *host_memory,
		       struct error *error);

/* Take the last memslot away again, of that size. */
int kvm_vm_remove_memslot(struct kvm_vm *vm, struct error *error);

/*
 * Have KVM forget all that it knows of the guest's page tables, and of where its memory is: it
 * finds out again. For a host that shadows page tables and has changed the guest's behind KVM's
 * back. No vCPU may run.
 */
int kvm_vm_forget_mappings(struct kvm_vm *vm, void *any_page, struct error *error);

/*
 * Which pages of a memslot were written by the guest or by KVM since this was asked last
 * (KVM_GET_DIRTY_LOG): a bit a page, least significant first, in 64-bit words.
 */
int kvm_vm_get_written(const struct kvm_vm *vm, uint32_t slot, uint64_t *bitmap,
		       struct error *error);

/* Close. A zeroed structure with fd -1 is fine. */
void kvm_vm_done(struct kvm_vm *vm);

/* Make vCPU number index (its APIC id) and map its kvm_run. */
int kvm_vcpu_init(struct kvm_vcpu *vcpu, const struct kvm_vm *vm, const struct kvm_host *host,
		  unsigned int index, struct error *error);

/* Unmap and close. A zeroed structure with fd -1 is fine. */
void kvm_vcpu_done(struct kvm_vcpu *vcpu);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What this host's KVM is and offers: /dev/kvm opened once, its capabilities read once.
 */
#ifndef FORKVM_VMM_KVM_HOST_H
#define FORKVM_VMM_KVM_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"

struct kvm_cpuid2;
struct kvm_msr_list;

struct kvm_host {
	int fd; /* /dev/kvm; owned; inherited by forks, used by them to make their own VM */
	size_t vcpu_mmap_size;		 /* bytes of struct kvm_run's mapping          */
	size_t xsave_size;		 /* bytes of the XSAVE area                    */
	unsigned int vcpus_max;		 /* KVM_CAP_MAX_VCPUS                          */
	unsigned int memslots_max;	 /* KVM_CAP_NR_MEMSLOTS                        */
	uint64_t sync_regs;		 /* KVM_SYNC_X86_* bits kvm_run carries         */
	bool has_xcrs;			 /* KVM_CAP_XCRS: the processor has XSAVE      */
	bool has_nested_state;		 /* KVM_CAP_NESTED_STATE                       */
	bool has_sregs2;		 /* KVM_CAP_SREGS2                             */
	bool has_xsave2;		 /* KVM_CAP_XSAVE2                             */
	bool has_emulation_failure_exit; /* KVM_CAP_EXIT_ON_EMULATION_FAILURE        */
	bool has_tsc_offset;		 /* KVM_CAP_VCPU_ATTRIBUTES: TSC offset         */
	bool has_kvmclock_ctrl;		 /* KVM_CAP_KVMCLOCK_CTRL                      */
	bool has_tsc_deadline;		 /* KVM_CAP_TSC_DEADLINE_TIMER, in an in-kernel LAPIC */
	bool is_tcg;			 /* the processor is QEMU's emulated one       */
	bool shadows_page_tables;	 /* no EPT or NPT: memslots cost by their size */
	bool guests_in_user_mode;	 /* kvm_pvm: all that is privileged leaves the guest */
	bool needs_tss_addr;		 /* VMX without unrestricted guest             */
	struct kvm_cpuid2 *cpuid;	 /* supported table; owned                     */
	struct kvm_msr_list *msrs;	 /* MSRs to save and restore; owned            */
	char module[32];		 /* "kvm_intel", "kvm_amd", "kvm_pvm" or ""    */
};

/*
 * Open and examine device (NULL: "/dev/kvm"). -ENOENT, -EACCES and -ENOTTY come with the remedy in
 * words; -ENOSYS names a capability that is missing.
 */
int kvm_host_open(const char *device, struct kvm_host **ret, struct error *error);

/* NULL is fine. */
void kvm_host_close(struct kvm_host *host);

#endif

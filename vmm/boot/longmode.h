/* SPDX-License-Identifier: MIT */
/*
 * Starting a guest in 64-bit mode: page tables and boot information in its RAM, and the first
 * register values, as guest-stubs/stub_abi.h promises.
 */
#ifndef FORKVM_VMM_BOOT_LONGMODE_H
#define FORKVM_VMM_BOOT_LONGMODE_H

#include "vmm/base/error.h"
#include "vmm/boot/image.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/guest_ram.h"

/*
 * Write identity page tables for all RAM and all addresses below 4 GiB, and the boot information.
 * args may be NULL. -E2BIG when they are longer than FORKVM_MAX_ARGS - 1.
 */
int longmode_write_tables(const struct guest_ram *ram, const struct image *image,
			  unsigned int vcpus, const char *args, struct error *error);

/*
 * Identity page tables of [0, top), top rounded up to 1 GiB, from GPA_PAGE_TABLES on: one page for
 * the first and one for the second level, one for each GiB. -EFBIG when they do not fit.
 */
int longmode_write_page_tables(const struct guest_ram *ram, uint64_t top, struct error *error);

/*
 * Point a fresh vCPU at the image's entry. with_cpuid: the CPUID table was applied, so OSXSAVE and
 * XCR0 can be set.
 */
int longmode_enter(const struct kvm_vcpu *vcpu, const struct kvm_host *host,
		   const struct image *image, bool with_cpuid, struct error *error);

#endif

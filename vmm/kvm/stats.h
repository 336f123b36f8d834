/* SPDX-License-Identifier: MIT */
/*
 * Some figures of those that KVM counts for each vCPU (virt/kvm/api.rst, KVM_GET_STATS_FD).
 */
#ifndef FORKVM_VMM_KVM_STATS_H
#define FORKVM_VMM_KVM_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/kvm/vm.h"

#define KVM_STATS_MAX	    4u
#define KVM_STATS_BYTES_MAX 1024u

struct kvm_stats {
	int fd; /* owned; -1: none */
	size_t count;
	uint64_t start; /* the part of its data that has them all */
	size_t size;
	size_t at[KVM_STATS_MAX]; /* of each figure in that part */
};

/*
 * Be ready to read these figures. -ENOENT when KVM has one of them not, -ENOTTY when it tells none
 * (before Linux 5.14), -E2BIG for too many or too far apart. On failure *ret has no descriptor.
 */
int kvm_stats_open(const struct kvm_vcpu *vcpu, const char *const *names, size_t count,
		   struct kvm_stats *ret);

/* All of them, as they are now, in the order of their names. -errno. */
int kvm_stats_read(const struct kvm_stats *stats, uint64_t *ret);

/* A structure with fd -1 is fine. */
void kvm_stats_close(struct kvm_stats *stats);

#endif

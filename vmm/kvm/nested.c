/* SPDX-License-Identifier: MIT */
/*
 * Guests that are hypervisors: see nested.h. Kernel document: virt/kvm/api.rst,
 * KVM_GET_NESTED_STATE.
 */
#include "vmm/kvm/nested.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <sys/ioctl.h>

int nested_state_refuse(const struct kvm_vcpu *vcpu, const struct kvm_host *host,
			struct error *error)
{
	struct kvm_nested_state nested = {.size = sizeof(nested)};
	int rc = host->has_nested_state ? ioctl(vcpu->fd, KVM_GET_NESTED_STATE, &nested) : 0;

	if (!host->has_nested_state || (rc < 0 && errno != E2BIG))
		return 0;
	/* No more than a header, which says that it is not in VMX operation: there is none. */
	if (rc == 0 &&
	    (nested.format != KVM_STATE_NESTED_FORMAT_VMX || nested.hdr.vmx.vmxon_pa == UINT64_MAX))
		return 0;
	return error_set(error, EOPNOTSUPP,
			 "vCPU %u runs guests of its own: that state cannot be carried over",
			 vcpu->index);
}

/* SPDX-License-Identifier: MIT */
/*
 * The anchor: see anchor.h.
 */
#include "vmm/kvm/anchor.h"

#include "vmm/kvm/vm.h"

int kvm_anchor_hold(const struct kvm_host *host, bool irqchip, struct error *error)
{
	struct kvm_vcpu vcpu;
	struct kvm_vm vm;
	int rc = kvm_vm_init(&vm, host, error);

	if (rc < 0)
		return rc;
	if (irqchip)
		rc = kvm_vm_add_irqchip(&vm, false, error);
	if (rc == 0)
		rc = kvm_vcpu_init(&vcpu, &vm, host, 0, error);
	if (rc < 0)
		kvm_vm_done(&vm);
	/* Both stay open on purpose: the process's end closes them. */
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Probe: a fork child cannot use its parent's VM and vCPU descriptors.
 *
 * KVM ties a VM to the address space that made it: any ioctl from another one gives EIO. The
 * descriptor of /dev/kvm itself is not tied and makes a new VM in the child. So a clone can do
 * nothing to a VM it inherited by mistake, and makes its own.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct fds {
	int kvm, vm, vcpu;
};

static int child(void *context)
{
	const struct fds *fds = context;
	struct kvm_regs regs;
	int vm;

	errno = 0;
	probe_check(ioctl(fds->vm, KVM_CREATE_VCPU, 1) < 0 && errno == EIO, "old VM");
	errno = 0;
	probe_check(ioctl(fds->vcpu, KVM_GET_REGS, &regs) < 0 && errno == EIO, "old vCPU");
	errno = 0;
	probe_check(ioctl(fds->vcpu, KVM_RUN, 0) < 0 && errno == EIO, "run of the old vCPU");
	vm = ioctl(fds->kvm, KVM_CREATE_VM, 0);
	probe_check(vm >= 0, "new VM by the inherited /dev/kvm");
	probe_check(ioctl(vm, KVM_CREATE_VCPU, 0) >= 0, "new vCPU");
	return 0;
}

int main(void)
{
	struct fds fds = {.kvm = probe_kvm_open()};
	struct kvm_regs regs;

	fds.vm = ioctl(fds.kvm, KVM_CREATE_VM, 0);
	probe_need(fds.vm >= 0, "KVM_CREATE_VM");
	fds.vcpu = ioctl(fds.vm, KVM_CREATE_VCPU, 0);
	probe_need(fds.vcpu >= 0, "KVM_CREATE_VCPU");
	probe_check(probe_in_child(child, &fds) == 0, "the child's checks");
	probe_check(ioctl(fds.vcpu, KVM_GET_REGS, &regs) == 0, "the parent's still work");
	if (probe_result() == 0)
		probe_say("old VM and vCPU give EIO in a fork; /dev/kvm works");
	return probe_result();
}

/* SPDX-License-Identifier: MIT */
/*
 * irqfd and ioeventfd: see irq.h.
 */
#include "vmm/kvm/irq.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

static int irqfd(const struct kvm_vm *vm, int fd, uint32_t gsi, uint32_t flags, struct error *error)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi, .flags = flags};

	if (ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
		return error_set_errno(error, errno, "KVM_IRQFD, line %u", gsi);
	return 0;
}

int kvm_irqfd_add(const struct kvm_vm *vm, int fd, uint32_t gsi, struct error *error)
{
	return irqfd(vm, fd, gsi, 0, error);
}

int kvm_irqfd_remove(const struct kvm_vm *vm, int fd, uint32_t gsi, struct error *error)
{
	return irqfd(vm, fd, gsi, KVM_IRQFD_FLAG_DEASSIGN, error);
}

int kvm_ioeventfd_add(const struct kvm_vm *vm, int fd, gpa_t gpa, uint32_t value,
		      struct error *error)
{
	struct kvm_ioeventfd event = {
		.datamatch = value,
		.addr = gpa,
		.len = sizeof(value),
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	if (ioctl(vm->fd, KVM_IOEVENTFD, &event) < 0)
		return error_set_errno(error, errno, "KVM_IOEVENTFD at %#llx",
				       (unsigned long long)gpa);
	return 0;
}

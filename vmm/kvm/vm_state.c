/* SPDX-License-Identifier: MIT */
/*
 * VM-wide state: see vm_state.h. Kernel document: virt/kvm/api.rst, KVM_GET_CLOCK, KVM_GET_IRQCHIP,
 * KVM_GET_PIT2 and their counterparts.
 */
#include "vmm/kvm/vm_state.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "vmm/base/util.h"

uint64_t host_tsc(void)
{
	return __rdtsc();
}

int vm_state_capture(const struct kvm_vm *vm, struct vm_state *state, struct error *error)
{
	memset(state, 0, sizeof(*state));
	if (ioctl(vm->fd, KVM_GET_CLOCK, &state->clock) < 0)
		return error_set_errno(error, errno, "KVM_GET_CLOCK");
	state->host_tsc =
		state->clock.flags & KVM_CLOCK_HOST_TSC ? state->clock.host_tsc : host_tsc();
	/*
	 * Only the value goes back. KVM_CLOCK_REALTIME would make KVM add the time since the
	 * capture, and so a jump for the guest's timers.
	 */
	state->clock.flags = 0;
	if (!vm->irqchip)
		return 0;
	for (uint32_t i = 0; i < ARRAY_SIZE(state->irqchip); i++) {
		state->irqchip[i].chip_id = i;
		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &state->irqchip[i]) < 0)
			return error_set_errno(error, errno, "KVM_GET_IRQCHIP %u", i);
	}
	if (vm->pit && ioctl(vm->fd, KVM_GET_PIT2, &state->pit) < 0)
		return error_set_errno(error, errno, "KVM_GET_PIT2");
	return 0;
}

int vm_state_verify(const struct kvm_vm *vm, const struct vm_state *state, struct error *error)
{
	for (uint32_t i = 0; vm->irqchip && i < ARRAY_SIZE(state->irqchip); i++) {
		struct kvm_irqchip wanted = state->irqchip[i], got = {.chip_id = i};

		if (ioctl(vm->fd, KVM_GET_IRQCHIP, &got) < 0)
			return error_set_errno(error, errno, "KVM_GET_IRQCHIP %u", i);
		if (i == KVM_IRQCHIP_IOAPIC)
			wanted.chip.ioapic.irr = got.chip.ioapic.irr = 0;
		if (memcmp(wanted.chip.dummy, got.chip.dummy, sizeof(got.chip.dummy)) != 0)
			return error_set(error, EIO,
					 "interrupt controller %u is not as it was captured", i);
	}
	return 0;
}

int vm_state_restore_clock(const struct kvm_vm *vm, const struct vm_state *state,
			   struct error *error)
{
	if (ioctl(vm->fd, KVM_SET_CLOCK, &state->clock) < 0)
		return error_set_errno(error, errno, "KVM_SET_CLOCK");
	return 0;
}

int vm_state_restore(const struct kvm_vm *vm, const struct vm_state *state, struct error *error)
{
	int rc = vm_state_restore_clock(vm, state, error);

	if (rc < 0 || !vm->irqchip)
		return rc;
	for (uint32_t i = 0; i < ARRAY_SIZE(state->irqchip); i++)
		if (ioctl(vm->fd, KVM_SET_IRQCHIP, &state->irqchip[i]) < 0)
			return error_set_errno(error, errno, "KVM_SET_IRQCHIP %u", i);
	if (vm->pit && ioctl(vm->fd, KVM_SET_PIT2, &state->pit) < 0)
		return error_set_errno(error, errno, "KVM_SET_PIT2");
	return 0;
}

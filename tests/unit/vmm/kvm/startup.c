/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of vmm/kvm/vcpu_state.c: a vCPU that has been told to start and has not run since, as
 * one finds them when a guest with several is frozen while it boots.
 */
#include <criterion/criterion.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "tests/unit/require.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/vcpu_state.h"

#define PAGE 0x9au /* where it is to start: 0x9a000 */

/* As if another vCPU's LAPIC had just sent it a start-up interrupt. */
static void send_start_up(const struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_events events = {
		.sipi_vector = PAGE,
		.flags = KVM_VCPUEVENT_VALID_SIPI_VECTOR,
	};
	struct kvm_mp_state received = {.mp_state = KVM_MP_STATE_SIPI_RECEIVED};

	cr_assert_eq(ioctl(vcpu->fd, KVM_SET_VCPU_EVENTS, &events), 0);
	cr_assert_eq(ioctl(vcpu->fd, KVM_SET_MP_STATE, &received), 0);
}

Test(startup, a_pending_start_is_captured_as_carried_out)
{
	struct kvm_host *host = require_kvm();
	struct kvm_vcpu vcpus[2];
	struct vcpu_state state;
	struct error error = {0};
	struct kvm_vm vm;

	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vm_add_irqchip(&vm, false, &error), 0, "%s", error.text);
	for (unsigned int i = 0; i < 2; i++) {
		cr_assert_eq(kvm_vcpu_init(&vcpus[i], &vm, host, i, &error), 0, "%s", error.text);
		cr_assert_eq(cpuid_apply(&vcpus[i], host, 2, true, &error), 0, "%s", error.text);
	}
	send_start_up(&vcpus[1]);
	cr_assert_eq(vcpu_state_capture(&vcpus[1], &vm, host, &state, &error), 0, "%s", error.text);
	cr_assert_eq(state.mp_state.mp_state, KVM_MP_STATE_RUNNABLE);
	cr_assert_eq(state.sregs.cs.selector, PAGE << 8);
	cr_assert_eq(state.sregs.cs.base, PAGE << 12);
	cr_assert_eq(state.regs.rip, 0);
	vcpu_state_done(&state);
	for (unsigned int i = 0; i < 2; i++)
		kvm_vcpu_done(&vcpus[i]);
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

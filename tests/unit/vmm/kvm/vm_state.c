/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/kvm/vm_state.c. */
#include "vmm/kvm/vm_state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/unit/require.h"
#include "vmm/base/util.h"

static struct kvm_vm make_vm(const struct kvm_host *host, bool irqchip)
{
	struct error error = {0};
	struct kvm_vm vm;

	cr_assert_eq(kvm_vm_init(&vm, host, &error), 0, "%s", error.text);
	if (irqchip)
		cr_assert_eq(kvm_vm_add_irqchip(&vm, true, &error), 0, "%s", error.text);
	return vm;
}

static void capture(const struct kvm_vm *vm, struct vm_state *state)
{
	struct error error = {0};

	cr_assert_eq(vm_state_capture(vm, state, &error), 0, "%s", error.text);
}

static void restore(const struct kvm_vm *vm, const struct vm_state *state)
{
	struct error error = {0};

	cr_assert_eq(vm_state_restore(vm, state, &error), 0, "%s", error.text);
}

Test(vm_state, the_clock_goes_on_from_where_it_was)
{
	struct kvm_host *host = require_kvm();
	struct kvm_vm from = make_vm(host, false), to;
	struct vm_state first, second;

	capture(&from, &first);
	first.clock.clock += 3600 * NS_PER_SEC; /* a guest that has been up for an hour */
	to = make_vm(host, false);
	restore(&to, &first);
	capture(&to, &second);
	cr_assert_geq(second.clock.clock, first.clock.clock, "not backwards");
	cr_assert_lt(second.clock.clock - first.clock.clock, 600 * NS_PER_SEC, "no jump");
	kvm_vm_done(&from);
	kvm_vm_done(&to);
	kvm_host_close(host);
}

Test(vm_state, interrupt_controllers_and_timer_come_back)
{
	struct kvm_host *host = require_kvm();
	struct kvm_vm from = make_vm(host, true), to = make_vm(host, true);
	struct vm_state first, second;

	capture(&from, &first);
	for (uint32_t i = 0; i < ARRAY_SIZE(first.irqchip); i++)
		cr_assert_eq(first.irqchip[i].chip_id, i);
	first.irqchip[0].chip.pic.irq_base = 0x20;
	first.irqchip[0].chip.pic.imr = 0xfb;
	first.irqchip[1].chip.pic.irq_base = 0x28;
	first.irqchip[2].chip.ioapic.redirtbl[4].fields.vector = 0x34;
	first.irqchip[2].chip.ioapic.redirtbl[4].fields.mask = 1;
	first.pit.channels[2].mode = 3;
	first.pit.channels[2].count = 0x1234;
	restore(&to, &first);
	capture(&to, &second);
	cr_assert_eq(memcmp(&second.irqchip[0].chip.pic, &first.irqchip[0].chip.pic,
			    sizeof(first.irqchip[0].chip.pic)),
		     0);
	cr_assert_eq(second.irqchip[1].chip.pic.irq_base, 0x28);
	cr_assert_eq(second.irqchip[2].chip.ioapic.redirtbl[4].bits,
		     first.irqchip[2].chip.ioapic.redirtbl[4].bits);
	cr_assert_eq(second.pit.channels[2].mode, 3);
	cr_assert_eq(second.pit.channels[2].count, 0x1234);
	kvm_vm_done(&from);
	kvm_vm_done(&to);
	kvm_host_close(host);
}

Test(vm_state, says_what_cannot_be_read_or_written)
{
	struct kvm_host *host = require_kvm();
	struct kvm_vm without = make_vm(host, false), closed = {.fd = -1};
	struct error error = {0};
	struct vm_state state;

	cr_assert_eq(vm_state_capture(&closed, &state, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "KVM_GET_CLOCK"), "%s", error.text);
	capture(&without, &state);
	cr_assert_eq(vm_state_restore(&closed, &state, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "KVM_SET_CLOCK"), "%s", error.text);

	without.irqchip = true; /* it is not */
	cr_assert_lt(vm_state_capture(&without, &state, &error), 0);
	cr_assert_not_null(strstr(error.text, "KVM_GET_IRQCHIP"), "%s", error.text);
	cr_assert_lt(vm_state_restore(&without, &state, &error), 0);
	cr_assert_not_null(strstr(error.text, "KVM_SET_IRQCHIP"), "%s", error.text);
	kvm_vm_done(&without);
	kvm_host_close(host);
}

Test(vm_state, the_hosts_counter_counts)
{
	uint64_t first = host_tsc();

	cr_assert_gt(host_tsc(), first);
}

Test(vm_state, clock_and_counter_are_of_one_moment)
{
	struct kvm_host *host = require_kvm();
	struct kvm_vm vm = make_vm(host, false);
	uint64_t before = host_tsc();
	struct vm_state state;

	capture(&vm, &state);
	cr_assert_geq(state.host_tsc, before);
	cr_assert_leq(state.host_tsc, host_tsc());
	kvm_vm_done(&vm);
	kvm_host_close(host);
}

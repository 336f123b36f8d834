/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/kvm/vcpu_state.c: state moved from one vCPU to another, row by row. */
#include "vmm/kvm/vcpu_state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/unit/require.h"
#include "vmm/base/util.h"
#include "vmm/boot/longmode.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/msr.h"

#define MSR_LSTAR 0xc0000082u

/* A vCPU with its VM. */
struct cpu {
	struct kvm_vm vm;
	struct kvm_vcpu vcpu;
};

static struct kvm_host *host;

static void set_up(void)
{
	host = require_kvm();
}

static void tear_down(void)
{
	kvm_host_close(host);
}

TestSuite(vcpu_state, .init = set_up, .fini = tear_down);

static void cpu_init(struct cpu *cpu, bool irqchip)
{
	struct error error = {0};

	cr_assert_eq(kvm_vm_init(&cpu->vm, host, &error), 0, "%s", error.text);
	if (irqchip)
		cr_assert_eq(kvm_vm_add_irqchip(&cpu->vm, true, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vcpu_init(&cpu->vcpu, &cpu->vm, host, 0, &error), 0, "%s", error.text);
	cr_assert_eq(cpuid_apply(&cpu->vcpu, host, 1, false, &error), 0, "%s", error.text);
}

static void cpu_done(struct cpu *cpu)
{
	kvm_vcpu_done(&cpu->vcpu);
	kvm_vm_done(&cpu->vm);
}

/* In 64-bit mode at some entry point, as every guest of forkvm is when it is frozen. */
static void start_guest(struct cpu *cpu)
{
	const struct image image = {.entry = 0x123000};
	struct error error = {0};

	cr_assert_eq(longmode_enter(&cpu->vcpu, host, &image, true, &error), 0, "%s", error.text);
}

static void capture(const struct cpu *cpu, struct vcpu_state *state)
{
	struct error error = {0};

	cr_assert_eq(vcpu_state_capture(&cpu->vcpu, &cpu->vm, host, state, &error), 0, "%s",
		     error.text);
}

static void make_plan(struct vcpu_plan *plan, const struct vcpu_state *state, bool irqchip)
{
	struct error error = {0};
	struct cpu scratch;

	cpu_init(&scratch, irqchip);
	cr_assert_eq(vcpu_plan_make(plan, state, &scratch.vcpu, &scratch.vm, host, &error), 0, "%s",
		     error.text);
	cpu_done(&scratch);
}

/* Have KVM take over what waits in kvm_run. */
static void enter(const struct cpu *cpu)
{
	cpu->vcpu.run->immediate_exit = 1;
	cr_assert_lt(ioctl(cpu->vcpu.fd, KVM_RUN, 0), 0);
	cr_assert(errno == EINTR || errno == EAGAIN, "%s", strerror(errno));
	cpu->vcpu.run->immediate_exit = 0;
}

/* Carry out the plan on cpu, all of it. */
static void apply(const struct vcpu_plan *plan, const struct vcpu_state *state,
		  const struct cpu *cpu)
{
	struct error error = {0};

	cr_assert_eq(vcpu_plan_apply_tsc(plan, state, &cpu->vcpu, 0, &error), 0, "%s", error.text);
	cr_assert_eq(vcpu_plan_apply(plan, state, &cpu->vcpu, &cpu->vm, host, &error), 0, "%s",
		     error.text);
	enter(cpu);
}

static uint64_t msr_of(const struct vcpu_state *state, uint32_t index)
{
	const struct kvm_msr_entry *entry = msr_find(state->msrs, index);

	cr_assert_not_null(entry, "MSR %#x was not captured", index);
	return entry->data;
}

/* What must be the same on both sides, whatever moves on by itself left out. */
static void compare(const struct vcpu_state *want, const struct vcpu_state *got)
{
	cr_assert_eq(memcmp(&want->regs, &got->regs, sizeof(want->regs)), 0, "regs");
	cr_assert_eq(memcmp(&want->sregs, &got->sregs, sizeof(want->sregs)), 0, "sregs");
	cr_assert_eq(memcmp(&want->xcrs, &got->xcrs, sizeof(want->xcrs)), 0, "xcrs");
	cr_assert_eq(memcmp(&want->debugregs, &got->debugregs, sizeof(want->debugregs)), 0,
		     "debugregs");
	cr_assert_eq(memcmp(&want->events, &got->events, sizeof(want->events)), 0, "events");
	cr_assert_eq(want->mp_state.mp_state, got->mp_state.mp_state, "mp_state");
	cr_assert(vcpu_xsave_equal(want->xsave, got->xsave, host->xsave_size), "xsave");
	for (uint32_t i = 0; i < want->msrs->nmsrs; i++) {
		const struct kvm_msr_entry *msr = &want->msrs->entries[i];

		cr_assert(msr_value_is_fine(msr->index, msr->data, msr_of(got, msr->index)),
			  "MSR %#x", msr->index);
	}
}

/* Through plan and restoration into a fresh vCPU. */
static void move(const struct cpu *from, bool irqchip)
{
	struct vcpu_state state, got;
	struct vcpu_plan plan;
	struct cpu to;

	capture(from, &state);
	make_plan(&plan, &state, irqchip);
	cpu_init(&to, irqchip);
	apply(&plan, &state, &to);
	capture(&to, &got);
	compare(&state, &got);
	vcpu_plan_done(&plan);
	vcpu_state_done(&state);
	vcpu_state_done(&got);
	cpu_done(&to);
}

Test(vcpu_state, a_guest_that_has_done_nothing)
{
	struct cpu from;

	cpu_init(&from, false);
	start_guest(&from);
	move(&from, false);
	cpu_done(&from);
}

Test(vcpu_state, the_same_with_interrupt_controllers)
{
	struct cpu from;

	cpu_init(&from, true);
	start_guest(&from);
	move(&from, true);
	cpu_done(&from);
}

Test(vcpu_state, general_registers)
{
	struct kvm_regs regs;
	struct cpu from;

	cpu_init(&from, false);
	start_guest(&from);
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_GET_REGS, &regs), 0);
	regs.rax = 0x1111111111111111;
	regs.rsp = 0x2222222222222222;
	regs.r15 = 0xffffffffffffffff;
	regs.rflags = 0x202cd7;
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_SET_REGS, &regs), 0);
	move(&from, false);
	cpu_done(&from);
}

Test(vcpu_state, debug_registers)
{
	struct kvm_debugregs debugregs;
	struct cpu from;

	cpu_init(&from, false);
	start_guest(&from);
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_GET_DEBUGREGS, &debugregs), 0);
	debugregs.db[0] = 0x7a0000001000;
	debugregs.db[3] = 0x7a0000004018;
	debugregs.dr7 = 0x3d150400;
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_SET_DEBUGREGS, &debugregs), 0);
	move(&from, false);
	cpu_done(&from);
}

Test(vcpu_state, floating_point_and_vector_registers)
{
	uint8_t *area = aligned_alloc(64, round_up(host->xsave_size, 64));
	struct cpu from;

	cpu_init(&from, false);
	start_guest(&from);
	cr_assert_eq(ioctl(from.vcpu.fd, host->has_xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area),
		     0);
	area[0] = 0x7f; /* x87 control word */
	area[1] = 0x0a;
	area[24] = 0xa0; /* MXCSR */
	area[25] = 0x7f;
	memset(area + 160, 0x5a, 256); /* XMM registers */
	area[512] |= 3;		       /* x87 and SSE are in use (SDM volume 1, 13.4.2) */
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_SET_XSAVE, area), 0);
	free(area);
	move(&from, false);
	cpu_done(&from);
}

Test(vcpu_state, msrs)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} lstar = {.head.nmsrs = 1, .entry = {.index = MSR_LSTAR, .data = 0x7a11b22c4000}};
	struct vcpu_state state;
	struct vcpu_plan plan;
	struct cpu from;

	cpu_init(&from, false);
	start_guest(&from);
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_SET_MSRS, &lstar), 1);
	capture(&from, &state);
	cr_assert_eq(msr_of(&state, MSR_LSTAR), lstar.entry.data);
	make_plan(&plan, &state, false);
	cr_assert_leq(plan.msrs->nmsrs, 3, "the one that differs, and few more");
	vcpu_plan_done(&plan);
	vcpu_state_done(&state);
	move(&from, false);
	cpu_done(&from);
}

Test(vcpu_state, a_pending_exception)
{
	struct kvm_vcpu_events events;
	struct vcpu_state state, got;
	struct vcpu_plan plan;
	struct error error = {0};
	struct cpu from, to;

	cpu_init(&from,
		 true); /* so that nothing is left to the next KVM_RUN, which would deliver it */
	start_guest(&from);
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_GET_VCPU_EVENTS, &events), 0);
	events.nmi.pending = 1;
	events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_SET_VCPU_EVENTS, &events), 0);
	capture(&from, &state);
	make_plan(&plan, &state, true);
	cpu_init(&to, true);
	cr_assert_eq(vcpu_plan_apply(&plan, &state, &to.vcpu, &to.vm, host, &error), 0, "%s",
		     error.text);
	capture(&to, &got);
	cr_assert_eq(got.events.nmi.pending, 1);
	vcpu_plan_done(&plan);
	vcpu_state_done(&state);
	vcpu_state_done(&got);
	cpu_done(&from);
	cpu_done(&to);
}

Test(vcpu_state, task_priority)
{
	struct vcpu_state state;
	struct vcpu_plan plan;
	struct cpu from, to;

	cpu_init(&from, false);
	start_guest(&from);
	from.vcpu.run->cr8 = 5;
	enter(&from);
	capture(&from, &state);
	cr_assert_eq(state.cr8, 5);
	make_plan(&plan, &state, false);
	cpu_init(&to, false);
	apply(&plan, &state, &to);
	cr_assert_eq(to.vcpu.run->cr8, 5);
	vcpu_plan_done(&plan);
	vcpu_state_done(&state);
	cpu_done(&from);
	cpu_done(&to);
}

Test(vcpu_state, local_interrupt_controller)
{
	struct kvm_lapic_state lapic;
	struct vcpu_state state, got;
	struct vcpu_plan plan;
	struct cpu from, to;

	cpu_init(&from, true);
	start_guest(&from);
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_GET_LAPIC, &lapic), 0);
	lapic.regs[0x80] = 0x20;		      /* TPR (SDM volume 3, table 11-1) */
	memcpy(lapic.regs + 0xf0, "\x3f\x01\0\0", 4); /* SVR: enabled, vector 0x3f */
	cr_assert_eq(ioctl(from.vcpu.fd, KVM_SET_LAPIC, &lapic), 0);
	capture(&from, &state);
	make_plan(&plan, &state, true);
	cpu_init(&to, true);
	apply(&plan, &state, &to);
	capture(&to, &got);
	cr_assert_eq(got.lapic.regs[0x80], 0x20);
	cr_assert_eq((uint8_t)got.lapic.regs[0xf0], 0x3f);
	vcpu_plan_done(&plan);
	vcpu_state_done(&state);
	vcpu_state_done(&got);
	cpu_done(&from);
	cpu_done(&to);
}

/* A plan for what a fresh vCPU has anyway writes next to nothing. */
Test(vcpu_state, the_plan_leaves_out_what_is_as_on_a_fresh_vcpu)
{
	struct vcpu_state state;
	struct vcpu_plan plan;
	struct cpu from;
	int rows;

	cpu_init(&from, false);
	capture(&from, &state);
	make_plan(&plan, &state, false);
	rows = __builtin_popcount(plan.items);
	cr_assert_leq(rows, 3, "%d rows", rows);
	cr_assert_eq(plan.msrs->nmsrs, 0);
	vcpu_plan_done(&plan);
	vcpu_state_done(&state);
	cpu_done(&from);
}

/* Two captures of a vCPU that did not run are the same: nothing is left uninitialised. */
Test(vcpu_state, capture_is_repeatable)
{
	struct vcpu_state first, second;
	struct cpu cpu;

	cpu_init(&cpu, false);
	start_guest(&cpu);
	capture(&cpu, &first);
	capture(&cpu, &second);
	compare(&first, &second);
	cr_assert_eq(first.msrs->nmsrs, second.msrs->nmsrs);
	cr_assert_eq(first.msrs_refused, second.msrs_refused);
	cr_assert_geq(second.host_tsc, first.host_tsc);
	vcpu_state_done(&first);
	vcpu_state_done(&second);
	vcpu_state_done(&second); /* once more is fine */
	cpu_done(&cpu);
}

/* What cannot be restored is found when the plan is made, and named. */
static void refuse_plan(const struct vcpu_state *state, const char *part)
{
	struct error error = {0};
	struct vcpu_plan plan;
	struct cpu scratch;

	cpu_init(&scratch, false);
	cr_assert_lt(vcpu_plan_make(&plan, state, &scratch.vcpu, &scratch.vm, host, &error), 0);
	cr_assert_not_null(strstr(error.text, "cannot be restored"), "%s", error.text);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of %s", error.text, part);
	cr_assert_null(plan.msrs);
	cr_assert_lt(vcpu_plan_make(&plan, state, &scratch.vcpu, &scratch.vm, host, NULL), 0);
	cpu_done(&scratch);
}

Test(vcpu_state, state_that_no_vcpu_can_have)
{
	struct vcpu_state state;
	struct cpu from;

	cpu_init(&from, false);
	start_guest(&from);
	capture(&from, &state);

	state.debugregs.dr7 = 0xffffffff00000000;
	refuse_plan(&state, "debugregs");
	vcpu_state_done(&state);

	capture(&from, &state);
	state.xcrs.xcrs[0].value = 0; /* x87 is always on */
	refuse_plan(&state, "xcrs");
	vcpu_state_done(&state);

	capture(&from, &state);
	memset((uint8_t *)state.xsave + 24, 0xff, 4); /* MXCSR with reserved bits */
	refuse_plan(&state, "xsave");
	vcpu_state_done(&state);

	capture(&from, &state);
	for (uint32_t i = 0; i < state.msrs->nmsrs; i++)
		if (state.msrs->entries[i].index == MSR_LSTAR)
			state.msrs->entries[i].index = 0x12345678;
	refuse_plan(&state, "0x12345678");
	vcpu_state_done(&state);
	cpu_done(&from);
}

Test(vcpu_state, a_vcpu_that_is_none)
{
	struct cpu none = {.vm.fd = -1, .vcpu.fd = -1};
	struct error error = {0};
	struct vcpu_state state;

	cr_assert_eq(vcpu_state_capture(&none.vcpu, &none.vm, host, &state, &error), -EBADF);
	cr_assert_not_null(strstr(error.text, "read"), "%s", error.text);
	vcpu_state_done(&state);
}

Test(vcpu_state, equal_xsave_areas)
{
	uint8_t a[4096] = {0}, b[4096] = {0};

	a[512] = 3; /* XSTATE_BV */
	cr_assert(vcpu_xsave_equal(a, b, sizeof(a)));
	b[24] = 1; /* MXCSR */
	cr_assert_not(vcpu_xsave_equal(a, b, sizeof(a)));
	b[24] = 0;
	b[520] = 1; /* XCOMP_BV */
	cr_assert_not(vcpu_xsave_equal(a, b, sizeof(a)));
	b[520] = 0;
	b[4095] = 1;
	cr_assert_not(vcpu_xsave_equal(a, b, sizeof(a)));
}

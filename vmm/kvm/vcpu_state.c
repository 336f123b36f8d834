/* SPDX-License-Identifier: MIT */
/*
 * The state of a vCPU: see vcpu_state.h. Kernel document: virt/kvm/api.rst, each ioctl by its name;
 * virt/kvm/devices/vcpu.rst for the TSC offset.
 */
#include "vmm/kvm/vcpu_state.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/util.h"
#include "vmm/kvm/lapic.h"
#include "vmm/kvm/msr.h"
#include "vmm/kvm/nested.h"
#include "vmm/kvm/vm_state.h"

#define TSS_AVAILABLE 9 /* types of a system segment in 64-bit mode: Intel SDM volume 3, 3.5 */
#define TSS_BUSY      11

#define CR4_PGE	      (1u << 7) /* Intel SDM volume 3, 2.5 */

struct item {
	const char *name;
	bool (*present)(const struct kvm_vm *vm, const struct kvm_host *host); /* NULL: always */
	int (*get)(int fd, const struct kvm_host *host, struct vcpu_state *state);
	int (*set)(int fd, const struct kvm_host *host, const struct vcpu_state *state);
	size_t offset; /* of the piece in struct vcpu_state, to compare; */
	size_t size;   /* 0: always write                                */
	uint64_t sync; /* KVM_SYNC_X86_* bit that carries it in kvm_run  */
};

static bool with_lapic(const struct kvm_vm *vm, const struct kvm_host *host)
{
	(void)host;
	return vm->irqchip;
}

static bool with_xsave(const struct kvm_vm *vm, const struct kvm_host *host)
{
	(void)vm;
	return host->has_xcrs;
}

static int get_sregs(int fd, const struct kvm_host *host, struct vcpu_state *state)
{
	struct kvm_sregs old;

	if (host->has_sregs2)
		return ioctl(fd, KVM_GET_SREGS2, &state->sregs);
	if (ioctl(fd, KVM_GET_SREGS, &old) < 0)
		return -1;
	/* The two agree up to the PDPTRs, which replaced the interrupt bitmap. */
	memcpy(&state->sregs, &old, offsetof(struct kvm_sregs, interrupt_bitmap));
	return 0;
}

static void old_sregs(const struct vcpu_state *state, struct kvm_sregs *ret)
{
	static_assert(offsetof(struct kvm_sregs, interrupt_bitmap) ==
			      offsetof(struct kvm_sregs2, flags),
		      "sregs and sregs2 share their beginning");
	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &state->sregs, offsetof(struct kvm_sregs, interrupt_bitmap));
}

static int set_sregs(int fd, const struct kvm_host *host, const struct vcpu_state *state)
{
	struct kvm_sregs old;

	if (host->has_sregs2)
		return ioctl(fd, KVM_SET_SREGS2, &state->sregs);
	old_sregs(state, &old);
	return ioctl(fd, KVM_SET_SREGS, &old);
}

static int get_xsave(int fd, const struct kvm_host *host, struct vcpu_state *state)
{
	return ioctl(fd, host->has_xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, state->xsave);
}

static int set_xsave(int fd, const struct kvm_host *host, const struct vcpu_state *state)
{
	(void)host;
	return ioctl(fd, KVM_SET_XSAVE, state->xsave); /* takes the larger area too */
}

#define ACCESSORS(field, GET, SET)                                                            \
	static int get_##field(int fd, const struct kvm_host *host, struct vcpu_state *state) \
	{                                                                                     \
		(void)host;                                                                   \
		return ioctl(fd, GET, &state->field);                                         \
	}                                                                                     \
	static int set_##field(int fd, const struct kvm_host *host,                           \
			       const struct vcpu_state *state)                                \
	{                                                                                     \
		(void)host;                                                                   \
		return ioctl(fd, SET, &state->field);                                         \
	}

ACCESSORS(regs, KVM_GET_REGS, KVM_SET_REGS)
ACCESSORS(xcrs, KVM_GET_XCRS, KVM_SET_XCRS)
ACCESSORS(debugregs, KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS)
ACCESSORS(lapic, KVM_GET_LAPIC, KVM_SET_LAPIC)
ACCESSORS(events, KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS)
ACCESSORS(mp_state, KVM_GET_MP_STATE, KVM_SET_MP_STATE)

#define PIECE(field) offsetof(struct vcpu_state, field), sizeof(((struct vcpu_state *)0)->field)

enum {
	ITEM_SREGS,
	ITEM_XCRS,
	ITEM_XSAVE,
	ITEM_REGS,
	ITEM_DEBUGREGS,
	ITEM_LAPIC,
	ITEM_MSRS,
	ITEM_EVENTS,
	ITEM_MP_STATE,
	ITEM_COUNT_
};

/* In the order of writing. */
static const struct item items[] = {
	/* First: everything else is judged by the mode, CR4 and APIC base that these set. */
	[ITEM_SREGS] = {"sregs", NULL, get_sregs, set_sregs, PIECE(sregs), KVM_SYNC_X86_SREGS},
	/* Before XSAVE, which holds only components that XCR0 has switched on. */
	[ITEM_XCRS] = {"xcrs", with_xsave, get_xcrs, set_xcrs, PIECE(xcrs), 0},
	[ITEM_XSAVE] = {"xsave", NULL, get_xsave, set_xsave, 0, 0, 0}, /* compared by hand */
	/* KVM_SET_REGS forgets pending exceptions: before events. */
	[ITEM_REGS] = {"regs", NULL, get_regs, set_regs, PIECE(regs), KVM_SYNC_X86_REGS},
	[ITEM_DEBUGREGS] = {"debugregs", NULL, get_debugregs, set_debugregs, PIECE(debugregs), 0},
	/* Before the MSRs: TSC_DEADLINE is taken only by a timer in that mode. */
	[ITEM_LAPIC] = {"lapic", with_lapic, get_lapic, set_lapic, PIECE(lapic), 0},
	[ITEM_MSRS] = {"msrs", NULL, NULL, NULL, 0, 0, 0}, /* msr.c */
	[ITEM_EVENTS] = {"events", NULL, get_events, set_events, PIECE(events),
			 KVM_SYNC_X86_EVENTS},
	/* Last: a halted vCPU is woken by what the rows above deliver. */
	[ITEM_MP_STATE] = {"mp_state", NULL, get_mp_state, set_mp_state, PIECE(mp_state), 0},
};

static_assert(ARRAY_SIZE(items) == ITEM_COUNT_ && ITEM_COUNT_ <= VCPU_ITEMS_MAX, "one row each");

static int tsc_offset_attr(const struct kvm_vcpu *vcpu, unsigned long request, uint64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return ioctl(vcpu->fd, request, &attr);
}

/*
 * QEMU 7.2's emulation of SVM allows ring 3 its ports only by a TSS that is marked available, as
 * LTR finds it and not as LTR leaves it. KVM always reads a busy one, so restoring what was read
 * would take a guest's ports away. KVM takes both kinds.
 */
static void make_tss_available(struct kvm_segment *tr)
{
	if (tr->type == TSS_BUSY)
		tr->type = TSS_AVAILABLE;
}

static void rearm_timer(struct vcpu_state *state)
{
	__u64 none = 0;
	__u64 *deadline = &none;

	for (uint32_t i = 0; i < state->msrs->nmsrs; i++)
		if (state->msrs->entries[i].index == MSR_TSC_DEADLINE)
			deadline = &state->msrs->entries[i].data;
	lapic_timer_rearm(&state->lapic, deadline, state->host_tsc + state->tsc_offset);
}

int vcpu_state_capture(const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		       const struct kvm_host *host, struct vcpu_state *state, struct error *error)
{
	int rc;

	memset(state, 0, sizeof(*state));
	rc = nested_state_refuse(vcpu, host, error);
	if (rc < 0)
		return rc;
	state->xsave = aligned_alloc(64, round_up(host->xsave_size, 64));
	if (!state->xsave)
		return error_set(error, ENOMEM, "no memory for the XSAVE area");
	memset(state->xsave, 0, host->xsave_size);
	/*
	 * Backwards: what comes last in writing depends on what is before it, and reading it may
	 * change that. KVM_GET_MP_STATE carries out an INIT or start-up interrupt that is pending.
	 */
	for (size_t i = ITEM_COUNT_; i-- > 0;) {
		if (!items[i].get || (items[i].present && !items[i].present(vm, host)))
			continue;
		if (items[i].get(vcpu->fd, host, state) < 0)
			return error_set_errno(error, errno, "read %s of vCPU %u", items[i].name,
					       vcpu->index);
	}
	if (host->is_tcg)
		make_tss_available(&state->sregs.tr);
	state->cr8 = vcpu->run->cr8;
	if (host->has_tsc_offset &&
	    tsc_offset_attr(vcpu, KVM_GET_DEVICE_ATTR, &state->tsc_offset) < 0)
		return error_set_errno(error, errno, "read TSC offset of vCPU %u", vcpu->index);
	state->host_tsc = host_tsc();
	rc = msr_read_all(vcpu, host, &state->msrs, &state->msrs_refused, error);
	if (rc == 0 && vm->irqchip)
		rearm_timer(state);
	return rc;
}

void vcpu_state_done(struct vcpu_state *state)
{
	free(state->xsave);
	free(state->msrs);
	state->xsave = NULL;
	state->msrs = NULL;
}

/*
 * XSTATE_BV says which components the CPU happened to track as not in their initial state; one that
 * is not has its initial values in the area all the same (Intel SDM volume 1, 13.4.2). So it is not
 * the guest's state, and two equal areas may differ in it.
 */
#define XSTATE_BV_AT 512u

bool vcpu_xsave_equal(const void *a, const void *b, size_t size)
{
	const size_t after = XSTATE_BV_AT + sizeof(uint64_t);

	return memcmp(a, b, XSTATE_BV_AT) == 0 &&
	       memcmp((const char *)a + after, (const char *)b + after, size - after) == 0;
}

static bool same(size_t item, const struct vcpu_state *a, const struct vcpu_state *b,
		 const struct kvm_host *host)
{
	if (item == ITEM_XSAVE)
		return vcpu_xsave_equal(a->xsave, b->xsave, host->xsave_size);
	return items[item].size &&
	       memcmp((const char *)a + items[item].offset, (const char *)b + items[item].offset,
		      items[item].size) == 0;
}

/* What a vCPU's MSRs read, against what was written. */
static int compare_msrs(const struct kvm_msrs *written, const struct vcpu_state *got,
			struct error *error)
{
	for (uint32_t i = 0; i < written->nmsrs; i++) {
		const struct kvm_msr_entry *wanted = &written->entries[i];
		const struct kvm_msr_entry *have = msr_find(got->msrs, wanted->index);

		if (have && !msr_value_is_fine(wanted->index, wanted->data, have->data))
			return error_set(error, EIO, "MSR %#x reads %#llx after %#llx was restored",
					 wanted->index, (unsigned long long)have->data,
					 (unsigned long long)wanted->data);
	}
	return 0;
}

/* Let KVM take over what sits in kvm_run, read back, compare. */
static int verify(const struct kvm_msrs *msrs, const struct vcpu_state *state,
		  const struct kvm_vcpu *vcpu, const struct kvm_vm *vm, const struct kvm_host *host,
		  struct error *error)
{
	struct vcpu_state got;
	int rc = vcpu_finish_instruction(vcpu);

	if (rc < 0)
		return error_set_errno(error, -rc, "KVM refuses the registers");
	/* It had not come as far as to look at them. */
	if (vcpu->run->kvm_dirty_regs)
		return error_set(error, EAGAIN,
				 "KVM cannot run vCPU %u: the host allows no more tasks",
				 vcpu->index);
	rc = vcpu_state_capture(vcpu, vm, host, &got, error);
	for (size_t i = 0; rc == 0 && i < ITEM_COUNT_; i++) {
		/* A LAPIC's current count moves on; its other registers have been through SET. */
		if (i == ITEM_MSRS || i == ITEM_LAPIC ||
		    (items[i].present && !items[i].present(vm, host)))
			continue;
		if (!same(i, state, &got, host))
			rc = error_set(error, EIO, "%s does not survive being restored",
				       items[i].name);
	}
	if (rc == 0)
		rc = compare_msrs(msrs, &got, error);
	vcpu_state_done(&got);
	return rc;
}

/* Carry out the plan on scratch, and see. */
static int rehearse(const struct vcpu_plan *plan, const struct vcpu_state *state,
		    const struct kvm_vcpu *scratch, const struct kvm_vm *vm,
		    const struct kvm_host *host, struct error *error)
{
	int rc = vcpu_plan_apply_tsc(plan, state, scratch, 0, error);

	if (rc == 0)
		rc = vcpu_plan_apply(plan, state, scratch, vm, host, error);
	return rc < 0 ? rc : verify(plan->msrs, state, scratch, vm, host, error);
}

/*
 * Where the guest's TSC is the host's whatever the offset says (a host without hardware
 * virtualization), the attribute reads back as it was: nothing to restore.
 */
static bool tsc_offset_works(const struct kvm_vcpu *scratch, const struct kvm_host *host)
{
	uint64_t probe = 0x100000000, got = 0;

	return host->has_tsc_offset && tsc_offset_attr(scratch, KVM_SET_DEVICE_ATTR, &probe) == 0 &&
	       tsc_offset_attr(scratch, KVM_GET_DEVICE_ATTR, &got) == 0 && got == probe;
}

int vcpu_plan_make(struct vcpu_plan *plan, const struct vcpu_state *state,
		   const struct kvm_vcpu *scratch, const struct kvm_vm *vm,
		   const struct kvm_host *host, struct error *error)
{
	struct vcpu_state fresh;
	int rc = vcpu_state_capture(scratch, vm, host, &fresh, error);

	*plan = (struct vcpu_plan){0};
	if (rc == 0)
		rc = msr_plan(state->msrs, fresh.msrs, scratch, &plan->msrs, error);
	for (size_t i = 0; rc == 0 && i < ITEM_COUNT_; i++) {
		if (items[i].present && !items[i].present(vm, host))
			continue;
		if (i == ITEM_MSRS ? plan->msrs->nmsrs > 0 : !same(i, state, &fresh, host))
			plan->items |= 1u << i;
	}
	/*
	 * Writing segment registers resets nothing else, but entering a mode the fresh vCPU is not
	 * in without its segments would: the two always go together.
	 */
	plan->items |= 1u << ITEM_SREGS | 1u << ITEM_REGS;
	plan->tsc_offset = tsc_offset_works(scratch, host);
	vcpu_state_done(&fresh);
	if (rc == 0)
		rc = rehearse(plan, state, scratch, vm, host, error);
	if (rc < 0) {
		vcpu_plan_done(plan);
		error_prefix(error, "vCPU %u cannot be restored on this host", scratch->index);
	}
	return rc;
}

int vcpu_plan_make_again(struct vcpu_plan *plan, const struct vcpu_state *state,
			 const struct kvm_vcpu *scratch, const struct kvm_vm *vm,
			 const struct kvm_host *host, struct error *error)
{
	for (size_t i = 0; i < ITEM_COUNT_; i++)
		if (!items[i].present || items[i].present(vm, host))
			plan->all_items |= 1u << i;
	return msr_plan_all(state->msrs, scratch, &plan->all_msrs, error);
}

void vcpu_plan_done(struct vcpu_plan *plan)
{
	free(plan->msrs);
	free(plan->all_msrs);
	*plan = (struct vcpu_plan){0};
}

/* Leave an item in kvm_run for the next KVM_RUN, if this host and this item allow. */
static bool defer(size_t item, const struct vcpu_state *state, const struct kvm_vcpu *vcpu,
		  const struct kvm_vm *vm, const struct kvm_host *host)
{
	struct kvm_sync_regs *sync = &vcpu->run->s.regs;

	/* With a LAPIC the order against its own state matters; a waiting AP never gets there. */
	if (vm->irqchip || !(host->sync_regs & items[item].sync))
		return false;
	switch (item) {
	case ITEM_SREGS:
		if (state->sregs.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID)
			return false; /* kvm_sregs has no room for them */
		old_sregs(state, &sync->sregs);
		break;
	case ITEM_REGS:
		sync->regs = state->regs;
		break;
	case ITEM_EVENTS:
		sync->events = state->events;
		break;
	default:
		return false;
	}
	vcpu->run->kvm_dirty_regs |= items[item].sync;
	return true;
}

int vcpu_plan_apply_tsc(const struct vcpu_plan *plan, const struct vcpu_state *state,
			const struct kvm_vcpu *vcpu, uint64_t frozen_tsc, struct error *error)
{
	uint64_t offset = state->tsc_offset - frozen_tsc;

	if (plan->tsc_offset && tsc_offset_attr(vcpu, KVM_SET_DEVICE_ATTR, &offset) < 0)
		return error_set_errno(error, errno, "write TSC offset of vCPU %u", vcpu->index);
	return 0;
}

/* Write rows, those that may later and the others now. */
static int write_items(uint32_t wanted, const struct kvm_msrs *msrs, const struct vcpu_state *state,
		       const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		       const struct kvm_host *host, struct error *error)
{
	for (size_t i = 0; i < ITEM_COUNT_; i++) {
		int rc;

		if (!(wanted & 1u << i) || defer(i, state, vcpu, vm, host))
			continue;
		if (i == ITEM_MSRS) {
			rc = msr_write(vcpu, msrs, error);
			if (rc < 0)
				return rc;
		} else if (items[i].set(vcpu->fd, host, state) < 0) {
			return error_set_errno(error, errno, "write %s of vCPU %u", items[i].name,
					       vcpu->index);
		}
	}
	vcpu->run->cr8 = state->cr8;
	return 0;
}

int vcpu_plan_apply(const struct vcpu_plan *plan, const struct vcpu_state *state,
		    const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		    const struct kvm_host *host, struct error *error)
{
	return write_items(plan->items, plan->msrs, state, vcpu, vm, host, error);
}

/*
 * KVM has the guest's TLB flushed when control registers change. The guest's page tables may have
 * been changed behind its back, and its CR3 may be the template's.
 */
static int flush_tlb(const struct vcpu_state *state, const struct kvm_vcpu *vcpu,
		     const struct kvm_host *host, struct error *error)
{
	struct vcpu_state other = *state; /* nothing of it is owned twice: only sregs are used */

	other.sregs.cr4 ^= CR4_PGE;
	if (set_sregs(vcpu->fd, host, &other) < 0)
		return error_set_errno(error, errno, "write sregs of vCPU %u", vcpu->index);
	return 0;
}

int vcpu_plan_apply_again(const struct vcpu_plan *plan, const struct vcpu_state *state,
			  const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
			  const struct kvm_host *host, bool unprivileged, struct error *error)
{
	const uint32_t few =
		1u << ITEM_SREGS | 1u << ITEM_XSAVE | 1u << ITEM_REGS | 1u << ITEM_EVENTS;
	int rc = 0;

	assert(plan->all_msrs);
	vcpu->run->immediate_exit = 0;
	vcpu->run->request_interrupt_window = 0;
	if (!unprivileged)
		rc = flush_tlb(state, vcpu, host, error);
	if (rc < 0)
		return rc;
	return write_items(unprivileged ? few : plan->all_items, plan->all_msrs, state, vcpu, vm,
			   host, error);
}

int vcpu_state_verify(const struct vcpu_plan *plan, const struct vcpu_state *state,
		      const struct kvm_vcpu *vcpu, const struct kvm_vm *vm,
		      const struct kvm_host *host, struct error *error)
{
	return verify(plan->all_msrs, state, vcpu, vm, host, error);
}

/* An access that KVM splits leaves once more for each part; a string instruction, for each. */
#define PARTS_MAX 70000u

int vcpu_finish_instruction(const struct kvm_vcpu *vcpu)
{
	int rc = 0;

	vcpu->run->immediate_exit = 1;
	for (unsigned int i = 0; rc == 0 && i < PARTS_MAX; i++)
		rc = ioctl(vcpu->fd, KVM_RUN, 0) < 0 ? -errno : 0;
	vcpu->run->immediate_exit = 0;
	return rc == -EINTR || rc == -EAGAIN ? 0 : rc ? rc : -ELOOP;
}

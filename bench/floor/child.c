/* SPDX-License-Identifier: MIT */
/*
 * The measured half of floor: what the child does between fork and first answer, as plain system
 * calls, one after the other. Kernel document: virt/kvm/api.rst.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/floor/floor.h"
#include "guest-stubs/stub_abi.h"

#define KVM_TSS_GPA 0xfffbd000ul

struct child {
	const struct floor_template *template;
	struct floor_message message;
	int pipe_fd, vm, vcpu;
	struct kvm_run *run;
};

static void stamp(struct child *child, enum floor_stage stage)
{
	child->message.at_ns[stage] = now_ns();
}

/* Tell the parent and end. */
static _Noreturn void finish(struct child *child, int status, const char *what)
{
	child->message.status = status;
	snprintf(child->message.what, sizeof(child->message.what), "%s", what);
	if (write(child->pipe_fd, &child->message, sizeof(child->message)) < 0)
		_exit(2);
	_exit(status != 0);
}

static int must(struct child *child, int result, const char *what)
{
	if (result < 0)
		finish(child, errno, what);
	return result;
}

static void make_vm(struct child *child)
{
	const struct floor_template *template = child->template;
	struct kvm_enable_cap failure_exit = {
		.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE,
		.args = {1},
	};

	child->vm = must(child, ioctl(template->kvm, KVM_CREATE_VM, 0), "create VM");
	if (template->has_failure_exit)
		must(child, ioctl(child->vm, KVM_ENABLE_CAP, &failure_exit), "enable capability");
	if (template->needs_tss_addr)
		must(child, ioctl(child->vm, KVM_SET_TSS_ADDR, KVM_TSS_GPA), "set TSS address");
}

static void make_memslots(struct child *child, enum floor_variant variant)
{
	const struct floor_template *template = child->template;
	const struct floor_slot *slots =
		variant == FLOOR_LEAN ? template->populated : template->all;
	unsigned int count =
		variant == FLOOR_LEAN ? template->populated_count : template->all_count;

	for (unsigned int i = 0; i < count; i++) {
		struct kvm_userspace_memory_region region = {
			.slot = i,
			.guest_phys_addr = slots[i].gpa,
			.memory_size = slots[i].size,
			.userspace_addr = (uintptr_t)slots[i].host,
		};

		must(child, ioctl(child->vm, KVM_SET_USER_MEMORY_REGION, &region), "memslot");
	}
}

static void make_vcpu(struct child *child)
{
	child->vcpu = must(child, ioctl(child->vm, KVM_CREATE_VCPU, 0), "create vCPU");
	child->run = mmap(NULL, child->template->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  child->vcpu, 0);
	if (child->run == MAP_FAILED)
		finish(child, errno, "map kvm_run");
}

static void set_msrs(struct child *child, const struct kvm_msrs *msrs)
{
	if (!msrs || msrs->nmsrs == 0)
		return;
	if (must(child, ioctl(child->vcpu, KVM_SET_MSRS, msrs), "set MSRs") != (int)msrs->nmsrs)
		finish(child, EIO, "set MSRs: a short count");
}

/* Both variants: time goes on for the guest from where it stood. */
static void set_clocks(struct child *child)
{
	const struct floor_template *template = child->template;
	struct kvm_device_attr tsc = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t) & template->tsc_offset,
	};

	if (template->set_tsc_offset)
		must(child, ioctl(child->vcpu, KVM_SET_DEVICE_ATTR, &tsc), "set TSC offset");
	must(child, ioctl(child->vm, KVM_SET_CLOCK, &template->clock), "set clock");
}

/* Everything a vCPU has, each piece by its own call, in the order that KVM needs. */
static void set_state_plain(struct child *child)
{
	const struct floor_template *template = child->template;
	int vcpu = child->vcpu;

	must(child, ioctl(vcpu, KVM_SET_CPUID2, template->cpuid), "set CPUID");
	set_clocks(child);
	must(child, ioctl(vcpu, KVM_SET_SREGS, &template->sregs), "set sregs");
	if (template->has_xcrs)
		must(child, ioctl(vcpu, KVM_SET_XCRS, &template->xcrs), "set xcrs");
	must(child, ioctl(vcpu, KVM_SET_XSAVE, template->xsave), "set xsave");
	must(child, ioctl(vcpu, KVM_SET_REGS, &template->regs), "set regs");
	must(child, ioctl(vcpu, KVM_SET_DEBUGREGS, &template->debugregs), "set debugregs");
	set_msrs(child, template->msrs);
	must(child, ioctl(vcpu, KVM_SET_VCPU_EVENTS, &template->events), "set events");
	must(child, ioctl(vcpu, KVM_SET_MP_STATE, &template->mp_state), "set mp_state");
}

/* What a fresh vCPU has not got already; registers by way of kvm_run where that is possible. */
static void set_state_lean(struct child *child)
{
	const struct floor_template *template = child->template;
	int vcpu = child->vcpu;

	if (template->needs_cpuid)
		must(child, ioctl(vcpu, KVM_SET_CPUID2, template->cpuid), "set CPUID");
	set_clocks(child);
	if (template->sync_regs) {
		child->run->s.regs.sregs = template->sregs;
		child->run->s.regs.regs = template->regs;
		child->run->s.regs.events = template->events;
		child->run->kvm_dirty_regs =
			KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
	} else {
		must(child, ioctl(vcpu, KVM_SET_SREGS, &template->sregs), "set sregs");
		must(child, ioctl(vcpu, KVM_SET_REGS, &template->regs), "set regs");
		must(child, ioctl(vcpu, KVM_SET_VCPU_EVENTS, &template->events), "set events");
	}
	if (template->lean_xcrs)
		must(child, ioctl(vcpu, KVM_SET_XCRS, &template->xcrs), "set xcrs");
	if (template->lean_xsave)
		must(child, ioctl(vcpu, KVM_SET_XSAVE, template->xsave), "set xsave");
	if (template->lean_debugregs)
		must(child, ioctl(vcpu, KVM_SET_DEBUGREGS, &template->debugregs), "set debugregs");
	set_msrs(child, template->msrs_lean);
	if (template->lean_mp_state)
		must(child, ioctl(vcpu, KVM_SET_MP_STATE, &template->mp_state), "set mp_state");
}

/* The guest must find itself a clone with a name of its own, or it would not answer. */
static void give_identity(const struct floor_template *template, uint64_t clone_id)
{
	struct forkvm_mailbox *mailbox = template->mailbox;

	mailbox->is_clone = 1;
	mailbox->request_len = 0;
	mailbox->request_seq = 1;
	mailbox->identity.clone_id = clone_id;
}

/* Run until READY. Touching RAM that has no memslot is more than this program does. */
static void run(struct child *child)
{
	const struct kvm_run *exit = child->run;

	for (;;) {
		if (ioctl(child->vcpu, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			finish(child, errno, "run");
		}
		if (exit->exit_reason == KVM_EXIT_IO && exit->io.port == FORKVM_PORT_READY)
			return;
		finish(child, EIO, "run: an exit that is not READY");
	}
}

_Noreturn void floor_child(const struct floor_template *template, enum floor_variant variant,
			   uint64_t clone_id, int pipe_fd)
{
	struct child child = {.template = template, .pipe_fd = pipe_fd};

	stamp(&child, FLOOR_FORK);
	make_vm(&child);
	stamp(&child, FLOOR_VM);
	make_memslots(&child, variant);
	stamp(&child, FLOOR_MEMSLOTS);
	make_vcpu(&child);
	stamp(&child, FLOOR_VCPUS);
	if (variant == FLOOR_LEAN)
		set_state_lean(&child);
	else
		set_state_plain(&child);
	give_identity(template, clone_id);
	stamp(&child, FLOOR_STATE);
	run(&child);
	stamp(&child, FLOOR_RUN);
	if (memcmp(template->response, "ok", 2) != 0)
		finish(&child, EBADMSG, "the guest's answer");
	finish(&child, 0, "");
}

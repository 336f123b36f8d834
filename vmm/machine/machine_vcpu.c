/* SPDX-License-Identifier: MIT */
/*
 * Running one vCPU: KVM_RUN, and what its exits mean. Kernel document: virt/kvm/api.rst, section 5,
 * "The kvm_run structure".
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/base/util.h"
#include "vmm/kvm/msr.h"
#include "vmm/machine/internal.h"
#include "vmm/machine/memslots.h"

#define REFUSALS_MAX 1000u /* some milliseconds of trying: tasks may be had again */

/* What the loop does after an exit. */
enum verdict {
	RUN_ON,
	STOP, /* progress says why */
};

/* The machine goes no further: stop all vCPUs and wake whoever waits. With the lock held. */
static void move_to(struct machine *machine, enum machine_progress progress)
{
	const struct machine_sink *sink = machine->stub.sink;

	machine->progress = progress;
	threads_kick(machine);
	if (sink && sink->progress)
		sink->progress(sink->ctx);
}

void machine_reached_template(struct machine *machine)
{
	if (machine->progress == PROGRESS_RUNNING)
		move_to(machine, PROGRESS_TEMPLATE);
}

/* Take the first end of a VM and stop all its vCPUs. With the lock held. */
static void set_end(struct machine *machine, enum machine_end_reason reason, uint32_t status,
		    const struct error *error)
{
	if (machine->progress == PROGRESS_ENDED)
		return; /* the first one counts */
	machine->end = (struct machine_end){.reason = reason, .status = status};
	if (error)
		machine->end.error = *error;
	move_to(machine, PROGRESS_ENDED);
}

static uint64_t instruction_pointer(const struct vcpu *vcpu)
{
	struct kvm_regs regs;

	return ioctl(vcpu->kvm.fd, KVM_GET_REGS, &regs) < 0 ? 0 : regs.rip;
}

static enum verdict end_with(struct vcpu *vcpu, enum machine_end_reason reason,
			     const struct error *error)
{
	set_end(vcpu->machine, reason, 0, error);
	return STOP;
}

__attribute__((format(printf, 2, 3))) static enum verdict guest_error(struct vcpu *vcpu,
								      const char *format, ...)
{
	struct error error;
	va_list args;
	char text[160];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_set(&error, EPROTO, "vCPU %u: %s (rip %#llx)", vcpu->kvm.index, text,
		  (unsigned long long)instruction_pointer(vcpu));
	return end_with(vcpu, MACHINE_END_GUEST_ERROR, &error);
}

static enum verdict power_stop(struct vcpu *vcpu, bool is_reset)
{
	struct error error;

	error_set(&error, ESHUTDOWN, "the guest asked for %s", is_reset ? "a reset" : "power-off");
	return end_with(vcpu, MACHINE_END_SHUTDOWN, &error);
}

/* A device said PORT_STOP: a power switch, or the doorbell device, knows why. */
static enum verdict device_stop(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	const struct stub_port *stub = &machine->stub;
	struct error error;

	if (machine->devices.power != POWER_NONE)
		return power_stop(vcpu, machine->devices.power == POWER_RESET);
	if (stub->phase == STUB_TEMPLATE) {
		machine_reached_template(machine);
	} else if (stub->sink_error) {
		error_set_errno(&error, -stub->sink_error, "deliver what the guest sent");
		end_with(vcpu, MACHINE_END_HOST_ERROR, &error);
	} else {
		set_end(machine, MACHINE_END_DONE, stub->status, NULL);
	}
	return STOP;
}

static enum verdict on_io(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	struct machine *machine = vcpu->machine;
	struct port_access access = {
		.port = run->io.port,
		.size = run->io.size,
		.is_out = run->io.direction == KVM_EXIT_IO_OUT,
		.count = run->io.count,
		.data = (uint8_t *)run + run->io.data_offset,
	};
	bool is_park = machine->is_linux && access.port == FORKVM_PORT_PARK && access.is_out;
	struct error error;
	int rc;

	/*
	 * A stub knows that a vCPU which parks stands still. A kernel would have its other vCPUs
	 * wait for that one, and complain: so they all stand still.
	 */
	if (is_park)
		threads_pause_others(machine, vcpu);
	rc = portbus_access(&machine->ports, &access, &error);
	if (is_park)
		threads_tell_of_pause(machine);
	if (machine->stages && !machine->stages->at_ns[MACHINE_STAGE_READY])
		machine->stages->at_ns[MACHINE_STAGE_READY] = machine->stub.first_ready_ns;
	if (rc < 0)
		return guest_error(vcpu, "%s", error.text);
	return rc == PORT_STOP ? device_stop(vcpu) : RUN_ON;
}

/* Register what a vCPU needs, and have KVM's own structures there found again. */
static int fill_hole(struct vcpu *vcpu, gpa_t gpa, bool all, struct error *error)
{
	struct machine *machine = vcpu->machine;
	struct extents *extents = &machine->frozen.extents;
	int rc;

	if (!machine->lazy_slots && guest_ram_region(machine->ram, gpa))
		return 0;
	rc = all ? memslots_fill_all(&machine->vm, machine->ram, extents, error)
		 : memslots_fill(&machine->vm, machine->ram, extents, machine->hole_touches++, gpa,
				 error);
	if (rc == 1 && msr_rearm_paravirtual(&vcpu->kvm, error) < 0)
		return -error->code;
	return rc;
}

/*
 * An access to an address that is no RAM: a device's, or nobody's. A stub has no business there; on
 * a PC it reads all ones, and kernels look at such places to learn what there is.
 */
static enum verdict on_device(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	struct machine *machine = vcpu->machine;
	uint32_t length = run->mmio.len;
	struct error error;
	int rc = mmiobus_access(&machine->devices.mmio, run->mmio.phys_addr, run->mmio.is_write,
				run->mmio.data, length, &error);

	if (rc < 0)
		return guest_error(vcpu, "%s", error.text);
	if (rc == 0 && !machine->devices.pc)
		return guest_error(vcpu, "%s of %u bytes at %#llx, where nothing is",
				   run->mmio.is_write ? "write" : "read", length,
				   (unsigned long long)run->mmio.phys_addr);
	if (rc == 0 && !run->mmio.is_write)
		memset(run->mmio.data, 0xff, length);
	return RUN_ON;
}

/* An access to an address without a memslot: a hole in RAM, or no RAM at all. */
static enum verdict on_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;
	uint32_t length = (uint32_t)min_u64(run->mmio.len, sizeof(run->mmio.data));
	struct error error;
	void *at = guest_ram_at(vcpu->machine->ram, run->mmio.phys_addr, length);
	int rc;

	if (!at)
		return on_device(vcpu);
	rc = fill_hole(vcpu, run->mmio.phys_addr, false, &error);
	if (rc < 0)
		return end_with(vcpu, MACHINE_END_HOST_ERROR, &error);
	if (run->mmio.is_write)
		memcpy(at, run->mmio.data, length);
	else
		memcpy(run->mmio.data, at, length);
	return RUN_ON;
}

static bool translate(const struct vcpu *vcpu, uint64_t linear, gpa_t *ret)
{
	struct kvm_translation translation = {.linear_address = linear};

	if (ioctl(vcpu->kvm.fd, KVM_TRANSLATE, &translation) < 0 || !translation.valid)
		return false;
	*ret = translation.physical_address;
	return true;
}

/*
 * KVM could not emulate an instruction. With holes that is what executing in one looks like, or
 * touching one with an instruction KVM does not know: fill and run it again, once.
 */
static enum verdict on_emulation_failure(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	uint64_t rip = instruction_pointer(vcpu);
	struct error error = {0};
	gpa_t gpa;
	int rc = 0;

	if (machine->lazy_slots && translate(vcpu, rip, &gpa) &&
	    guest_ram_region(machine->ram, gpa))
		rc = fill_hole(vcpu, gpa, false, &error);
	if (rc == 0 && machine->lazy_slots)
		rc = fill_hole(vcpu, 0, true, &error);
	/* Another vCPU may have filled the hole first: then, too, it is worth one more try. */
	if (rc == 0 && machine->lazy_slots && !(vcpu->retried && vcpu->retry_rip == rip)) {
		vcpu->retried = true;
		vcpu->retry_rip = rip;
		rc = 1;
	}
	if (rc < 0)
		return end_with(vcpu, MACHINE_END_HOST_ERROR, &error);
	if (rc == 1)
		return RUN_ON;
	return guest_error(vcpu, "an instruction that KVM cannot emulate here");
}

/* Without an interrupt controller nothing wakes a halted vCPU. */
static enum verdict on_halt(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	struct error error;

	vcpu->halted = true;
	machine->halted++;
	if (machine->halted == machine->frozen.vcpu_count) {
		error_set(&error, ESHUTDOWN, "all vCPUs have halted");
		end_with(vcpu, MACHINE_END_SHUTDOWN, &error);
	}
	return STOP;
}

static enum verdict on_system_event(struct vcpu *vcpu)
{
	switch (vcpu->kvm.run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
	case KVM_SYSTEM_EVENT_RESET:
		return power_stop(vcpu, vcpu->kvm.run->system_event.type == KVM_SYSTEM_EVENT_RESET);
	default:
		return guest_error(vcpu, "system event %u", vcpu->kvm.run->system_event.type);
	}
}

static enum verdict on_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->kvm.run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		vcpu->machine->ios++;
		return on_io(vcpu);
	case KVM_EXIT_MMIO:
		vcpu->machine->mmios++;
		return on_mmio(vcpu);
	case KVM_EXIT_INTERNAL_ERROR:
		if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
			return on_emulation_failure(vcpu);
		return guest_error(vcpu, "KVM internal error %u", run->internal.suberror);
	case KVM_EXIT_HLT:
		return on_halt(vcpu);
	case KVM_EXIT_SHUTDOWN:
		return guest_error(vcpu, "triple fault");
	case KVM_EXIT_SYSTEM_EVENT:
		return on_system_event(vcpu);
	case KVM_EXIT_FAIL_ENTRY:
		return guest_error(
			vcpu, "the CPU refuses its registers (reason %#llx)",
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return RUN_ON;
	default:
		return guest_error(vcpu, "KVM exit %u is not handled", run->exit_reason);
	}
}

/*
 * KVM_RUN says EAGAIN to a secondary vCPU that was woken by its start-up interrupt, once; and to
 * any vCPU, at once and for good, when the worker thread that KVM makes at a VM's first run is
 * refused.
 */
static enum verdict on_refusal(struct vcpu *vcpu)
{
	struct error error;

	if (++vcpu->refusals < REFUSALS_MAX)
		return RUN_ON;
	error_set(
		&error, EAGAIN,
		"KVM cannot run vCPU %u: the host allows no more tasks, and KVM needs one for each "
		"VM (limits of user, cgroup or kernel.pid_max)",
		vcpu->kvm.index);
	return end_with(vcpu, MACHINE_END_HOST_ERROR, &error);
}

static enum verdict on_run_error(struct vcpu *vcpu, int code)
{
	struct error error;

	switch (code) {
	case EINTR:
		return RUN_ON;
	case EAGAIN:
		return on_refusal(vcpu);
	case ENOMEM:
		error_set(&error, code, "the host has no memory left for the guest");
		return end_with(vcpu, MACHINE_END_OUT_OF_MEMORY, &error);
	case EFAULT:
		error_set(&error, code,
			  "guest RAM could not be reached: the host is out of memory, or the "
			  "memory file was truncated");
		return end_with(vcpu, MACHINE_END_HOST_ERROR, &error);
	default:
		error_set_errno(&error, code, "KVM_RUN, vCPU %u", vcpu->kvm.index);
		return end_with(vcpu, MACHINE_END_HOST_ERROR, &error);
	}
}

static bool has_ended(struct machine *machine)
{
	bool ended;

	pthread_mutex_lock(&machine->lock);
	ended = machine->progress == PROGRESS_ENDED;
	pthread_mutex_unlock(&machine->lock);
	return ended;
}

/* One KVM_RUN and its consequences. */
static enum verdict step(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	int rc = ioctl(vcpu->kvm.fd, KVM_RUN, 0);
	int code = errno;
	enum verdict verdict;

	pthread_mutex_lock(&machine->lock);
	/* A pause is over when its thread has the lock; a stop is not. */
	if (!atomic_load(&machine->stop))
		__atomic_store_n(&vcpu->kvm.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
	if (rc == 0 && vcpu->refusals)
		vcpu->refusals = 0;
	if (rc < 0)
		verdict = on_run_error(vcpu, code);
	else if (machine->progress == PROGRESS_ENDED)
		verdict = STOP; /* too late: nobody is to hear of it */
	else
		verdict = on_exit(vcpu);
	pthread_mutex_unlock(&machine->lock);
	return verdict;
}

/*
 * KVM finishes an I/O instruction on the next KVM_RUN. With immediate_exit that is all it does, so
 * that afterwards the registers stand behind the instruction. An access that KVM splits exits once
 * more for each part: those are carried out like any other.
 */
static void finish_instruction(struct vcpu *vcpu)
{
	bool done = false;

	while (!done) {
		__atomic_store_n(&vcpu->kvm.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (ioctl(vcpu->kvm.fd, KVM_RUN, 0) < 0) {
			done = true;
			continue;
		}
		pthread_mutex_lock(&vcpu->machine->lock);
		if (vcpu->machine->progress != PROGRESS_ENDED)
			on_exit(vcpu);
		pthread_mutex_unlock(&vcpu->machine->lock);
	}
	__atomic_store_n(&vcpu->kvm.run->immediate_exit, 0, __ATOMIC_SEQ_CST);
}

void vcpu_loop(struct vcpu *vcpu)
{
	struct machine *machine = vcpu->machine;
	enum verdict verdict = RUN_ON;

	while (verdict == RUN_ON && !vcpu->halted && !atomic_load(&machine->stop))
		verdict = step(vcpu);
	if (!has_ended(machine))
		finish_instruction(vcpu);
}

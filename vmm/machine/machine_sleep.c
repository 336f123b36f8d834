/* SPDX-License-Identifier: MIT */
/*
 * A clone that waits for its next request gives its VM back, and has a new one when that comes.
 *
 * Theory of operation. Most of the memory that an idle clone holds is KVM's: structures of the VM
 * and its vCPU, and the caches that KVM fills at a vCPU's first run and gives back with the VM
 * only. While the guest is parked nothing of it is needed. So what the freeze does to a template is
 * done to a clone: its instruction is finished, its state captured, and the restoration rehearsed
 * in a scratch VM, all while the VM still exists, so that a clone whose state cannot be restored
 * here (that is for the guest to choose) stays awake. Then the VM is closed; RAM, devices and disks
 * stay. Waking is what machine_thaw does, less what is a new clone's: for the guest nothing has
 * happened but time.
 */
#include <errno.h>
#include <stdlib.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"
#include "vmm/machine/memslots.h"

struct machine_sleep {
	struct vm_state vm;
	struct vcpu_state vcpu;
	struct vcpu_plan plan;
	uint64_t since_ns; /* the clocks were captured */
};

const char *machine_cannot_sleep(const struct machine *machine)
{
	if (machine->frozen.vcpu_count > 1)
		return "it has several vCPUs, which run on while one of them is parked";
	if (devices_need_thread(&machine->devices))
		return "its devices have a thread, which needs the VM";
	if (machine->with_irqchip)
		return "it has interrupt controllers, which can take longer to make anew than is "
		       "worth while";
	if (!machine->host->has_tsc_offset)
		return "this kernel's KVM cannot set a guest's TSC (Linux 5.16 or later does)";
	return NULL;
}

void sleep_free(struct machine *machine)
{
	struct machine_sleep *sleep = machine->sleep;

	if (!sleep)
		return;
	vcpu_state_done(&sleep->vcpu);
	vcpu_plan_done(&sleep->plan);
	free(sleep);
	machine->sleep = NULL;
}

static int capture(struct machine *machine, struct error *error)
{
	struct machine_sleep *sleep = machine->sleep;
	int rc = vcpu_finish_instruction(&machine->vcpus[0].kvm);

	if (rc < 0)
		return error_set_errno(error, -rc, "finish the guest's last instruction");
	/* By the clock that KVM counts by. */
	sleep->since_ns = clock_ns(CLOCK_MONOTONIC_RAW);
	rc = vm_state_capture(&machine->vm, &sleep->vm, error);
	if (rc == 0)
		rc = vcpu_state_capture(&machine->vcpus[0].kvm, &machine->vm, machine->host,
					&sleep->vcpu, error);
	return rc;
}

/* Without the guest's memory, so that nothing that is tried can write there. */
static int rehearse(struct machine *machine, struct error *error)
{
	struct machine_sleep *sleep = machine->sleep;
	struct kvm_vcpu scratch = {.fd = -1};
	struct kvm_vm vm;
	int rc = machine_open_vm(machine, &vm, error);

	if (rc == 0)
		rc = machine_open_vcpu(machine, &vm, &scratch, 0, error);
	if (rc == 0)
		rc = vcpu_plan_make(&sleep->plan, &sleep->vcpu, &scratch, &vm, machine->host,
				    error);
	if (rc == 0)
		rc = vm_state_restore(&vm, &sleep->vm, error);
	kvm_vcpu_done(&scratch);
	kvm_vm_done(&vm);
	return rc;
}

int machine_sleep(struct machine *machine, struct error *error)
{
	int rc;

	if (!machine->is_frozen || machine->vm.fd < 0 || machine_cannot_sleep(machine))
		return error_set(error, EINVAL, "only a running clone that can sleep does");
	machine->sleep = calloc(1, sizeof(*machine->sleep));
	if (!machine->sleep)
		return error_set(error, ENOMEM, "no memory to sleep");
	rc = capture(machine, error);
	if (rc == 0)
		rc = rehearse(machine, error);
	if (rc < 0) {
		sleep_free(machine);
		return rc;
	}
	/* It counts what the vCPU did, and numbers memslots, which will be others. */
	reset_free(machine);
	machine_close_kvm(machine);
	return 0;
}

int machine_wake(struct machine *machine, struct error *error)
{
	struct machine_sleep *sleep = machine->sleep;
	struct kvm_vcpu *vcpu = &machine->vcpus[0].kvm;
	int rc;

	if (!sleep)
		return error_set(error, EINVAL, "only a machine that sleeps can be woken");
	rc = machine_open_vm(machine, &machine->vm, error);
	if (rc == 0)
		rc = memslots_register(&machine->vm, machine->ram, &machine->frozen.extents, error);
	if (rc == 0)
		rc = machine_open_vcpu(machine, &machine->vm, vcpu, 0, error);
	/* The TSC has gone on by itself: its offset is what it was. */
	if (rc == 0)
		rc = vcpu_plan_apply_tsc(&sleep->plan, &sleep->vcpu, vcpu, 0, error);
	sleep->vm.clock.clock += clock_ns(CLOCK_MONOTONIC_RAW) - sleep->since_ns;
	if (rc == 0)
		rc = vm_state_restore(&machine->vm, &sleep->vm, error);
	if (rc == 0)
		rc = vcpu_plan_apply(&sleep->plan, &sleep->vcpu, vcpu, &machine->vm, machine->host,
				     error);
	sleep_free(machine);
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * From frozen memory to a running clone, in the child of the fork. Every step is on the path that
 * clone_storm measures.
 */
#include <errno.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"
#include "vmm/machine/memslots.h"

static void mark(struct machine *machine, enum machine_stage stage)
{
	machine->stages->at_ns[stage] = now_ns();
}

static int restore(struct machine *machine, struct error *error)
{
	const struct machine_frozen *frozen = &machine->frozen;
	uint64_t frozen_tsc = host_tsc() - frozen->vm.host_tsc;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < frozen->vcpu_count; i++)
		rc = vcpu_plan_apply_tsc(&frozen->vcpus[i].plan, &frozen->vcpus[i].state,
					 &machine->vcpus[i].kvm, frozen_tsc, error);
	if (rc == 0)
		rc = vm_state_restore(&machine->vm, &frozen->vm, error);
	for (unsigned int i = 0; rc == 0 && i < frozen->vcpu_count; i++)
		rc = vcpu_plan_apply(&frozen->vcpus[i].plan, &frozen->vcpus[i].state,
				     &machine->vcpus[i].kvm, &machine->vm, machine->host, error);
	if (rc == 0 && machine->is_linux)
		threads_tell_of_pause(machine);
	return rc;
}

int machine_thaw(struct machine *machine, const struct forkvm_identity *identity,
		 const void *request, size_t request_len, struct machine_stages *stages,
		 struct error *error)
{
	int rc;

	if (!machine->is_frozen || machine->vm.fd >= 0)
		return error_set(error, EINVAL, "only a frozen machine can be thawed, and once");
	machine->stages = stages;
	mark(machine, MACHINE_STAGE_START);
	/* The inherited VM descriptors are gone since the freeze; this VM is the child's own. */
	rc = machine_open_vm(machine, &machine->vm, error);
	mark(machine, MACHINE_STAGE_VM);
	if (rc == 0)
		populate_working_set(machine);
	mark(machine, MACHINE_STAGE_POPULATE);
	if (rc == 0)
		rc = learning_begin(machine, error);
	/* Before the vCPUs: with none there, adding a memslot has nobody to wait for. */
	if (rc == 0)
		rc = memslots_register(&machine->vm, machine->ram, &machine->frozen.extents, error);
	mark(machine, MACHINE_STAGE_MEMSLOTS);
	for (unsigned int i = 0; rc == 0 && i < machine->frozen.vcpu_count; i++)
		rc = machine_open_vcpu(machine, &machine->vm, &machine->vcpus[i].kvm, i, error);
	mark(machine, MACHINE_STAGE_VCPUS);
	if (rc == 0)
		rc = restore(machine, error);
	if (rc == 0)
		reset_begin(machine);
	if (rc == 0)
		rc = disks_thaw(machine, error);
	if (rc == 0)
		rc = devices_bind(&machine->devices, &machine->vm, error);
	/* Before the first instruction, so that the guest never sees itself as its template. */
	if (rc == 0)
		rc = stub_port_deliver(&machine->stub, identity, request, request_len, error);
	if (rc == 0)
		rc = devices_revive(&machine->devices, identity, error);
	if (rc == 0)
		rc = threads_start(machine, 1, error);
	if (rc == 0)
		rc = devices_start(&machine->devices, error);
	mark(machine, MACHINE_STAGE_STATE);
	return rc;
}

void machine_run(struct machine *machine, const struct machine_sink *sink,
		 struct machine_end *ret_end)
{
	machine->stub.sink = sink;
	machine->vcpus[0].thread.id = pthread_self(); /* whom a kick from another vCPU must reach */
	machine->vcpus[0].thread.exists = machine->frozen.vcpu_count > 1;
	devices_attach(&machine->devices);
	mark(machine, MACHINE_STAGE_RUN);
	threads_release(machine);
	vcpu_loop(&machine->vcpus[0]);
	pthread_mutex_lock(&machine->lock);
	machine->vcpus[0].thread.exists = false;
	while (machine->progress != PROGRESS_ENDED)
		pthread_cond_wait(&machine->changed, &machine->lock);
	*ret_end = machine->end;
	pthread_mutex_unlock(&machine->lock);
	/* Nothing may use the sink when this has returned. */
	devices_join(&machine->devices);
}

/* SPDX-License-Identifier: MIT */
/*
 * From a VM at its template point to plain memory that can be forked.
 *
 * The order matters: devices come to rest before interrupt controllers are read, and the clock is
 * read before everything that takes long; state is read while the VM exists; every KVM descriptor
 * is closed before the memory is remapped, so that the kernel has no shadow of it left to
 * invalidate; and the rehearsal happens in a VM without the guest's memory, so that nothing it does
 * can write there.
 */
#include <errno.h>
#include <sys/mman.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

/*
 * A memslot costs a clone as much as some MiB of larger memslot, so populated parts close to each
 * other are registered as one, and there are never many.
 */
#define MERGE_GAP   (4 * MIB)
#define EXTENTS_MAX 16

static int capture(struct machine *machine, struct error *error)
{
	struct machine_frozen *frozen = &machine->frozen;
	int rc = vm_state_capture(&machine->vm, &frozen->vm, error);

	for (unsigned int i = 0; rc == 0 && i < frozen->vcpu_count; i++)
		rc = vcpu_state_capture(&machine->vcpus[i].kvm, &machine->vm, machine->host,
					&frozen->vcpus[i].state, error);
	return rc;
}

/*
 * Memory of zeros in the scratch VM where the guest has RAM. KVM refuses paravirtual MSRs that
 * point to nowhere, and those of the guest's kernel must be tried too.
 */
static int add_scratch_memory(const struct machine *machine, struct kvm_vm *vm, void **ret,
			      struct error *error)
{
	const struct guest_ram *ram = machine->ram;
	int rc = 0;

	*ret = mmap(NULL, ram->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (*ret == MAP_FAILED)
		return error_set_errno(error, errno, "memory to rehearse in");
	for (unsigned int i = 0; rc == 0 && i < ram->region_count; i++)
		rc = kvm_vm_add_memslot(vm, ram->regions[i].gpa, ram->regions[i].size,
					(char *)*ret + ram->regions[i].offset, error);
	return rc;
}

/* Restore everything into a scratch VM once, so that what cannot be restored is found now. */
static int rehearse(struct machine *machine, struct error *error)
{
	struct machine_frozen *frozen = &machine->frozen;
	void *memory = MAP_FAILED;
	struct kvm_vm vm;
	int rc = machine_open_vm(machine, &vm, error);

	if (rc == 0 && machine->with_irqchip)
		rc = add_scratch_memory(machine, &vm, &memory, error);
	for (unsigned int i = 0; rc == 0 && i < frozen->vcpu_count; i++) {
		struct kvm_vcpu scratch;

		rc = machine_open_vcpu(machine, &vm, &scratch, i, error);
		if (rc == 0)
			rc = vcpu_plan_make(&frozen->vcpus[i].plan, &frozen->vcpus[i].state,
					    &scratch, &vm, machine->host, error);
		if (rc == 0 && machine->resettable)
			rc = vcpu_plan_make_again(&frozen->vcpus[i].plan, &frozen->vcpus[i].state,
						  &scratch, &vm, machine->host, error);
		kvm_vcpu_done(&scratch);
	}
	if (rc == 0)
		rc = vm_state_restore(&vm, &frozen->vm, error);
	kvm_vm_done(&vm);
	if (memory != MAP_FAILED)
		munmap(memory, machine->ram->size);
	return rc;
}

/* What clones register, and what of RAM they need not take from the memory file. */
static int settle_memory(struct machine *machine, struct error *error)
{
	struct machine_frozen *frozen = &machine->frozen;
	struct extents populated;
	int rc = extents_find(machine->ram, MERGE_GAP, EXTENTS_MAX, &populated, &frozen->populated,
			      error);

	if (rc < 0)
		return rc;
	/*
	 * A kernel's clones read much more than they write: a third to a half of their page faults
	 * go away. Stubs touch a handful of pages.
	 */
	if (machine->is_linux)
		(void)guest_ram_collapse(machine->ram);
	rc = guest_ram_seal(machine->ram, error);
	if (rc == 0)
		rc = extents_detach_holes(machine->ram, &populated, error);
	machine->lazy_slots =
		machine->slots == MACHINE_SLOTS_POPULATED ||
		(machine->slots == MACHINE_SLOTS_AUTO && machine->host->shadows_page_tables);
	/* Without the exit, an instruction that KVM cannot emulate would become the guest's #UD. */
	if (!machine->host->has_emulation_failure_exit)
		machine->lazy_slots = false;
	if (rc == 0 && !machine->lazy_slots) {
		extents_done(&populated);
		rc = extents_all(machine->ram, &populated, error);
	}
	frozen->extents = populated;
	return rc;
}

int machine_freeze(struct machine *machine, struct error *error)
{
	int rc;

	if (machine->progress != PROGRESS_TEMPLATE || machine->is_frozen)
		return error_set(error, EINVAL, "the machine is not at its template point");
	rc = devices_quiesce(&machine->devices, &machine->vm, error);
	if (rc == 0)
		rc = capture(machine, error);
	machine_close_kvm(machine);
	devices_unbind(&machine->devices);
	if (rc == 0)
		rc = rehearse(machine, error);
	if (rc == 0)
		rc = settle_memory(machine, error);
	if (rc == 0 && machine->resettable)
		rc = table_pages_find(machine, &machine->frozen.tables, error);
	if (rc < 0) {
		error_prefix(error, "freeze");
		return rc;
	}
	machine->frozen.mailbox = machine->stub.mailbox;
	machine->progress = PROGRESS_WAITING;
	machine->is_frozen = true;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A clone that has ended is put back to its template's state, in its own process and VM.
 *
 * Theory of operation. Everything that a clone changes is written back: RAM (ram_reset.h),
 * memslots, the VM's clock and interrupt controllers, the vCPU by the whole table of vcpu_state.c,
 * the models of devices. Then KVM's own view must follow, for guest memory was changed behind its
 * back: where page tables are nested it flushes the guest's TLB, and where KVM shadows them it
 * forgets all of them and finds out anew.
 *
 * That costs a good part of what making a clone does, and much of it is for what a guest in user
 * mode cannot do. On a host whose KVM runs guests in user mode only (kvm_pvm), whatever is
 * privileged leaves the guest. KVM counts exits, and of them those for interrupts of the host and
 * for page faults; accesses to ports have come by here and were counted, too. If nothing is left,
 * the guest has executed nothing privileged: it has not moved CR3, written an MSR or a debug
 * register, or called its hypervisor. Page faults are harmless if no instruction was emulated for
 * their sake but accesses to devices, which were counted here. If, on top of that, no page that it
 * wrote is one of the template's page tables, then KVM's shadows of those are right, and no others
 * were made. Then RAM, general, segment and vector registers are all there is to be written.
 * SYSCALL must lead nowhere in the template: it could have been set up to change more without an
 * exit.
 */
#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/machine/internal.h"
#include "vmm/machine/reset.h"
#include "vmm/mem/pagemap_scan.h"
#include "vmm/mem/ram_reset.h"

static_assert(PAGEMAP_SCAN_IOCTL == MACHINE_RESET_IOCTL, "the owner's filter allows that one");

#define EFER_SCE (1u << 0) /* Intel SDM volume 3, 2.2.1 */

/* What KVM counts, in this order. */
enum {
	STAT_EXITS,
	STAT_IRQ_EXITS,
	STAT_FAULTS,
	STAT_EMULATED,
	STAT_COUNT_
};

static const char *const stat_names[STAT_COUNT_] = {"exits", "irq_exits", "pf_taken",
						    "insn_emulation"};

const char *machine_cannot_reset(const struct machine *machine)
{
	if (machine->frozen.vcpu_count > 1)
		return "it has several vCPUs, whose threads end with it";
	if (devices_need_thread(&machine->devices))
		return "its devices have a thread, which ends with it";
	if (machine->disk_count)
		return "it has disks, whose overlays cannot be made anew in a clone";
	if (!machine->frozen.vcpus[0].plan.all_msrs)
		return "it was not frozen for that";
	return NULL;
}

int machine_ram_fd(const struct machine *machine)
{
	return machine->ram->fd;
}

int machine_prepare_reset(struct machine *machine, int ram_fd, struct error *error)
{
	struct machine_reset *reset = calloc(1, sizeof(*reset));
	const struct extents *extents = &machine->frozen.extents;

	machine->ram->fd = ram_fd;
	if (!reset)
		return error_set(error, ENOMEM, "no memory to reset this clone");
	machine->reset = reset;
	reset->stats.fd = -1;
	reset->pagemap_fd = ram_reset_open();
	reset->extents.list = malloc(extents->count * sizeof(*extents->list));
	if (!reset->extents.list)
		return error_set(error, ENOMEM, "no memory to reset this clone");
	memcpy(reset->extents.list, extents->list, extents->count * sizeof(*extents->list));
	reset->extents.count = extents->count;
	reset->stub = machine->stub;
	reset->devices = machine->devices;
	return 0;
}

/* Where KVM does not count, or that would say nothing, nothing is spared. */
void reset_begin(struct machine *machine)
{
	struct machine_reset *reset = machine->reset;

	if (!reset)
		return;
	reset->slots = machine->vm.slots;
	/* Interrupt controllers change without an exit that would be counted. */
	if (!machine->host->guests_in_user_mode || machine->vm.irqchip || reset->pagemap_fd < 0 ||
	    !machine->frozen.tables.list || machine->frozen.vcpus[0].state.sregs.efer & EFER_SCE)
		return;
	if (kvm_stats_open(&machine->vcpus[0].kvm, stat_names, STAT_COUNT_, &reset->stats) == 0)
		machine->vcpus[0].kvm.run->kvm_valid_regs =
			machine->host->sync_regs & KVM_SYNC_X86_REGS;
}

void reset_free(struct machine *machine)
{
	struct machine_reset *reset = machine->reset;

	if (!reset)
		return;
	kvm_stats_close(&reset->stats);
	fd_close(&reset->pagemap_fd);
	extents_done(&reset->extents);
	free(reset);
	machine->reset = NULL;
}

/* Does a run of pages hold one of those? Both are in order. */
static bool meets(const struct page_set *pages, const struct table_pages *tables)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < pages->count; i++) {
		const struct page_run *run = &pages->runs[i];

		while (at < tables->count && tables->list[at] < run->first)
			at++;
		if (at < tables->count && tables->list[at] - run->first < run->count)
			return true;
	}
	return false;
}

/* Has the guest done nothing since the last time but what user mode can do? */
static bool was_unprivileged(struct machine *machine)
{
	struct machine_reset *reset = machine->reset;
	uint64_t ios = machine->ios - reset->ios_before;
	uint64_t mmios = machine->mmios - reset->mmios_before;
	uint64_t now[STAT_COUNT_], since[STAT_COUNT_];

	if (reset->stats.fd < 0 || kvm_stats_read(&reset->stats, now) < 0)
		return false;
	for (size_t i = 0; i < STAT_COUNT_; i++)
		since[i] = now[i] - reset->stats_before[i];
	memcpy(reset->stats_before, now, sizeof(now));
	reset->ios_before = machine->ios;
	reset->mmios_before = machine->mmios;
	/* An access to a device is a page fault to begin with. */
	return since[STAT_EXITS] == since[STAT_IRQ_EXITS] + since[STAT_FAULTS] + ios &&
	       since[STAT_EMULATED] == ios + mmios;
}

/*
 * Can KVM do nothing any more for the instruction by which the guest left, once the registers are
 * written? It was a single OUT, of which only the instruction pointer may be left to be moved on.
 * KVM moves it in the next KVM_RUN, after the registers that are handed over there, and only if it
 * stands where the exit left it (vcpu->arch.cui_linear_rip, Linux 5.1; a guest in user mode only
 * takes a later one). The template's is elsewhere: a guest that makes sure that it is not is one
 * whose instruction is finished.
 */
static bool needs_no_finish(const struct machine *machine)
{
	const struct kvm_run *run = machine->vcpus[0].kvm.run;

	return run->kvm_valid_regs & KVM_SYNC_X86_REGS && run->exit_reason == KVM_EXIT_IO &&
	       run->io.direction == KVM_EXIT_IO_OUT && run->io.count == 1 &&
	       run->s.regs.regs.rip != machine->frozen.vcpus[0].state.regs.rip;
}

/* Memslots for holes that the guest has touched. */
static int remove_slots(struct machine *machine, struct error *error)
{
	struct machine_reset *reset = machine->reset;
	struct extents *extents = &machine->frozen.extents;
	int rc = 0;

	while (rc == 0 && machine->vm.slots > reset->slots)
		rc = kvm_vm_remove_memslot(&machine->vm, error);
	memcpy(extents->list, reset->extents.list, reset->extents.count * sizeof(*extents->list));
	extents->count = reset->extents.count;
	machine->hole_touches = 0;
	return rc;
}

static int restore_ram(struct machine *machine, bool few, struct error *error)
{
	if (few)
		return ram_reset_copy(machine->ram, &machine->reset->written, error);
	return ram_reset_drop(machine->ram, error);
}

/* For the guest no time has passed, however long this clone has been a spare. */
static int restore_clocks(struct machine *machine, struct error *error)
{
	const struct machine_frozen *frozen = &machine->frozen;
	const struct frozen_vcpu *vcpu = &frozen->vcpus[0];
	uint64_t frozen_tsc = host_tsc() - frozen->vm.host_tsc;
	int rc = vcpu_plan_apply_tsc(&vcpu->plan, &vcpu->state, &machine->vcpus[0].kvm, frozen_tsc,
				     error);

	return rc < 0 ? rc : vm_state_restore_clock(&machine->vm, &frozen->vm, error);
}

static int restore_state(struct machine *machine, bool unprivileged, struct error *error)
{
	const struct machine_frozen *frozen = &machine->frozen;
	const struct frozen_vcpu *vcpu = &frozen->vcpus[0];
	int rc = 0;

	/* Quickly: no more than user mode can change; the clocks come last. */
	if (!unprivileged) {
		rc = restore_clocks(machine, error);
		if (rc == 0)
			rc = vm_state_restore(&machine->vm, &frozen->vm, error);
	}
	if (rc == 0)
		rc = vcpu_plan_apply_again(&vcpu->plan, &vcpu->state, &machine->vcpus[0].kvm,
					   &machine->vm, machine->host, unprivileged, error);
	return rc;
}

/* What is plain memory. */
static void restore_models(struct machine *machine)
{
	struct machine_reset *reset = machine->reset;

	machine->stub = reset->stub;
	machine->devices = reset->devices;
	machine->progress = PROGRESS_WAITING;
	machine->halted = 0;
	machine->end = (struct machine_end){0};
	machine->vcpus[0].halted = false;
	machine->vcpus[0].retried = false;
	atomic_store(&machine->stop, false);
}

int machine_reset(struct machine *machine, bool *ret_quick, struct error *error)
{
	struct machine_reset *reset = machine->reset;
	bool few, unprivileged = was_unprivileged(machine);
	int rc = 0;

	if (!unprivileged || !needs_no_finish(machine))
		rc = vcpu_finish_instruction(&machine->vcpus[0].kvm);
	if (rc < 0)
		return error_set_errno(error, -rc, "finish the guest's last instruction");
	/* What is on its way to the interrupt controllers arrives before they are written. */
	rc = lines_disconnect(&machine->devices.lines, &machine->vm, error);
	if (rc < 0)
		return rc;
	few = ram_reset_find(reset->pagemap_fd, machine->ram, &reset->written);
	unprivileged = unprivileged && few && machine->vm.slots == reset->slots &&
		       !meets(&reset->written, &machine->frozen.tables);
	rc = remove_slots(machine, error);
	machine->stages->at_ns[MACHINE_STAGE_MEMSLOTS] = now_ns();
	if (rc == 0)
		rc = restore_state(machine, unprivileged, error);
	machine->stages->at_ns[MACHINE_STAGE_VCPUS] = now_ns();
	/* After the MSRs: when they are written, KVM writes the time into the guest's memory. */
	if (rc == 0)
		rc = restore_ram(machine, few, error);
	if (rc == 0 && !unprivileged && machine->host->shadows_page_tables)
		rc = kvm_vm_forget_mappings(&machine->vm, machine->ram->host, error);
	restore_models(machine);
	if (rc == 0)
		rc = devices_bind(&machine->devices, &machine->vm, error);
	machine->stages->at_ns[MACHINE_STAGE_STATE] = now_ns();
	*ret_quick = unprivileged;
	return rc;
}

int machine_verify_reset(struct machine *machine, struct error *error)
{
	const struct frozen_vcpu *vcpu = &machine->frozen.vcpus[0];
	int rc = ram_reset_verify(machine->reset->pagemap_fd, machine->ram, error);

	if (rc == 0)
		rc = vcpu_state_verify(&vcpu->plan, &vcpu->state, &machine->vcpus[0].kvm,
				       &machine->vm, machine->host, error);
	if (rc == 0)
		rc = vm_state_verify(&machine->vm, &machine->frozen.vm, error);
	return rc;
}

int machine_begin_again(struct machine *machine, const struct forkvm_identity *identity,
			const void *request, size_t request_len, struct error *error)
{
	int rc = restore_clocks(machine, error);

	if (rc == 0)
		rc = stub_port_deliver(&machine->stub, identity, request, request_len, error);
	if (rc == 0)
		rc = devices_revive(&machine->devices, identity, error);
	return rc;
}

void *machine_request_area(const struct machine *machine, size_t *ret_size)
{
	*ret_size = machine->stub.request_capacity;
	return guest_ram_at(machine->ram, machine->stub.request, *ret_size);
}

/* SPDX-License-Identifier: MIT */
/*
 * floor's template: booted and frozen by vmm/, then taken apart into plain structures. Nothing here
 * is measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/floor/floor.h"
#include "vmm/base/error.h"
#include "vmm/kvm/host.h"
#include "vmm/machine/frozen.h"
#include "vmm/machine/machine.h"

#define BOOT_TIMEOUT_NS	  280000000000u
#define MAILBOX_ALIGNMENT 64u
#define XSAVE_MAX	  16384

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "floor: %s: %s\n", what, why);
	exit(1);
}

static void *allocate(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		fail("template", "no memory");
	memset(memory, 0, size);
	return memory;
}

static int show_console(void *context, const char *text, size_t length)
{
	(void)context;
	return fwrite(text, 1, length, stderr) == length ? 0 : -EIO;
}

static struct machine *boot(const struct floor_options *options, const struct kvm_host *host)
{
	const struct machine_config config = {
		.ram_size = options->mem_mib << 20,
		.vcpus = 1,
		.slots = MACHINE_SLOTS_AUTO,
	};
	const struct machine_sink sink = {.console = show_console};
	struct machine_info info;
	struct machine *machine;
	struct error error;
	char args[64];

	snprintf(args, sizeof(args), "populate=%llu", (unsigned long long)options->populate_mib);
	if (machine_new(host, &config, &machine, &error) < 0 ||
	    machine_load(machine, options->stub, args, &error) < 0 ||
	    machine_boot(machine, &sink, BOOT_TIMEOUT_NS, NULL, NULL, &error) < 0 ||
	    machine_freeze(machine, &error) < 0)
		fail(options->stub, error.text);
	machine_get_info(machine, &info);
	if (info.irqchip)
		fail(options->stub, "asks for an interrupt controller, which floor does not make");
	return machine;
}

static void find_slots(const struct machine_frozen *frozen, struct floor_template *ret)
{
	const struct guest_ram *ram = &frozen->ram;

	if (frozen->extents.count > FLOOR_SLOTS)
		fail("template", "too many memslots");
	for (unsigned int i = 0; i < ram->region_count; i++)
		ret->all[ret->all_count++] =
			(struct floor_slot){.gpa = ram->regions[i].gpa,
					    .size = ram->regions[i].size,
					    .host = ram->host + ram->regions[i].offset};
	for (size_t i = 0; i < frozen->extents.count; i++) {
		const struct extent *extent = &frozen->extents.list[i];

		ret->populated[ret->populated_count++] =
			(struct floor_slot){.gpa = extent->gpa,
					    .size = extent->size,
					    .host = guest_ram_at(ram, extent->gpa, extent->size)};
	}
}

static void find_mailbox(const struct machine_frozen *frozen, struct floor_template *ret)
{
	ret->mailbox = guest_ram_at(&frozen->ram, frozen->mailbox, sizeof(*ret->mailbox));
	ret->response = guest_ram_at(&frozen->ram, ret->mailbox->response_gpa, 1);
	if (!ret->response)
		fail("template", "its mailbox names no response area");
}

/* A vCPU as KVM makes it, to find out what it has already and what it lets be written. */
struct scratch {
	int vm, vcpu;
};

static void scratch_open(const struct kvm_host *host, struct scratch *ret)
{
	ret->vm = ioctl(host->fd, KVM_CREATE_VM, 0);
	ret->vcpu = ret->vm < 0 ? -1 : ioctl(ret->vm, KVM_CREATE_VCPU, 0);
	if (ret->vcpu < 0)
		fail("scratch VM", strerror(errno));
}

static void scratch_close(struct scratch *scratch)
{
	close(scratch->vcpu);
	close(scratch->vm);
}

/* What of the template's state a fresh vCPU does not have. */
static void compare_fresh(const struct kvm_host *host, const struct vcpu_state *state,
			  struct floor_template *ret)
{
	struct kvm_debugregs debugregs = {0};
	struct kvm_mp_state mp_state = {0};
	struct kvm_xcrs xcrs = {0};
	struct scratch fresh;
	void *xsave;

	if (host->xsave_size > XSAVE_MAX)
		fail("template", "an XSAVE area larger than known");
	xsave = allocate(XSAVE_MAX);
	scratch_open(host, &fresh);
	if (ret->needs_cpuid && ioctl(fresh.vcpu, KVM_SET_CPUID2, ret->cpuid) < 0)
		fail("scratch VM: CPUID", strerror(errno));
	if ((host->has_xcrs && ioctl(fresh.vcpu, KVM_GET_XCRS, &xcrs) < 0) ||
	    ioctl(fresh.vcpu, KVM_GET_DEBUGREGS, &debugregs) < 0 ||
	    ioctl(fresh.vcpu, KVM_GET_MP_STATE, &mp_state) < 0 ||
	    ioctl(fresh.vcpu, host->has_xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, xsave) < 0)
		fail("scratch VM: state", strerror(errno));
	ret->lean_xcrs = host->has_xcrs && memcmp(&xcrs, &state->xcrs, sizeof(xcrs)) != 0;
	ret->lean_debugregs = memcmp(&debugregs, &state->debugregs, sizeof(debugregs)) != 0;
	ret->lean_mp_state = memcmp(&mp_state, &state->mp_state, sizeof(mp_state)) != 0;
	ret->lean_xsave = memcmp(xsave, state->xsave, host->xsave_size) != 0;
	scratch_close(&fresh);
	free(xsave);
}

/* Of the captured MSRs, those that a vCPU with the full CPUID table takes back. */
static struct kvm_msrs *writable_msrs(const struct kvm_host *host, const struct kvm_msrs *captured)
{
	struct kvm_msrs *one = allocate(sizeof(*one) + sizeof(one->entries[0]));
	struct kvm_msrs *result =
		allocate(sizeof(*result) + captured->nmsrs * sizeof(result->entries[0]));
	struct scratch scratch;

	scratch_open(host, &scratch);
	if (ioctl(scratch.vcpu, KVM_SET_CPUID2, host->cpuid) < 0)
		fail("scratch VM: CPUID", strerror(errno));
	for (uint32_t i = 0; i < captured->nmsrs; i++) {
		one->nmsrs = 1;
		one->entries[0] = captured->entries[i];
		if (ioctl(scratch.vcpu, KVM_SET_MSRS, one) == 1)
			result->entries[result->nmsrs++] = captured->entries[i];
	}
	scratch_close(&scratch);
	free(one);
	return result;
}

static void take_vcpu(const struct kvm_host *host, const struct frozen_vcpu *frozen,
		      struct floor_template *ret)
{
	const struct vcpu_state *state = &frozen->state;
	const uint64_t wanted = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;

	/* kvm_sregs and kvm_sregs2 agree up to the interrupt bitmap, which is empty here. */
	memcpy(&ret->sregs, &state->sregs, offsetof(struct kvm_sregs, interrupt_bitmap));
	ret->regs = state->regs;
	ret->events = state->events;
	ret->xcrs = state->xcrs;
	ret->has_xcrs = host->has_xcrs;
	ret->debugregs = state->debugregs;
	ret->mp_state = state->mp_state;
	ret->xsave = state->xsave;
	ret->sync_regs = (host->sync_regs & wanted) == wanted;
	ret->set_tsc_offset = frozen->plan.tsc_offset;
	ret->tsc_offset = state->tsc_offset;
	ret->msrs = writable_msrs(host, state->msrs);
	ret->msrs_lean = frozen->plan.msrs;
	compare_fresh(host, state, ret);
}

void floor_template_make(const struct floor_options *options, struct floor_template *ret)
{
	const struct machine_frozen *frozen;
	struct machine_info info;
	struct kvm_host *host;
	struct error error;

	*ret = (struct floor_template){0};
	if (kvm_host_open(NULL, &host, &error) < 0)
		fail("KVM", error.text);
	ret->host = host;
	ret->machine = boot(options, host);
	machine_get_info(ret->machine, &info);
	frozen = machine_get_frozen(ret->machine);
	ret->kvm = host->fd;
	ret->run_size = host->vcpu_mmap_size;
	ret->cpuid = host->cpuid;
	ret->needs_cpuid = info.cpuid;
	ret->needs_tss_addr = host->needs_tss_addr;
	ret->has_failure_exit = host->has_emulation_failure_exit;
	ret->clock = frozen->vm.clock;
	find_slots(frozen, ret);
	find_mailbox(frozen, ret);
	take_vcpu(host, &frozen->vcpus[0], ret);
}

void floor_template_done(struct floor_template *template)
{
	free(template->msrs);
	machine_free(template->machine);
	kvm_host_close(template->host);
}

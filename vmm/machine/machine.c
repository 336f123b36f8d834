/* SPDX-License-Identifier: MIT */
/*
 * A machine as an object: made, loaded, described, freed. Its life is in machine_boot.c,
 * machine_freeze.c and machine_clone.c.
 */
#include "vmm/machine/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/boot/longmode.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/machine/internal.h"

static int check_ram(uint64_t size, struct error *error)
{
	struct sysinfo info;
	uint64_t most;

	if (size == 0)
		return error_set(error, EINVAL, "RAM of 0 bytes: at least %llu MiB are needed",
				 MACHINE_RAM_MIN / MIB);
	if (size % PAGE_BYTES)
		return error_set(error, EINVAL, "RAM of %llu bytes: it must be a multiple of 4 KiB",
				 (unsigned long long)size);
	if (size < MACHINE_RAM_MIN)
		return error_set(error, EINVAL, "RAM of %llu KiB: at least %llu MiB are needed",
				 (unsigned long long)(size / KIB), MACHINE_RAM_MIN / MIB);
	if (sysinfo(&info) < 0)
		return error_set_errno(error, errno, "sysinfo");
	most = (uint64_t)(info.totalram + info.totalswap) * info.mem_unit;
	if (size > most)
		return error_set(error, EFBIG,
				 "RAM of %llu MiB is more than this host could ever hold "
				 "(%llu MiB of memory and swap)",
				 (unsigned long long)(size / MIB),
				 (unsigned long long)(most / MIB));
	if (size > MACHINE_RAM_MAX)
		return error_set(error, EFBIG, "RAM of %llu MiB: at most %llu MiB are supported",
				 (unsigned long long)(size / MIB), MACHINE_RAM_MAX / MIB);
	return 0;
}

static int check_vcpus(unsigned int vcpus, const struct kvm_host *host, struct error *error)
{
	unsigned int most = (unsigned int)min_u64(MACHINE_VCPUS_MAX, host->vcpus_max);

	if (vcpus == 0 || vcpus > most)
		return error_set(error, EINVAL, "%u vCPUs: 1 to %u are possible on this host",
				 vcpus, most);
	return 0;
}

static int init_sync(struct machine *machine)
{
	pthread_condattr_t attr;
	int rc = pthread_mutex_init(&machine->lock, NULL);

	if (rc)
		return -rc;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	rc = pthread_cond_init(&machine->changed, &attr);
	pthread_condattr_destroy(&attr);
	return -rc;
}

static int check_config(const struct kvm_host *host, const struct machine_config *config,
			struct error *error)
{
	int rc = check_ram(config->ram_size, error);

	if (rc == 0)
		rc = check_vcpus(config->vcpus, host, error);
	if (rc == 0 && config->disk_count > MACHINE_DISKS_MAX)
		rc = error_set(error, EINVAL, "%u disks: at most %u are possible",
			       config->disk_count, MACHINE_DISKS_MAX);
	return rc;
}

/* All of a machine that cannot fail but for memory. */
static struct machine *allocate(const struct kvm_host *host, const struct machine_config *config)
{
	struct machine *machine;
	size_t size = offsetof(struct machine, vcpus) + config->vcpus * sizeof(machine->vcpus[0]);

	size = max_u64(sizeof(*machine), round_up(size, PAGE_BYTES));
	machine = aligned_alloc(PAGE_BYTES, size);
	if (!machine)
		return NULL;
	memset(machine, 0, size);
	machine->host = host;
	machine->ram_size = config->ram_size;
	machine->slots = config->slots;
	machine->with_cpuid = config->force_cpuid;
	machine->with_irqchip = config->force_irqchip;
	machine->with_rng = config->rng;
	machine->resettable = config->resettable;
	machine->template_on = config->template_on;
	machine->vm.fd = -1;
	machine->ram = &machine->frozen.ram;
	machine->ram->fd = -1;
	devices_init(&machine->devices, machine);
	machine->frozen.vcpu_count = config->vcpus;
	machine->frozen.vcpus = calloc(config->vcpus, sizeof(*machine->frozen.vcpus));
	for (unsigned int i = 0; i < config->vcpus; i++) {
		machine->vcpus[i].machine = machine;
		machine->vcpus[i].kvm.fd = -1;
	}
	return machine;
}

int machine_new(const struct kvm_host *host, const struct machine_config *config,
		struct machine **ret, struct error *error)
{
	int rc = check_config(host, config, error);
	struct machine *machine = rc == 0 ? allocate(host, config) : NULL;

	if (!machine) {
		disks_refuse(config);
		return rc < 0 ? rc : error_set(error, ENOMEM, "no memory for a machine");
	}
	rc = init_sync(machine);
	if (rc < 0 || !machine->frozen.vcpus)
		rc = error_set(error, ENOMEM, "no memory for %u vCPUs", config->vcpus);
	else
		rc = guest_ram_init_near(machine->ram, config->ram_size, config->mem_path,
					 config->ram_near, error);
	if (rc == 0)
		rc = disks_open(machine, config, error);
	else
		disks_refuse(config);
	if (rc < 0) {
		machine_free(machine);
		return rc;
	}
	stub_port_init(&machine->stub, machine->ram);
	portbus_add(&machine->ports, FORKVM_PORT_BASE, FORKVM_PORT_END - FORKVM_PORT_BASE,
		    stub_port_access, &machine->stub);
	*ret = machine;
	return 0;
}

void machine_close_kvm(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->frozen.vcpu_count; i++)
		kvm_vcpu_done(&machine->vcpus[i].kvm);
	kvm_vm_done(&machine->vm);
}

void machine_free(struct machine *machine)
{
	if (!machine)
		return;
	threads_join(machine);
	machine_close_kvm(machine);
	devices_unbind(&machine->devices);
	disks_free(machine);
	for (unsigned int i = 0; machine->frozen.vcpus && i < machine->frozen.vcpu_count; i++) {
		vcpu_state_done(&machine->frozen.vcpus[i].state);
		vcpu_plan_done(&machine->frozen.vcpus[i].plan);
	}
	extents_done(&machine->frozen.extents);
	extents_done(&machine->learning);
	free(machine->frozen.working_set);
	free(machine->frozen.tables.list);
	reset_free(machine);
	sleep_free(machine);
	guest_ram_done(machine->ram);
	pthread_cond_destroy(&machine->changed);
	pthread_mutex_destroy(&machine->lock);
	free(machine->frozen.vcpus);
	free(machine);
}

int machine_load(struct machine *machine, const char *path, const char *args, struct error *error)
{
	int rc = image_load(path, machine->ram, &machine->image, error);

	if (rc == 0)
		rc = longmode_write_tables(machine->ram, &machine->image,
					   machine->frozen.vcpu_count, args, error);
	if (rc < 0)
		return rc;
	machine->with_cpuid |= machine->image.needs & FORKVM_NEED_CPUID;
	machine->with_irqchip |= machine->image.needs & FORKVM_NEED_IRQCHIP;
	if (machine->with_rng)
		devices_add_rng(&machine->devices);
	disks_add(machine);
	machine->loaded = true;
	return 0;
}

int machine_load_linux(struct machine *machine, const struct machine_linux *guest,
		       struct error *error)
{
	const struct linux_boot boot = {
		.kernel = guest->kernel,
		.initrd = guest->initrd,
		.cmdline = guest->cmdline,
	};
	struct linux_platform platform = {
		.vcpus = machine->frozen.vcpu_count,
		.serial = true,
		.vmgenid = true,
	};
	int rc;

	/* Without it a clone's time would begin anew, behind what its kernel has seen. */
	if (!machine->host->has_tsc_offset)
		return error_set(
			error, ENOSYS,
			"this kernel's KVM cannot set a guest's TSC offset, which clones of "
			"Linux need: Linux 5.16 or later has it");
	if (machine->with_rng)
		devices_add_rng(&machine->devices);
	disks_add(machine);
	platform.virtio_slots = devices_slots(&machine->devices);
	rc = linux_load(&boot, &platform, machine->ram, &machine->entry, error);
	if (rc < 0)
		return rc;
	/* After the boot structures, among which the generation id lies. */
	rc = devices_add_pc(&machine->devices, &machine->ports, machine->template_on, error);
	if (rc < 0)
		return rc;
	machine->with_cpuid = true;
	machine->with_irqchip = true;
	machine->is_linux = true;
	machine->loaded = true;
	return 0;
}

int machine_open_vm(struct machine *machine, struct kvm_vm *vm, struct error *error)
{
	int rc = kvm_vm_init(vm, machine->host, error);

	if (rc == 0 && machine->with_irqchip) {
		rc = kvm_vm_add_irqchip(vm, !machine->is_linux, error);
		if (rc < 0)
			kvm_vm_done(vm);
	}
	return rc;
}

int machine_open_vcpu(struct machine *machine, const struct kvm_vm *vm, struct kvm_vcpu *vcpu,
		      unsigned int index, struct error *error)
{
	int rc = kvm_vcpu_init(vcpu, vm, machine->host, index, error);

	if (rc == 0 && machine->with_cpuid) {
		rc = cpuid_apply(vcpu, machine->host, machine->frozen.vcpu_count, vm->irqchip,
				 error);
		if (rc < 0)
			kvm_vcpu_done(vcpu);
	}
	return rc;
}

void machine_get_info(const struct machine *machine, struct machine_info *ret)
{
	const struct machine_frozen *frozen = &machine->frozen;

	*ret = (struct machine_info){
		.ram_size = machine->ram_size,
		.populated = frozen->populated,
		.vcpus = frozen->vcpu_count,
		.slots = (unsigned int)frozen->extents.count,
		.lazy_slots = machine->lazy_slots,
		.irqchip = machine->with_irqchip,
		.cpuid = machine->with_cpuid,
	};
	for (size_t i = 0; i < frozen->extents.count; i++)
		ret->slot_bytes += frozen->extents.list[i].size;
	if (frozen->vcpus[0].state.msrs)
		ret->msrs = frozen->vcpus[0].state.msrs->nmsrs;
	if (frozen->vcpus[0].plan.msrs)
		ret->msrs_written = frozen->vcpus[0].plan.msrs->nmsrs;
}

const struct machine_frozen *machine_get_frozen(const struct machine *machine)
{
	return machine->is_frozen ? &machine->frozen : NULL;
}

size_t machine_request_capacity(const struct machine *machine)
{
	return machine->stub.request_capacity;
}

bool machine_has_irq_lines(const struct machine *machine)
{
	return machine->with_irqchip && devices_interrupt(&machine->devices);
}

unsigned int machine_extra_threads(const struct machine *machine)
{
	return machine->frozen.vcpu_count - 1 + devices_need_thread(&machine->devices);
}

const char *machine_end_name(enum machine_end_reason reason)
{
	static const char *const names[] = {
		[MACHINE_END_DONE] = "done",
		[MACHINE_END_SHUTDOWN] = "shutdown",
		[MACHINE_END_GUEST_ERROR] = "guest-error",
		[MACHINE_END_OUT_OF_MEMORY] = "out-of-memory",
		[MACHINE_END_HOST_ERROR] = "host-error",
	};

	static_assert(ARRAY_SIZE(names) == MACHINE_END_COUNT_, "a name for each reason");
	return (unsigned int)reason < ARRAY_SIZE(names) ? names[reason] : "unknown";
}

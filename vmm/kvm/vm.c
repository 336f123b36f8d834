/* SPDX-License-Identifier: MIT */
/*
 * KVM VMs and vCPUs as descriptors: see vm.h. Kernel document: virt/kvm/api.rst.
 */
#include "vmm/kvm/vm.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/layout.h"
#include "vmm/base/util.h"

/* A signal can interrupt these while the kernel waits for a lock or a worker; nothing was made. */
#define CREATE_TRIES 100

static int create(int fd, unsigned long request, unsigned long argument)
{
	int made = -1;

	for (int i = 0; i < CREATE_TRIES && made < 0; i++) {
		made = ioctl(fd, request, argument);
		if (made < 0 && errno != EINTR && errno != EAGAIN)
			break;
	}
	return made;
}

int kvm_vm_init(struct kvm_vm *vm, const struct kvm_host *host, struct error *error)
{
	struct kvm_enable_cap exit_on_failure = {
		.cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE,
		.args = {1},
	};

	_cleanup_close_ int fd = create(host->fd, KVM_CREATE_VM, 0);

	*vm = (struct kvm_vm){.fd = -1};
	if (fd < 0)
		return error_set_errno(error, errno, "KVM_CREATE_VM");
	if (host->has_emulation_failure_exit && ioctl(fd, KVM_ENABLE_CAP, &exit_on_failure) < 0)
		return error_set_errno(error, errno, "KVM_CAP_EXIT_ON_EMULATION_FAILURE");
	if (host->needs_tss_addr && ioctl(fd, KVM_SET_TSS_ADDR, GPA_KVM_TSS) < 0)
		return error_set_errno(error, errno, "KVM_SET_TSS_ADDR");
	vm->fd = fd_steal(&fd);
	return 0;
}

int kvm_vm_add_irqchip(struct kvm_vm *vm, bool with_pit, struct error *error)
{
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};

	if (create(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_set_errno(error, errno, "KVM_CREATE_IRQCHIP");
	vm->irqchip = true;
	if (!with_pit)
		return 0;
	if (create(vm->fd, KVM_CREATE_PIT2, (unsigned long)&pit) < 0)
		return error_set_errno(error, errno, "KVM_CREATE_PIT2");
	vm->pit = true;
	return 0;
}

int kvm_vm_add_memslot(struct kvm_vm *vm, uint64_t gpa, uint64_t size, void *host_memory,
		       struct error *error)
{
	struct kvm_userspace_memory_region region = {
		.slot = vm->slots,
		.flags = vm->log_writes ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host_memory,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return error_set_errno(error, errno, "memslot %u, %llu KiB at %#llx", vm->slots,
				       (unsigned long long)(size / KIB), (unsigned long long)gpa);
	vm->slots++;
	return 0;
}

int kvm_vm_remove_memslot(struct kvm_vm *vm, struct error *error)
{
	struct kvm_userspace_memory_region region = {.slot = vm->slots - 1};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return error_set_errno(error, errno, "remove memslot %u", region.slot);
	vm->slots--;
	return 0;
}

int kvm_vm_forget_mappings(struct kvm_vm *vm, void *any_page, struct error *error)
{
	/* Without a quirk's being switched off, KVM drops all of them when any memslot goes. */
	int rc = kvm_vm_add_memslot(vm, GPA_NOTHING, PAGE_BYTES, any_page, error);

	return rc < 0 ? rc : kvm_vm_remove_memslot(vm, error);
}

int kvm_vm_get_written(const struct kvm_vm *vm, uint32_t slot, uint64_t *bitmap,
		       struct error *error)
{
	struct kvm_dirty_log log = {.slot = slot, .dirty_bitmap = bitmap};

	if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0)
		return error_set_errno(error, errno, "KVM_GET_DIRTY_LOG of memslot %u", slot);
	return 0;
}

void kvm_vm_done(struct kvm_vm *vm)
{
	fd_close(&vm->fd);
	*vm = (struct kvm_vm){.fd = -1};
}

int kvm_vcpu_init(struct kvm_vcpu *vcpu, const struct kvm_vm *vm, const struct kvm_host *host,
		  unsigned int index, struct error *error)
{
	_cleanup_close_ int fd = create(vm->fd, KVM_CREATE_VCPU, index);
	void *run;

	*vcpu = (struct kvm_vcpu){.fd = -1, .index = index};
	if (fd < 0)
		return error_set_errno(error, errno, "KVM_CREATE_VCPU %u", index);
	run = mmap(NULL, host->vcpu_mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		return error_set_errno(error, errno, "map vCPU %u", index);
	vcpu->fd = fd_steal(&fd);
	vcpu->run = run;
	vcpu->run_size = host->vcpu_mmap_size;
	return 0;
}

void kvm_vcpu_done(struct kvm_vcpu *vcpu)
{
	if (vcpu->run)
		munmap(vcpu->run, vcpu->run_size);
	fd_close(&vcpu->fd);
	*vcpu = (struct kvm_vcpu){.fd = -1};
}

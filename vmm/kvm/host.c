/* SPDX-License-Identifier: MIT */
/*
 * /dev/kvm and what it offers: see host.h. Kernel document: virt/kvm/api.rst, sections 4.1 to 4.4.
 */
#include "vmm/kvm/host.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#define CPUID_ENTRIES_MAX    512u
#define LEAF1_ECX_HYPERVISOR (1u << 31)
#define MSRS_MAX	     1024u

/* What forkvm cannot do without, by the name the kernel's document gives it. */
static const struct {
	int capability;
	const char *name;
} required[] = {
	{KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
	{KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
	{KVM_CAP_XSAVE, "KVM_CAP_XSAVE"},
	{KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
	{KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
	{KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
	{KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
	{KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
};

static int open_device(const char *device, struct error *error)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
		return error_set(
			error, ENOENT,
			"%s does not exist: this kernel has no KVM loaded. Load it with "
			"'modprobe kvm_intel' or 'modprobe kvm_amd'; in a virtual machine, "
			"switch nested virtualization on",
			device);
	case EACCES:
	case EPERM:
		return error_set(error, EACCES,
				 "%s: no permission. Run as root, or join the group that owns it: "
				 "'usermod -aG kvm USER' and log in again",
				 device);
	case ENXIO:
	case ENODEV:
		return error_set(error, ENODEV,
				 "%s is there but KVM is not: the CPU or the firmware has "
				 "virtualization switched off",
				 device);
	default:
		return error_set_errno(error, errno, "open %s", device);
	}
}

/* "Y" or "1" in a module's parameter; fallback when it cannot be read. */
static bool module_parameter(const char *path, bool fallback)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char value;

	if (fd < 0 || read(fd, &value, 1) != 1)
		return fallback;
	return value == 'Y' || value == '1';
}

/* CPUID 0x40000000, where hypervisors give their name. */
static bool runs_on_tcg(void)
{
	uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
	char name[12];

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & LEAF1_ECX_HYPERVISOR))
		return false;
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	memcpy(name, &ebx, 4);
	memcpy(name + 4, &ecx, 4);
	memcpy(name + 8, &edx, 4);
	return memcmp(name, "TCGTCGTCGTCG", sizeof(name)) == 0;
}

/* Which vendor module serves, and what it does with page tables. */
static void examine_module(struct kvm_host *host)
{
	if (access("/sys/module/kvm_intel", F_OK) == 0) {
		strcpy(host->module, "kvm_intel");
		host->shadows_page_tables =
			!module_parameter("/sys/module/kvm_intel/parameters/ept", true);
		host->needs_tss_addr = !module_parameter(
			"/sys/module/kvm_intel/parameters/unrestricted_guest", false);
	} else if (access("/sys/module/kvm_amd", F_OK) == 0) {
		strcpy(host->module, "kvm_amd");
		host->shadows_page_tables =
			!module_parameter("/sys/module/kvm_amd/parameters/npt", true);
	} else {
		/* Unknown, and so without a promise of hardware paging. */
		if (access("/sys/module/kvm_pvm", F_OK) == 0)
			strcpy(host->module, "kvm_pvm");
		host->guests_in_user_mode = host->module[0];
		host->shadows_page_tables = true;
	}
}

static int read_cpuid(struct kvm_host *host, struct error *error)
{
	host->cpuid = calloc(1, sizeof(*host->cpuid) +
					CPUID_ENTRIES_MAX * sizeof(host->cpuid->entries[0]));
	if (!host->cpuid)
		return error_set(error, ENOMEM, "no memory for the CPUID table");
	host->cpuid->nent = CPUID_ENTRIES_MAX;
	if (ioctl(host->fd, KVM_GET_SUPPORTED_CPUID, host->cpuid) < 0)
		return error_set_errno(error, errno, "KVM_GET_SUPPORTED_CPUID");
	return 0;
}

/* Memory type range registers: guests set them, KVM keeps them, and does not list them. */
static const struct {
	uint32_t first, count;
} mtrrs[] = {
	{0x2ff, 1},  /* default type             */
	{0x250, 1},  /* fixed, 64 KiB            */
	{0x258, 2},  /* fixed, 16 KiB            */
	{0x268, 8},  /* fixed, 4 KiB             */
	{0x200, 16}, /* variable: base and mask */
};

#define MTRR_COUNT (1 + 1 + 2 + 8 + 16)

static void add_mtrrs(struct kvm_msr_list *msrs)
{
	for (size_t i = 0; i < ARRAY_SIZE(mtrrs); i++)
		for (uint32_t j = 0; j < mtrrs[i].count; j++)
			msrs->indices[msrs->nmsrs++] = mtrrs[i].first + j;
}

static int read_msr_list(struct kvm_host *host, struct error *error)
{
	host->msrs = calloc(1, sizeof(*host->msrs) + MSRS_MAX * sizeof(host->msrs->indices[0]));
	if (!host->msrs)
		return error_set(error, ENOMEM, "no memory for the MSR list");
	/* Room for those below stays free. */
	host->msrs->nmsrs = MSRS_MAX - MTRR_COUNT;
	if (ioctl(host->fd, KVM_GET_MSR_INDEX_LIST, host->msrs) < 0)
		return error_set_errno(error, errno, "KVM_GET_MSR_INDEX_LIST");
	add_mtrrs(host->msrs);
	return 0;
}

static int check(const struct kvm_host *host, int capability)
{
	int value = ioctl(host->fd, KVM_CHECK_EXTENSION, capability);

	return value < 0 ? 0 : value;
}

static int examine(struct kvm_host *host, const char *device, struct error *error)
{
	int version = ioctl(host->fd, KVM_GET_API_VERSION, 0);
	int size;

	if (version < 0)
		return error_set(error, ENOTTY, "%s is not a KVM device", device);
	if (version != KVM_API_VERSION)
		return error_set(error, ENOSYS, "%s speaks KVM API %d, this program speaks %d",
				 device, version, KVM_API_VERSION);
	for (size_t i = 0; i < ARRAY_SIZE(required); i++)
		if (!check(host, required[i].capability))
			return error_set(error, ENOSYS,
					 "this kernel's KVM lacks %s: a newer kernel is needed",
					 required[i].name);
	size = ioctl(host->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return error_set(error, ENOSYS, "KVM_GET_VCPU_MMAP_SIZE gave %d", size);
	host->vcpu_mmap_size = (size_t)size;
	size = check(host, KVM_CAP_XSAVE2);
	host->has_xsave2 = size > (int)sizeof(struct kvm_xsave);
	host->xsave_size = host->has_xsave2 ? (size_t)size : sizeof(struct kvm_xsave);
	host->vcpus_max = (unsigned int)check(host, KVM_CAP_MAX_VCPUS);
	if (!host->vcpus_max)
		host->vcpus_max = (unsigned int)check(host, KVM_CAP_NR_VCPUS);
	host->memslots_max = (unsigned int)check(host, KVM_CAP_NR_MEMSLOTS);
	if (!host->memslots_max)
		host->memslots_max = 32; /* api.rst's figure for kernels that do not say */
	host->has_xcrs = check(host, KVM_CAP_XCRS);
	host->has_nested_state = check(host, KVM_CAP_NESTED_STATE);
	host->sync_regs = (uint64_t)check(host, KVM_CAP_SYNC_REGS);
	host->has_sregs2 = check(host, KVM_CAP_SREGS2);
	host->has_emulation_failure_exit = check(host, KVM_CAP_EXIT_ON_EMULATION_FAILURE);
	host->has_tsc_offset = check(host, KVM_CAP_VCPU_ATTRIBUTES);
	host->has_kvmclock_ctrl = check(host, KVM_CAP_KVMCLOCK_CTRL);
	host->has_tsc_deadline = check(host, KVM_CAP_TSC_DEADLINE_TIMER);
	return 0;
}

int kvm_host_open(const char *device, struct kvm_host **ret, struct error *error)
{
	struct kvm_host *host = calloc(1, sizeof(*host));
	int rc;

	if (!host)
		return error_set(error, ENOMEM, "no memory");
	if (!device)
		device = "/dev/kvm";
	host->fd = open_device(device, error);
	rc = host->fd < 0 ? host->fd : examine(host, device, error);
	if (rc == 0)
		rc = read_cpuid(host, error);
	if (rc == 0)
		rc = read_msr_list(host, error);
	if (rc < 0) {
		kvm_host_close(host);
		return rc;
	}
	examine_module(host);
	host->is_tcg = runs_on_tcg();
	*ret = host;
	return 0;
}

void kvm_host_close(struct kvm_host *host)
{
	if (!host)
		return;
	fd_close(&host->fd);
	free(host->cpuid);
	free(host->msrs);
	free(host);
}

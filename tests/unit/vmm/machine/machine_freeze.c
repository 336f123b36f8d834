/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_freeze.c: from a VM to plain memory. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"
#include "vmm/machine/frozen.h"

static const struct machine_config one = {.ram_size = 64 * MIB, .vcpus = 1};

/* How many descriptors of this process lead to what has word in its name. */
static unsigned int count_descriptors(const char *word)
{
	char name[300], target[300];
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned int count = 0;

	cr_assert_not_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		ssize_t len;

		snprintf(name, sizeof(name), "/proc/self/fd/%s", entry->d_name);
		len = readlink(name, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		count += strstr(target, word) != NULL;
	}
	closedir(folder);
	return count;
}

Test(freeze, leaves_no_vm_no_vcpu_and_no_thread)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load(host, &one, STUB("hello"), NULL);
	size_t threads = helper_count_threads();
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(count_descriptors("kvm-vm"), 1);
	cr_assert_eq(count_descriptors("kvm-vcpu"), 1);
	cr_assert_eq(machine_freeze(machine, &error), 0, "%s", error.text);
	cr_assert_eq(count_descriptors("kvm-vm"), 0);
	cr_assert_eq(count_descriptors("kvm-vcpu"), 0);
	cr_assert_eq(count_descriptors("/dev/kvm"), 1);
	cr_assert_eq(helper_count_threads(), threads);
	machine_free(machine);
	kvm_host_close(host);
}

Test(freeze, seals_the_ram)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	const struct machine_frozen *frozen = machine_get_frozen(machine);

	cr_assert_not_null(frozen);
	cr_assert(frozen->ram.sealed);
	cr_assert(fcntl(frozen->ram.fd, F_GET_SEALS) & F_SEAL_WRITE);
	cr_assert_lt(pwrite(frozen->ram.fd, "x", 1, 0), 0);
	cr_assert_lt(ftruncate(frozen->ram.fd, 0), 0);
	machine_free(machine);
	kvm_host_close(host);
}

/* The template itself must not have written to its private memory: fork would copy page tables. */
Test(freeze, writes_nothing_to_the_private_mapping)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), "populate=8");
	FILE *maps = fopen("/proc/self/smaps", "re");
	unsigned long written = 0, mappings = 0;
	bool is_ram = false;
	char line[512];

	cr_assert_not_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to, value;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			is_ram = strstr(line, "memfd:forkvm-ram") != NULL;
			mappings += is_ram;
		} else if (is_ram && sscanf(line, "Anonymous: %lu", &value) == 1) {
			written += value;
		}
	}
	fclose(maps);
	cr_assert_geq(mappings, 1);
	cr_assert_eq(written, 0, "%lu KiB", written);
	machine_free(machine);
	kvm_host_close(host);
}

Test(freeze, knows_what_is_populated)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	struct machine_info before, after;

	machine_get_info(machine, &before);
	machine_free(machine);
	machine = life_template(host, &one, STUB("hello"), "populate=16");
	machine_get_info(machine, &after);
	cr_assert_geq(after.populated, before.populated + 16 * MIB);
	cr_assert_leq(after.populated, before.populated + 17 * MIB);
	cr_assert_geq(after.slot_bytes, after.populated);
	cr_assert_leq(after.slot_bytes, 64 * MIB);
	cr_assert_geq(after.slots, 1);
	cr_assert_gt(after.msrs, 0);
	cr_assert_lt(after.msrs_written, after.msrs);
	machine_free(machine);
	kvm_host_close(host);
}

static void slots_of(enum machine_slots slots, bool expect_all)
{
	const struct machine_config config = {.ram_size = 6 * GIB, .vcpus = 1, .slots = slots};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &config, STUB("hello"), NULL);
	struct machine_info info;

	machine_get_info(machine, &info);
	if (slots == MACHINE_SLOTS_AUTO)
		expect_all = !host->shadows_page_tables;
	if (expect_all || !host->has_emulation_failure_exit) {
		cr_assert_not(info.lazy_slots);
		cr_assert_eq(info.slots, 2);
		cr_assert_eq(info.slot_bytes, 6 * GIB);
	} else {
		cr_assert(info.lazy_slots);
		cr_assert_lt(info.slot_bytes, 64 * MIB);
	}
	machine_free(machine);
	kvm_host_close(host);
}

Test(freeze, memslots_as_asked)
{
	slots_of(MACHINE_SLOTS_ALL, true);
	slots_of(MACHINE_SLOTS_POPULATED, false);
	slots_of(MACHINE_SLOTS_AUTO, false);
}

/* A template that wrote here and there must not cost every clone a memslot for each place. */
Test(freeze, never_many_memslots)
{
	const struct machine_config config = {
		.ram_size = 3 * GIB, .vcpus = 1, .slots = MACHINE_SLOTS_POPULATED};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &config, GUEST(scatter));
	struct clone *clone = life_clone_new();
	struct machine_info info;

	machine_get_info(machine, &info);
	cr_assert_geq(info.populated, (3 * GIB / (32 * MIB) - 2) * PAGE_BYTES);
	cr_assert_lt(info.populated, 2 * MIB);
	cr_assert_leq(info.slots, 16);
	life_ask(machine, 1, NULL, 0, clone);
	life_clone_free(clone);
	machine_free(machine);
	kvm_host_close(host);
}

Test(freeze, into_a_file_by_name)
{
	struct machine_config config = one;
	struct kvm_host *host = require_kvm();
	struct clone *clone = life_clone_new();
	char path[HELPER_PATH_SIZE], before[4096], after[4096];
	struct machine *machine;
	int fd;

	helper_path(path, ".ram");
	config.mem_path = path;
	machine = life_template(host, &config, STUB("echo"), NULL);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	/* Somewhere in its image; the whole of it would do as well. */
	cr_assert_eq(pread(fd, before, sizeof(before), FORKVM_STUB_LOAD_GPA), 4096);
	life_ask(machine, 1, "abc", 3, clone);
	cr_assert_eq(memcmp(clone->answer, "abc", 3), 0);
	life_ask(machine, 2, "defg", 4, clone);
	cr_assert_eq(memcmp(clone->answer, "defg", 4), 0);
	cr_assert_eq(pread(fd, after, sizeof(after), FORKVM_STUB_LOAD_GPA), 4096);
	cr_assert_eq(memcmp(before, after, sizeof(after)), 0);
	close(fd);
	cr_assert_eq(fcntl(machine_get_frozen(machine)->ram.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	machine_free(machine);
	unlink(path);
	life_clone_free(clone);
	kvm_host_close(host);
}

/* KVM's descriptors are of no use in a fork: what the freeze cannot read, it names. */
static int freeze_in_fork(void *context)
{
	struct error error = {0};

	if (machine_freeze(context, &error) != -EIO || machine_freeze(context, NULL) >= 0)
		return 1;
	return strncmp(error.text, "freeze: ", 8) != 0 || machine_get_frozen(context) != NULL;
}

Test(freeze, what_cannot_be_read_is_an_error)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load(host, &one, STUB("hello"), NULL);
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(helper_in_child(freeze_in_fork, machine), 0);
	cr_assert_eq(machine_freeze(machine, &error), 0, "%s", error.text);
	machine_free(machine);
	kvm_host_close(host);
}

/* The scratch VM of the rehearsal needs descriptors. */
static int freeze_without_descriptors(void *context)
{
	struct rlimit limit;
	struct error error = {0};

	if (machine_boot(context, NULL, 0, NULL, NULL, &error) < 0)
		return 1;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 2;
	limit.rlim_cur = 0;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 3;
	return machine_freeze(context, &error) != -EMFILE || !strstr(error.text, "KVM_CREATE_VM");
}

Test(freeze, no_descriptors_left)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load(host, &one, STUB("hello"), NULL);

	cr_assert_eq(helper_in_child(freeze_without_descriptors, machine), 0);
	machine_free(machine);
	kvm_host_close(host);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine.c: what a machine may be, and the order of its life. */
#include "vmm/machine/machine.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"
#include "vmm/machine/frozen.h"

#define PIB (1ull << 50)

static const struct machine_config small = {.ram_size = 8 * MIB, .vcpus = 1};

/* machine_new fails with code, says part, and leaves nothing behind. */
static void refuse(const struct machine_config *config, int code, const char *part)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = NULL;
	size_t fds = helper_count_fds();
	struct error error = {0};

	cr_assert_eq(machine_new(host, config, &machine, &error), -code, "%s", error.text);
	cr_assert_null(machine);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_eq(helper_count_fds(), fds);
	kvm_host_close(host);
}

static void refuse_ram(uint64_t ram_size, int code, const char *part)
{
	const struct machine_config config = {.ram_size = ram_size, .vcpus = 1};

	refuse(&config, code, part);
}

static void refuse_vcpus(unsigned int vcpus)
{
	const struct machine_config config = {.ram_size = 8 * MIB, .vcpus = vcpus};

	refuse(&config, EINVAL, "vCPUs");
}

Test(machine, ram_that_is_too_little)
{
	refuse_ram(0, EINVAL, "0 bytes");
	refuse_ram(1, EINVAL, "multiple of 4 KiB");
	refuse_ram(PAGE_BYTES, EINVAL, "at least 2 MiB");
	refuse_ram(MACHINE_RAM_MIN - PAGE_BYTES, EINVAL, "at least 2 MiB");
}

Test(machine, ram_that_is_not_pages)
{
	refuse_ram(8 * MIB + 1, EINVAL, "multiple of 4 KiB");
	refuse_ram(8 * MIB - 512, EINVAL, "multiple of 4 KiB");
	refuse_ram(UINT64_MAX, EINVAL, "multiple of 4 KiB");
}

Test(machine, ram_that_is_too_much)
{
	struct sysinfo info;
	uint64_t host_bytes;

	cr_assert_eq(sysinfo(&info), 0);
	host_bytes = (uint64_t)(info.totalram + info.totalswap) * info.mem_unit;
	refuse_ram(round_down(host_bytes, PAGE_BYTES) + PAGE_BYTES, EFBIG,
		   host_bytes > MACHINE_RAM_MAX ? "at most" : "ever hold");
	refuse_ram(PIB, EFBIG, "ever hold");
	refuse_ram(round_down(UINT64_MAX, PAGE_BYTES), EFBIG, "ever hold");
	refuse_ram(1ull << 63, EFBIG, "ever hold");
}

Test(machine, vcpus_that_cannot_be)
{
	refuse_vcpus(0);
	refuse_vcpus(MACHINE_VCPUS_MAX + 1);
	refuse_vcpus(10000);
	refuse_vcpus(UINT_MAX);
}

Test(machine, a_memory_file_that_cannot_be)
{
	struct machine_config config = small;

	config.mem_path = "/nowhere/at/all";
	refuse(&config, ENOENT, "/nowhere/at/all");
	config.mem_path = "/dev/zero";
	refuse(&config, EINVAL, "regular");
}

Test(machine, the_least_and_the_most)
{
	struct kvm_host *host = require_kvm();
	struct machine_config config = {.ram_size = MACHINE_RAM_MIN, .vcpus = 1};
	struct machine *machine = NULL;
	struct machine_info info;
	struct error error = {0};

	cr_assert_eq(machine_new(host, &config, &machine, &error), 0, "%s", error.text);
	machine_get_info(machine, &info);
	cr_assert_eq(info.ram_size, MACHINE_RAM_MIN);
	cr_assert_eq(info.vcpus, 1);
	cr_assert_eq(machine_request_capacity(machine), 0);
	cr_assert_null(machine_get_frozen(machine));
	machine_free(machine);

	config.vcpus = (unsigned int)min_u64(MACHINE_VCPUS_MAX, host->vcpus_max);
	cr_assert_eq(machine_new(host, &config, &machine, &error), 0, "%s", error.text);
	cr_assert_eq(machine_extra_threads(machine), config.vcpus - 1);
	machine_free(machine);
	kvm_host_close(host);
}

Test(machine, free_takes_null_and_leaves_nothing)
{
	struct kvm_host *host = require_kvm();
	size_t fds = helper_count_fds(), threads = helper_count_threads();
	struct machine *machine;

	machine_free(NULL);
	machine = life_load(host, &small, STUB("hello"), NULL);
	machine_free(machine);
	machine = life_template(host, &small, STUB("hello"), NULL);
	machine_free(machine);
	cr_assert_eq(helper_count_fds(), fds);
	cr_assert_eq(helper_count_threads(), threads);
	kvm_host_close(host);
}

/* Several machines in one process do not know of one another. */
Test(machine, several_at_once)
{
	struct kvm_host *host = require_kvm();
	struct machine *a = life_load(host, &small, STUB("echo"), NULL);
	struct machine *b = life_template(host, &small, STUB("hello"), NULL);
	struct clone *clone = life_clone_new();

	life_freeze(a);
	life_ask(a, 1, "to a", 4, clone);
	cr_assert_eq(memcmp(clone->answer, "to a", 4), 0);
	life_ask(b, 2, "to b", 4, clone);
	cr_assert_eq(memcmp(clone->answer, "ok hello clone=2\n", 17), 0);
	machine_free(a);
	life_ask(b, 3, "to b", 4, clone);
	machine_free(b);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(machine, load_refuses_what_is_no_guest)
{
	struct kvm_host *host = require_kvm();
	char path[HELPER_PATH_SIZE], args[FORKVM_MAX_ARGS + 1];
	struct machine *machine = NULL;
	struct error error = {0};

	cr_assert_eq(machine_new(host, &small, &machine, &error), 0, "%s", error.text);
	cr_assert_eq(machine_load(machine, "/nowhere", NULL, &error), -ENOENT);
	cr_assert_not_null(strstr(error.text, "/nowhere"), "%s", error.text);
	helper_file(path, ".txt", "text", 4);
	cr_assert_eq(machine_load(machine, path, NULL, &error), -ENOEXEC);
	unlink(path);
	memset(args, 'x', sizeof(args));
	args[FORKVM_MAX_ARGS] = '\0';
	cr_assert_eq(machine_load(machine, STUB("hello"), args, &error), -E2BIG);
	cr_assert_eq(machine_load(machine, STUB("hello"), "a=b", &error), 0, "%s", error.text);
	machine_free(machine);
	kvm_host_close(host);
}

Test(machine, load_refuses_what_does_not_fit)
{
	const struct machine_config least = {.ram_size = MACHINE_RAM_MIN, .vcpus = 1};
	struct kvm_host *host = require_kvm();
	struct machine *machine = NULL;
	struct error error = {0};
	char path[HELPER_PATH_SIZE];

	helper_file(path, ".bin", "x", 1);
	cr_assert_eq(truncate(path, (off_t)(MACHINE_RAM_MIN - FORKVM_STUB_LOAD_GPA + 1)), 0);
	cr_assert_eq(machine_new(host, &least, &machine, &error), 0, "%s", error.text);
	cr_assert_eq(machine_load(machine, path, NULL, &error), -EFBIG);
	unlink(path);
	machine_free(machine);
	kvm_host_close(host);
}

Test(machine, each_step_wants_the_one_before)
{
	struct kvm_host *host = require_kvm();
	const struct forkvm_identity identity = life_identity(1);
	struct machine *machine = NULL;
	struct machine_stages stages = {0};
	struct error error = {0};

	cr_assert_eq(machine_new(host, &small, &machine, &error), 0, "%s", error.text);
	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, &error), -EINVAL);
	cr_assert_eq(machine_freeze(machine, &error), -EINVAL);
	cr_assert_eq(machine_thaw(machine, &identity, NULL, 0, &stages, &error), -EINVAL);
	cr_assert_eq(machine_load(machine, STUB("hello"), NULL, &error), 0, "%s", error.text);
	cr_assert_eq(machine_freeze(machine, &error), -EINVAL);
	cr_assert_eq(machine_thaw(machine, &identity, NULL, 0, &stages, &error), -EINVAL);
	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, &error), -EINVAL);
	cr_assert_eq(machine_thaw(machine, &identity, NULL, 0, &stages, &error), -EINVAL);
	cr_assert_eq(machine_freeze(machine, &error), 0, "%s", error.text);
	cr_assert_eq(machine_freeze(machine, &error), -EINVAL);
	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, &error), -EINVAL);
	cr_assert_eq(machine_thaw(machine, &identity, NULL, 0, &stages, &error), 0, "%s",
		     error.text);
	cr_assert_eq(machine_thaw(machine, &identity, NULL, 0, &stages, &error), -EINVAL);
	machine_free(machine);
	kvm_host_close(host);
}

Test(machine, every_end_has_a_name)
{
	cr_assert_str_eq(machine_end_name(MACHINE_END_DONE), "done");
	cr_assert_str_eq(machine_end_name(MACHINE_END_HOST_ERROR), "host-error");
	for (int reason = 0; reason < MACHINE_END_COUNT_; reason++)
		cr_assert_str_not_empty(machine_end_name((enum machine_end_reason)reason));
	cr_assert_str_eq(machine_end_name(MACHINE_END_COUNT_), "unknown");
}

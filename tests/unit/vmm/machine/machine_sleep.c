/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_sleep.c: clones of real stubs that sleep between requests. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"
#include "vmm/machine/internal.h"

enum mishap {
	NONE,
	LEAVES_WHILE_ASLEEP,  /* the client */
	NO_SLEEP_DESCRIPTORS, /* for the scratch VM */
	ONE_SLEEP_DESCRIPTOR, /* and none for its vCPU */
	NO_WAKE_DESCRIPTORS,
};

/* What becomes of a clone, in memory that its process shares with the test. */
struct night {
	struct machine *machine;
	const char *request;
	unsigned int wanted, answered, slept, refused;
	unsigned int fds_awake, fds_asleep;
	bool resettable;
	enum mishap mishap;
	char answer[512]; /* the first that does not begin with "ok", or the last one */
	struct machine_end end;
	struct error error;
};

static int on_answer(void *ctx, const void *data, size_t len)
{
	struct night *night = ctx;

	if (!night->answered || strncmp(night->answer, "ok", 2) == 0)
		snprintf(night->answer, sizeof(night->answer), "%.*s", (int)len,
			 (const char *)data);
	night->answered++;
	return 0;
}

/* No descriptor more than there is, from now on. */
static rlim_t allow_descriptors(rlim_t count)
{
	struct rlimit limit;
	rlim_t before;

	getrlimit(RLIMIT_NOFILE, &limit);
	before = limit.rlim_cur;
	limit.rlim_cur = count;
	setrlimit(RLIMIT_NOFILE, &limit);
	return before;
}

static rlim_t first_free(void)
{
	int fd = dup(0);

	close(fd);
	return (rlim_t)fd;
}

static int sleep_and_wake(struct night *night)
{
	struct machine *machine = night->machine;
	rlim_t before = 0;
	int rc;

	night->fds_awake = (unsigned int)helper_count_fds();
	if (night->mishap == NO_SLEEP_DESCRIPTORS)
		before = allow_descriptors(0);
	if (night->mishap == ONE_SLEEP_DESCRIPTOR)
		before = allow_descriptors(first_free() + 1);
	rc = machine_sleep(machine, &night->error);
	if (before)
		allow_descriptors(before);
	if (rc < 0) {
		night->refused++;
		return 0;
	}
	night->slept++;
	night->fds_asleep = (unsigned int)helper_count_fds();
	if (machine->vm.fd >= 0 || machine->vcpus[0].kvm.run)
		_exit(3);
	if (night->mishap == LEAVES_WHILE_ASLEEP)
		return 1;
	if (night->mishap == NO_WAKE_DESCRIPTORS)
		allow_descriptors(0);
	return machine_wake(machine, &night->error);
}

static int on_park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	struct night *night = ctx;
	int rc;

	if (night->answered == night->wanted)
		return 0;
	rc = sleep_and_wake(night);
	if (rc)
		return rc < 0 ? rc : 0;
	*ret_len = min_u64(strlen(night->request), capacity);
	memcpy(buf, night->request, *ret_len);
	return 1;
}

static void live(struct machine *machine, struct night *night)
{
	const struct machine_sink sink = {.ctx = night, .answer = on_answer, .park = on_park};
	const struct forkvm_identity identity = life_identity(1);
	struct machine_stages stages = {0};
	int rc = 0;

	night->machine = machine;
	if (night->resettable)
		rc = machine_prepare_reset(machine, machine_ram_fd(machine), &night->error);
	if (rc == 0)
		rc = machine_thaw(machine, &identity, night->request, strlen(night->request),
				  &stages, &night->error);
	if (rc == 0)
		machine_run(machine, &sink, &night->end);
	machine_free(machine);
}

static struct night *night_new(unsigned int wanted, const char *request)
{
	struct night *night = mmap(NULL, sizeof(*night), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(night, MAP_FAILED);
	*night = (struct night){.wanted = wanted, .request = request};
	return night;
}

static void run(struct machine *machine, struct night *night)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		live(machine, night);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0, "status %#x", status);
}

static void sleep_stub(const struct machine_config *config, const char *path, const char *args,
		       const char *request)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, config, path, args);
	struct night *night = night_new(6, request);

	cr_assert_null(machine_cannot_sleep(machine));
	night->resettable = config->resettable;
	run(machine, night);
	cr_assert_eq(night->error.code, 0, "%s: %s", path, night->error.text);
	cr_assert_eq(night->end.reason, MACHINE_END_DONE, "%s: %s", path, night->end.error.text);
	cr_assert_eq(strncmp(night->answer, "ok", 2), 0, "%s: %s", path, night->answer);
	cr_assert_eq(night->answered, 6);
	cr_assert_eq(night->slept, 5);
	cr_assert_leq(night->fds_asleep, night->fds_awake - 2, "VM and vCPU at least");
	munmap(night, sizeof(*night));
	machine_free(machine);
	kvm_host_close(host);
}

static const struct machine_config plain = {.ram_size = 64 * MIB, .vcpus = 1};

Test(sleep, every_stub_goes_on_as_if_nothing_had_happened)
{
	static const struct {
		const char *path, *args, *request;
	} stubs[] = {
		{STUB("hello"), NULL, ""},
		{STUB("echo"), NULL, "ok, and a few bytes"},
		{STUB("unique"), NULL, "draws=2"},
		{STUB("fpu"), NULL, "fpu"},
		{STUB("regs"), NULL, "regs"},
		{STUB("clock"), NULL, "clock"},
		{STUB("dirty"), "region=8", "pages=1000 check=500 seed=3"},
		{STUB("dirty"), "region=2", "pages=20 check=20 hole=20"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(stubs); i++)
		sleep_stub(&plain, stubs[i].path, stubs[i].args, stubs[i].request);
}

Test(sleep, machines_of_other_kinds)
{
	static const struct machine_config configs[] = {
		{.ram_size = 64 * MIB, .vcpus = 1, .slots = MACHINE_SLOTS_ALL},
		{.ram_size = 64 * MIB, .vcpus = 1, .force_cpuid = true},
		{.ram_size = 64 * MIB, .vcpus = 1, .resettable = true},
		{.ram_size = 6 * GIB, .vcpus = 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		sleep_stub(&configs[i], STUB("dirty"), "region=4", "pages=64 check=64 hole=12");
}

Test(sleep, a_device_goes_on)
{
	const struct machine_config config = {.ram_size = 64 * MIB, .vcpus = 1, .rng = true};

	sleep_stub(&config, STUB("virtio"), NULL, "op=random bytes=64 segments=3");
}

static void expect_awake(const struct machine_config *config, const char *reason)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, config, STUB("echo"), NULL);
	const char *why = machine_cannot_sleep(machine);

	cr_assert_not_null(why);
	cr_assert_not_null(strstr(why, reason), "%s", why);
	machine_free(machine);
	kvm_host_close(host);
}

Test(sleep, who_cannot)
{
	const struct machine_config irqchip = {
		.ram_size = 64 * MIB, .vcpus = 1, .force_irqchip = true};
	const struct machine_config two = {.ram_size = 64 * MIB, .vcpus = 2};

	expect_awake(&irqchip, "interrupt controllers");
	expect_awake(&two, "several vCPUs");
}

/* A clone that is to be asked twice, and meets with something between. */
static struct night *meet(const struct machine_config *config, enum mishap mishap)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, config, STUB("echo"), NULL);
	struct night *night = night_new(2, "ok");

	night->mishap = mishap;
	run(machine, night);
	machine_free(machine);
	kvm_host_close(host);
	return night;
}

Test(sleep, its_client_leaves_meanwhile)
{
	struct night *night = meet(&plain, LEAVES_WHILE_ASLEEP);

	cr_assert_eq(night->slept, 1);
	cr_assert_eq(night->answered, 1);
	cr_assert_eq(night->end.reason, MACHINE_END_DONE, "%s", night->end.error.text);
	munmap(night, sizeof(*night));
}

Test(sleep, it_stays_awake_if_that_cannot_be_tried)
{
	static const enum mishap mishaps[] = {NO_SLEEP_DESCRIPTORS, ONE_SLEEP_DESCRIPTOR};

	for (size_t i = 0; i < ARRAY_SIZE(mishaps); i++) {
		struct night *night = meet(&plain, mishaps[i]);

		cr_assert_eq(night->refused, 1);
		cr_assert_eq(night->error.code, EMFILE, "%s", night->error.text);
		cr_assert_eq(night->answered, 2);
		cr_assert_eq(night->end.reason, MACHINE_END_DONE, "%s", night->end.error.text);
		munmap(night, sizeof(*night));
	}
}

Test(sleep, it_cannot_be_woken)
{
	struct night *night = meet(&plain, NO_WAKE_DESCRIPTORS);

	cr_assert_eq(night->slept, 1);
	cr_assert_eq(night->error.code, EMFILE, "%s", night->error.text);
	cr_assert_eq(night->answered, 1);
	cr_assert_eq(night->end.reason, MACHINE_END_HOST_ERROR);
	munmap(night, sizeof(*night));
}

Test(sleep, not_a_template_and_not_twice)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &plain, STUB("echo"), NULL);
	struct error error;

	cr_assert_eq(machine_sleep(machine, &error), -EINVAL);
	cr_assert_eq(machine_wake(machine, &error), -EINVAL);
	machine_free(machine);
	kvm_host_close(host);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_boot.c, machine_threads.c: from nothing to the template point.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"

static const struct machine_config one = {.ram_size = 64 * MIB, .vcpus = 1};

/* Boot gives -ECANCELED and this end; its words have part in them; nothing is left behind. */
static void end_early(struct guest guest, enum machine_end_reason reason, uint32_t status,
		      const char *part)
{
	struct kvm_host *host = require_kvm();
	size_t fds = helper_count_fds(), threads = helper_count_threads();
	struct machine *machine = life_load_guest(host, &one, guest);
	struct machine_end end = {0};
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, &end, &error), -ECANCELED, "%s",
		     error.text);
	cr_assert_eq(end.reason, reason, "%s", error.text);
	cr_assert_eq(end.status, status);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_not_null(strstr(error.text, "before its template point"), "%s", error.text);
	cr_assert_eq(helper_count_threads(), threads);
	cr_assert_eq(machine_freeze(machine, &error), -EINVAL);
	machine_free(machine);
	cr_assert_eq(helper_count_fds(), fds);
	kvm_host_close(host);
}

Test(boot, guest_that_is_done)
{
	end_early(GUEST(early_done), MACHINE_END_DONE, 0x1234, "0x1234");
}

Test(boot, guest_that_crashes)
{
	end_early(GUEST(early_crash), MACHINE_END_GUEST_ERROR, 0, "triple fault");
}

Test(boot, guest_that_halts)
{
	end_early(GUEST(early_halt), MACHINE_END_SHUTDOWN, 0, "halted");
}

Test(boot, guest_that_reads_where_nothing_is)
{
	end_early(GUEST(early_wild_read), MACHINE_END_GUEST_ERROR, 0, "0xd0000000");
}

Test(boot, guest_that_writes_where_nothing_is)
{
	end_early(GUEST(early_wild_write), MACHINE_END_GUEST_ERROR, 0, "0xd0000000");
}

Test(boot, guest_that_reads_a_doorbell)
{
	end_early(GUEST(early_in_from_doorbell), MACHINE_END_GUEST_ERROR, 0, "IN");
}

Test(boot, the_end_need_not_be_asked_for)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load_guest(host, &one, GUEST(early_done));

	cr_assert_eq(machine_boot(machine, NULL, 0, NULL, NULL, NULL), -ECANCELED);
	machine_free(machine);
	kvm_host_close(host);
}

Test(boot, a_time_limit, .timeout = 60)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load_guest(host, &one, GUEST(loop));
	size_t threads = helper_count_threads();
	uint64_t start = now_ns();
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, 50 * 1000000, NULL, NULL, &error), -ETIMEDOUT);
	cr_assert_geq(now_ns() - start, 50 * 1000000);
	cr_assert_not_null(strstr(error.text, "50 ms"), "%s", error.text);
	cr_assert_eq(helper_count_threads(), threads);
	cr_assert_eq(machine_freeze(machine, &error), -EINVAL);
	machine_free(machine);
	kvm_host_close(host);
}

static volatile int cancel;

static void *set_cancel(void *unused)
{
	cancel = 1;
	return unused;
}

Test(boot, can_be_cancelled, .timeout = 60)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load_guest(host, &one, GUEST(loop));
	size_t threads = helper_count_threads();
	struct error error = {0};
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, set_cancel, NULL), 0);
	cr_assert_eq(machine_boot(machine, NULL, 0, &cancel, NULL, &error), -EINTR);
	pthread_join(thread, NULL);
	cr_assert_eq(helper_count_threads(), threads);
	machine_free(machine);
	kvm_host_close(host);
}

Test(boot, cancelled_before_it_began)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load_guest(host, &one, GUEST(loop));
	volatile int already = 1;
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, 0, &already, NULL, &error), -EINTR);
	machine_free(machine);
	kvm_host_close(host);
}

static int on_console(void *ctx, const char *text, size_t len)
{
	struct clone *clone = ctx;

	cr_assert_leq(len, sizeof(clone->console));
	clone->console_len = len;
	memcpy(clone->console, text, len);
	return clone->answer_result;
}

Test(boot, console_text_reaches_the_owner)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load_guest(host, &one, GUEST(console));
	struct clone *clone = life_clone_new();
	const struct machine_sink sink = {.ctx = clone, .console = on_console};
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, &sink, 0, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(clone->console_len, 6);
	cr_assert_eq(memcmp(clone->console, "hello\n", 6), 0);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(boot, a_failing_owner_is_a_host_error)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load_guest(host, &one, GUEST(console));
	struct clone *clone = life_clone_new();
	const struct machine_sink sink = {.ctx = clone, .console = on_console};
	struct machine_end end = {0};
	struct error error = {0};

	clone->answer_result = -EIO;
	cr_assert_eq(machine_boot(machine, &sink, 0, NULL, &end, &error), -ECANCELED);
	cr_assert_eq(end.reason, MACHINE_END_HOST_ERROR);
	cr_assert_not_null(strstr(error.text, "Input/output"), "%s", error.text);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

static int boot_without_descriptors(void *context)
{
	struct error error = {0};

	return machine_boot(context, NULL, 0, NULL, NULL, &error) != -EMFILE ||
	       !strstr(error.text, "KVM_CREATE_VM");
}

Test(boot, no_descriptors_left)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load(host, &one, STUB("hello"), NULL);

	cr_assert_eq(helper_without_descriptors(boot_without_descriptors, machine), 0);
	machine_free(machine);
	kvm_host_close(host);
}

static void boot_stub(const char *path, unsigned int vcpus, const char *args)
{
	const struct machine_config config = {.ram_size = 64 * MIB, .vcpus = vcpus};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load(host, &config, path, args);
	size_t threads = helper_count_threads();
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, 60 * NS_PER_SEC, NULL, NULL, &error), 0, "%s: %s",
		     path, error.text);
	cr_assert_eq(helper_count_threads(), threads, "vCPU threads are gone");
	machine_free(machine);
	kvm_host_close(host);
}

Test(boot, every_stub_reaches_its_template_point)
{
	static const char *const stubs[] = {
		STUB("hello"), STUB("echo"), STUB("fpu"),  STUB("clock"), STUB("unique"),
		STUB("regs"),  STUB("smp"),  STUB("spin"), STUB("crash"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(stubs); i++)
		boot_stub(stubs[i], 1, NULL);
}

Test(boot, several_vcpus)
{
	boot_stub(STUB("smp"), 2, NULL);
	boot_stub(STUB("smp"), 4, NULL);
	boot_stub(STUB("hello"), 3, NULL); /* the further ones halt */
}

Test(boot, arguments_reach_the_guest)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_load(host, &one, STUB("hello"), "populate=nonsense");
	struct machine_end end = {0};
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, 60 * NS_PER_SEC, NULL, &end, &error), -ECANCELED);
	cr_assert_eq(end.reason, MACHINE_END_DONE);
	cr_assert_eq(end.status, 1, "the stub's way of failing");
	machine_free(machine);
	kvm_host_close(host);
}

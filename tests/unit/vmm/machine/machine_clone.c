/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_clone.c: frozen memory back to life, by real stubs. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"

static const struct machine_config one = {.ram_size = 64 * MIB, .vcpus = 1};

static void expect_text(const struct clone *clone, const char *wanted)
{
	cr_assert_eq(clone->answer_len, strlen(wanted), "%.*s", (int)clone->answer_len,
		     (const char *)clone->answer);
	cr_assert_eq(memcmp(clone->answer, wanted, strlen(wanted)), 0, "%.*s",
		     (int)clone->answer_len, (const char *)clone->answer);
}

Test(clone, in_the_process_that_froze)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	struct clone *clone = life_clone_new();

	life_run_here(machine, 77, clone);
	cr_assert_eq(clone->thaw, 0, "%s", clone->error.text);
	cr_assert_eq(clone->end.reason, MACHINE_END_DONE, "%s", clone->end.error.text);
	cr_assert_eq(clone->answers, 1);
	expect_text(clone, "ok hello clone=77\n");
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(clone, many_forks_of_one_template)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	size_t fds = helper_count_fds();
	struct clone *clone = life_clone_new();
	char wanted[64];

	for (uint64_t id = 1; id <= 20; id++) {
		life_ask(machine, id, NULL, 0, clone);
		snprintf(wanted, sizeof(wanted), "ok hello clone=%llu\n", (unsigned long long)id);
		expect_text(clone, wanted);
	}
	cr_assert_eq(helper_count_fds(), fds);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

#define AT_ONCE 32

Test(clone, many_at_once)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("echo"), NULL);
	struct clone *clones[AT_ONCE];
	pid_t pids[AT_ONCE];

	for (unsigned int i = 0; i < AT_ONCE; i++) {
		clones[i] = life_clone_new();
		clones[i]->request = &i;
		clones[i]->request_len = sizeof(i);
		pids[i] = fork();
		cr_assert_geq(pids[i], 0);
		if (pids[i] == 0) {
			life_run_here(machine, i + 1, clones[i]);
			_exit(0);
		}
	}
	for (unsigned int i = 0; i < AT_ONCE; i++) {
		int status = -1;

		cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
		cr_assert_eq(status, 0);
		cr_assert_eq(clones[i]->end.reason, MACHINE_END_DONE, "%s%s", clones[i]->error.text,
			     clones[i]->end.error.text);
		cr_assert_eq(clones[i]->answer_len, sizeof(i));
		cr_assert_eq(memcmp(clones[i]->answer, &i, sizeof(i)), 0);
		life_clone_free(clones[i]);
	}
	machine_free(machine);
	kvm_host_close(host);
}

Test(clone, a_clone_of_a_dead_template)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	struct clone *clone = life_clone_new();
	int go[2], done[2];
	pid_t pid;
	char byte;

	cr_assert_eq(pipe(go), 0);
	cr_assert_eq(pipe(done), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		if (read(go[0], &byte, 1) != 1)
			_exit(1);
		life_run_here(machine, 1, clone);
		if (write(done[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	machine_free(machine);
	kvm_host_close(host);
	cr_assert_eq(write(go[1], "x", 1), 1);
	cr_assert_eq(read(done[0], &byte, 1), 1);
	cr_assert_eq(clone->end.reason, MACHINE_END_DONE, "%s%s", clone->error.text,
		     clone->end.error.text);
	expect_text(clone, "ok hello clone=1\n");
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	life_clone_free(clone);
}

Test(clone, stages_follow_one_another)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	struct clone *clone = life_clone_new();
	uint64_t last = now_ns();

	life_ask(machine, 1, NULL, 0, clone);
	for (int stage = 0; stage < MACHINE_STAGE_COUNT_; stage++) {
		cr_assert_geq(clone->stages.at_ns[stage], last, "stage %d", stage);
		last = clone->stages.at_ns[stage];
	}
	cr_assert_leq(last, now_ns());
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(clone, any_bytes_up_to_the_guests_capacity)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 65535, FORKVM_MAX_REQUEST};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("echo"), NULL);
	uint8_t *bytes = malloc(FORKVM_MAX_REQUEST);
	struct clone *clone = life_clone_new();

	cr_assert_eq(machine_request_capacity(machine), FORKVM_MAX_REQUEST);
	for (size_t i = 0; i < FORKVM_MAX_REQUEST; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		life_ask(machine, 1, bytes, sizes[i], clone);
		cr_assert_eq(clone->answer_len, sizes[i]);
		cr_assert_eq(memcmp(clone->answer, bytes, sizes[i]), 0);
	}
	free(bytes);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(clone, a_request_that_is_too_long)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	size_t capacity = machine_request_capacity(machine);
	char *bytes = calloc(1, capacity + 1);
	struct clone *clone = life_clone_new();

	clone->request = bytes;
	clone->request_len = capacity + 1;
	life_run_forked(machine, 1, clone);
	cr_assert_eq(clone->thaw, -EMSGSIZE);
	cr_assert_str_not_empty(clone->error.text);
	clone->request_len = capacity;
	life_run_forked(machine, 1, clone);
	cr_assert_eq(clone->thaw, 0, "%s", clone->error.text);
	free(bytes);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(clone, one_instruction_is_neither_lost_nor_done_twice)
{
	static const enum machine_slots slots[] = {MACHINE_SLOTS_ALL, MACHINE_SLOTS_POPULATED};
	struct kvm_host *host = require_kvm();
	struct clone *clone = life_clone_new();

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		const struct machine_config config = {
			.ram_size = 64 * MIB, .vcpus = 1, .slots = slots[i]};
		struct machine *machine = life_template_guest(host, &config, GUEST(steps));
		uint32_t steps = 0;

		life_ask(machine, 1, NULL, 0, clone);
		memcpy(&steps, clone->answer, sizeof(steps));
		cr_assert_eq(steps, 2);
		machine_free(machine);
	}
	life_clone_free(clone);
	kvm_host_close(host);
}

/* Parked between requests. */
Test(clone, a_session_of_several_requests)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &one, GUEST(session));
	struct clone *clone = life_clone_new();
	uint32_t len = 0;

	clone->requests = 5;
	clone->request = "1234567";
	clone->request_len = 7;
	life_run_forked(machine, 1, clone);
	cr_assert_eq(clone->thaw, 0, "%s", clone->error.text);
	cr_assert_eq(clone->end.reason, MACHINE_END_DONE, "%s", clone->end.error.text);
	cr_assert_eq(clone->answers, 6);
	memcpy(&len, clone->answer, sizeof(len));
	cr_assert_eq(len, 7);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

/* Made without a request: it parks before it has answered anything. */
Test(clone, a_spare)
{
	static const char *const stubs[] = {STUB("fpu"),    STUB("regs"), STUB("clock"),
					    STUB("dirty"),  STUB("smp"),  STUB("unique"),
					    STUB("virtio"), STUB("hello")};
	const struct machine_config config = {.ram_size = 64 * MIB, .vcpus = 2, .rng = true};
	struct kvm_host *host = require_kvm();
	struct clone *clone = life_clone_new();

	for (size_t i = 0; i < ARRAY_SIZE(stubs); i++) {
		struct machine *machine = life_template(host, &config, stubs[i], NULL);

		*clone = (struct clone){.spare = true, .requests = 2, .request = ""};
		life_run_forked(machine, 5, clone);
		cr_assert_eq(clone->thaw, 0, "%s: %s", stubs[i], clone->error.text);
		cr_assert_eq(clone->end.reason, MACHINE_END_DONE, "%s: %s", stubs[i],
			     clone->end.error.text);
		cr_assert_eq(clone->answers, 2, "%s", stubs[i]);
		cr_assert_eq(memcmp(clone->answer, "ok", 2), 0, "%s", clone->answer);
		machine_free(machine);
	}
	expect_text(clone, "ok hello clone=5\n");
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(clone, nobody_to_take_the_answer)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	struct clone *clone = life_clone_new();

	clone->answer_result = -EPIPE;
	life_run_forked(machine, 1, clone);
	cr_assert_eq(clone->end.reason, MACHINE_END_HOST_ERROR);
	cr_assert_eq(clone->end.error.code, EPIPE);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

/* machine_thaw in a process that may open nothing more. */
static int thaw_without_descriptors(void *context)
{
	const struct forkvm_identity identity = life_identity(1);
	struct machine_stages stages = {0};
	struct error error = {0};
	int rc = machine_thaw(context, &identity, NULL, 0, &stages, &error);

	return rc != -EMFILE || !strstr(error.text, "KVM_CREATE_VM");
}

Test(clone, no_descriptors_left)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hello"), NULL);
	struct clone *clone = life_clone_new();

	cr_assert_eq(helper_without_descriptors(thaw_without_descriptors, machine), 0);
	life_ask(machine, 1, NULL, 0, clone); /* the template is none the worse */
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

/* Each stub's own verdict, with each way of registering memory. */
static void ask_stub(const char *path, unsigned int vcpus, uint64_t ram_size, const char *args,
		     const char *request)
{
	static const enum machine_slots slots[] = {MACHINE_SLOTS_ALL, MACHINE_SLOTS_POPULATED};
	struct kvm_host *host = require_kvm();
	struct clone *clone = life_clone_new();

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		const struct machine_config config = {
			.ram_size = ram_size, .vcpus = vcpus, .slots = slots[i]};
		struct machine *machine = life_template(host, &config, path, args);

		for (uint64_t id = 1; id <= 3; id++) {
			life_ask(machine, id, request, strlen(request), clone);
			cr_assert_eq(strncmp((const char *)clone->answer, "ok", 2), 0, "%s: %.*s",
				     path, (int)clone->answer_len, (const char *)clone->answer);
		}
		machine_free(machine);
	}
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(clone, floating_point_and_vector_state)
{
	ask_stub(STUB("fpu"), 1, 64 * MIB, NULL, "");
}

Test(clone, every_other_register)
{
	ask_stub(STUB("regs"), 1, 64 * MIB, NULL, "");
}

Test(clone, clocks)
{
	ask_stub(STUB("clock"), 1, 64 * MIB, NULL, "");
}

Test(clone, identity)
{
	ask_stub(STUB("unique"), 1, 64 * MIB, NULL, "");
}

Test(clone, one_vcpu_of_a_stub_for_several)
{
	ask_stub(STUB("smp"), 1, 64 * MIB, NULL, "");
}

Test(clone, two_vcpus)
{
	ask_stub(STUB("smp"), 2, 64 * MIB, NULL, "");
}

Test(clone, four_vcpus)
{
	ask_stub(STUB("smp"), 4, 64 * MIB, NULL, "");
}

Test(clone, memory_written_and_never_populated)
{
	ask_stub(STUB("dirty"), 1, 64 * MIB, "region=4", "pages=200 check=200 hole=24");
}

Test(clone, a_large_guest)
{
	ask_stub(STUB("hello"), 1, 6 * GIB, "populate=4", "");
	ask_stub(STUB("dirty"), 1, 6 * GIB, "region=4", "pages=50 check=50 hole=24");
}

/* Each misuse that the hostile stub lists, in a clone of one template. */
Test(clone, a_hostile_guest)
{
	static const enum machine_end_reason reasons[] = {MACHINE_END_DONE, MACHINE_END_SHUTDOWN,
							  MACHINE_END_GUEST_ERROR};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("hostile"), NULL);
	struct clone *clone = life_clone_new();
	char ops[FORKVM_MAX_RESPONSE + 1], request[128], *line, *rest = ops;
	unsigned int tried = 0;

	life_ask(machine, 1, "op=list", 7, clone);
	memcpy(ops, clone->answer, clone->answer_len);
	ops[clone->answer_len] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *colon = strchr(line, ':');
		const char *wanted = colon ? colon + 1 : NULL;

		/* Those that are for a boot argument have a folder. */
		if (!colon || strchr(line, '/'))
			continue;
		*colon = '\0';
		/* Nobody here would end it where it never ends (hostile.c). */
		if (strcmp(wanted, "crash") == 0 && !host->shadows_page_tables)
			continue;
		if (strcmp(wanted, "crash") == 0)
			wanted = "guest-error";
		snprintf(request, sizeof(request), "op=%s", line);
		clone->request = request;
		clone->request_len = strlen(request);
		life_run_forked(machine, 2, clone);
		cr_assert_eq(clone->thaw, 0, "%s: %s", line, clone->error.text);
		if (strcmp(wanted, "ok") == 0)
			cr_assert_eq(clone->end.reason, MACHINE_END_DONE, "%s: %s", line,
				     clone->end.error.text);
		else if (strcmp(wanted, "any") == 0)
			cr_assert(clone->end.reason == reasons[0] ||
					  clone->end.reason == reasons[1] ||
					  clone->end.reason == reasons[2],
				  "%s: %s", line, clone->end.error.text);
		else
			cr_assert_str_eq(machine_end_name(clone->end.reason), wanted, "%s: %s",
					 line, clone->end.error.text);
		tried++;
	}
	cr_assert_gt(tried, 30);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(clone, with_cpuid_and_interrupt_controllers_though_not_asked_for)
{
	const struct machine_config config = {
		.ram_size = 64 * MIB, .vcpus = 1, .force_irqchip = true, .force_cpuid = true};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &config, STUB("hello"), NULL);
	struct clone *clone = life_clone_new();
	struct machine_info info;

	machine_get_info(machine, &info);
	cr_assert(info.irqchip);
	cr_assert(info.cpuid);
	life_ask(machine, 5, NULL, 0, clone);
	expect_text(clone, "ok hello clone=5\n");
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_vcpu.c: what a running guest may do, and what ends it. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"

static const struct machine_config one = {.ram_size = 64 * MIB, .vcpus = 1};

/* A clone of the machine ends so, without an answer, and the machine can be cloned again. */
static void end_with(struct machine *machine, enum machine_end_reason reason, const char *part)
{
	struct clone *clone = life_clone_new();

	for (uint64_t id = 1; id <= 2; id++) {
		life_run_forked(machine, id, clone);
		cr_assert_eq(clone->thaw, 0, "%s", clone->error.text);
		cr_assert_eq(clone->end.reason, reason, "%s: %s",
			     machine_end_name(clone->end.reason), clone->end.error.text);
		cr_assert_not_null(strstr(clone->end.error.text, part), "'%s' says nothing of '%s'",
				   clone->end.error.text, part);
		cr_assert_eq(clone->answers, 0);
	}
	life_clone_free(clone);
}

Test(vcpu, a_triple_fault)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &one, STUB("crash"), NULL);

	end_with(machine, MACHINE_END_GUEST_ERROR, "triple fault");
	machine_free(machine);
	kvm_host_close(host);
}

Test(vcpu, a_doorbell_out_of_order)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &one, GUEST(template_twice));

	end_with(machine, MACHINE_END_GUEST_ERROR, "TEMPLATE rung with a request");
	machine_free(machine);
	kvm_host_close(host);
}

/* The first of its repetitions is a doorbell like any other, the second one too many. */
Test(vcpu, a_doorbell_rung_by_a_string_instruction)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &one, GUEST(string_out));

	end_with(machine, MACHINE_END_GUEST_ERROR, "TEMPLATE");
	machine_free(machine);
	kvm_host_close(host);
}

Test(vcpu, halting)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &one, GUEST(halt));

	end_with(machine, MACHINE_END_SHUTDOWN, "halted");
	machine_free(machine);
	kvm_host_close(host);
}

/* The others halted in the template, and stay so. */
Test(vcpu, the_last_of_several_halts)
{
	const struct machine_config three = {.ram_size = 64 * MIB, .vcpus = 3};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &three, GUEST(halt));

	end_with(machine, MACHINE_END_SHUTDOWN, "halted");
	machine_free(machine);
	kvm_host_close(host);
}

/* Secondary vCPUs that run on when the first ends the VM are stopped. */
Test(vcpu, the_end_of_one_is_the_end_of_all)
{
	const struct machine_config four = {.ram_size = 64 * MIB, .vcpus = 4};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template(host, &four, STUB("smp"), NULL);
	size_t threads = helper_count_threads();
	struct clone *clone = life_clone_new();

	life_run_here(machine, 1, clone);
	cr_assert_eq(clone->end.reason, MACHINE_END_DONE, "%s%s", clone->error.text,
		     clone->end.error.text);
	machine_free(machine);
	cr_assert_eq(helper_count_threads(), threads);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(vcpu, ports_without_a_device)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &one, GUEST(ports));
	struct clone *clone = life_clone_new();

	life_ask(machine, 1, NULL, 0, clone);
	cr_assert_eq(clone->answer_len, 17);
	cr_assert_eq(memcmp(clone->answer,
			    "\xff\xff\xff\xff\xff\xff\0\0\xff\0\0\0\xff\xff\xff\xff\xff", 17),
		     0);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

Test(vcpu, console_of_a_clone)
{
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &one, GUEST(console));
	struct clone *clone = life_clone_new();

	life_ask(machine, 1, NULL, 0, clone);
	cr_assert_eq(clone->console_len, 6);
	cr_assert_eq(memcmp(clone->console, "hello\n", 6), 0);
	machine_free(machine);
	life_clone_free(clone);
	kvm_host_close(host);
}

/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of forkserver/sandbox/sandbox_rules.c: what the gate's argument leans on (gate.h)
 * holds for the tables as they are. That the kernel enforces them is for the integration tests to
 * show.
 */
#include "forkserver/sandbox/sandbox_rules.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "forkserver/launch/launch.h"

static const struct sandbox_rules *const tables[] = {
	&sandbox_clone_rules, &sandbox_thread_rules,	    &sandbox_spare_rules,
	&sandbox_reset_rules, &sandbox_reset_nursery_rules, &sandbox_server_rules,
	&sandbox_disk_rules,  &sandbox_nursery_rules,	    &sandbox_idle_rules,
	&sandbox_file_rules,  &sandbox_line_rules};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

static const struct sandbox_rule *find(const struct sandbox_rules *table, int nr)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->rules[i].nr == nr)
			return &table->rules[i];
	return NULL;
}

Test(sandbox_rules, each_has_its_reason)
{
	for (size_t t = 0; t < TABLES; t++) {
		cr_assert_gt(tables[t]->count, 0);
		for (size_t i = 0; i < tables[t]->count; i++) {
			cr_assert_not_null(tables[t]->rules[i].reason);
			cr_assert_str_not_empty(tables[t]->rules[i].reason);
			cr_assert_leq(tables[t]->rules[i].arg_count, SANDBOX_RULE_ARGS);
		}
	}
}

/* But ioctl, each time for another kind of request. */
Test(sandbox_rules, none_stands_twice_in_its_table)
{
	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < tables[t]->count; i++) {
			const struct sandbox_rule *rule = &tables[t]->rules[i];
			const struct sandbox_rule *first = find(tables[t], rule->nr);

			if (first == rule)
				continue;
			cr_assert_eq(rule->nr, SCMP_SYS(ioctl), "table %zu, call %d", t, rule->nr);
			cr_assert_eq(rule->args[0].arg, 1);
			cr_assert_eq(first->args[0].arg, 1);
			cr_assert_neq(rule->args[0].datum_b, first->args[0].datum_b);
		}
	}
}

/* No table lets memory become executable, or a mapping move. */
Test(sandbox_rules, nothing_makes_code)
{
	static const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
	static const int never[] = {SCMP_SYS(pkey_mprotect), SCMP_SYS(remap_file_pages),
				    SCMP_SYS(personality),   SCMP_SYS(process_vm_writev),
				    SCMP_SYS(ptrace),	     SCMP_SYS(execve),
				    SCMP_SYS(execveat),	     SCMP_SYS(shmat),
				    SCMP_SYS(modify_ldt),    SCMP_SYS(bpf)};

	for (size_t t = 0; t < TABLES; t++) {
		const struct sandbox_rule *mremap = find(tables[t], SCMP_SYS(mremap));

		for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			const struct sandbox_rule *rule = find(tables[t], calls[i]);

			if (!rule)
				continue;
			cr_assert_eq(rule->arg_count, 1);
			cr_assert_eq(rule->args[0].arg, 2);
			cr_assert_eq(rule->args[0].op, SCMP_CMP_MASKED_EQ);
			cr_assert(rule->args[0].datum_a & PROT_EXEC);
			cr_assert_eq(rule->args[0].datum_b & PROT_EXEC, 0);
		}
		cr_assert(!mremap || mremap->refuse_errno);
		for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			cr_assert_null(find(tables[t], never[i]), "call %d", never[i]);
	}
}

/* An unrestricted ring makes nearly every other rule void. */
Test(sandbox_rules, rings_come_from_the_nursery_alone)
{
	static const int calls[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_register)};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		for (size_t t = 0; t < TABLES; t++)
			cr_assert_eq(find(tables[t], calls[i]) != NULL,
				     tables[t] == &sandbox_nursery_rules, "call %d", calls[i]);
	}
	cr_assert_not_null(find(&sandbox_disk_rules, SCMP_SYS(io_uring_enter)));
	cr_assert_null(find(&sandbox_clone_rules, SCMP_SYS(io_uring_enter)));
}

/* The disks' table is one with the clones', where nothing may stand twice. */
Test(sandbox_rules, disks_only_add)
{
	for (size_t i = 0; i < sandbox_disk_rules.count; i++)
		cr_assert_null(find(&sandbox_clone_rules, sandbox_disk_rules.rules[i].nr));
}

/* Late overlays: a new file without a name, which can never be given one; nothing that exists. */
Test(sandbox_rules, files_are_made_and_never_opened)
{
	const struct sandbox_rule *rule = &sandbox_file_rules.rules[0];

	cr_assert_eq(sandbox_file_rules.count, 1);
	cr_assert_eq(rule->nr, SCMP_SYS(openat));
	cr_assert_eq(rule->arg_count, 2);
	cr_assert_eq(rule->args[0].arg, 0);
	cr_assert_eq(rule->args[0].datum_b, FD_OVERLAYS);
	cr_assert_eq(rule->args[1].arg, 2);
	cr_assert_eq(rule->args[1].datum_a, UINT32_MAX, "all flags are looked at");
	cr_assert_eq(rule->args[1].datum_b & O_TMPFILE, O_TMPFILE);
	cr_assert(rule->args[1].datum_b & O_EXCL);
}

/* What only the server may do is in its own table and in no other. */
Test(sandbox_rules, clones_make_no_processes_and_open_no_files)
{
	static const int calls[] = {SCMP_SYS(fork),    SCMP_SYS(vfork),	 SCMP_SYS(openat),
				    SCMP_SYS(open),    SCMP_SYS(socket), SCMP_SYS(connect),
				    SCMP_SYS(accept4), SCMP_SYS(kill),	 SCMP_SYS(unlink),
				    SCMP_SYS(recvmsg), SCMP_SYS(sendmsg)};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		cr_assert_null(find(&sandbox_clone_rules, calls[i]), "call %d", calls[i]);
		cr_assert_null(find(&sandbox_thread_rules, calls[i]), "call %d", calls[i]);
		cr_assert_null(find(&sandbox_disk_rules, calls[i]), "call %d", calls[i]);
		cr_assert_null(find(&sandbox_idle_rules, calls[i]), "call %d", calls[i]);
	}
	cr_assert_not_null(find(&sandbox_server_rules, SCMP_SYS(clone3)));
	cr_assert_null(find(&sandbox_clone_rules, SCMP_SYS(clone3)));
	cr_assert_null(find(&sandbox_clone_rules, SCMP_SYS(clone)));
}

/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of vmm/machine/memslots.c: the arithmetic on a VM without vCPUs, and real guests that
 * touch memory which their template never did, by every way of touching it.
 */
#include "vmm/machine/memslots.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "tests/unit/vmm/machine/life.h"
#include "vmm/base/util.h"
#include "vmm/kvm/vm.h"
#include "vmm/machine/frozen.h"

/* ---- Arithmetic ---- */

struct fixture {
	struct kvm_host *host;
	struct guest_ram ram;
	struct kvm_vm vm;
	struct extents extents;
};

static void fixture_init(struct fixture *at, uint64_t ram_size)
{
	struct error error = {0};

	*at = (struct fixture){.host = require_kvm()};
	cr_assert_eq(guest_ram_init(&at->ram, ram_size, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(kvm_vm_init(&at->vm, at->host, &error), 0, "%s", error.text);
}

static void fixture_done(struct fixture *at)
{
	kvm_vm_done(&at->vm);
	extents_done(&at->extents);
	guest_ram_done(&at->ram);
	kvm_host_close(at->host);
}

/* Make a memslot of these MiB of RAM, as if the template had populated them. */
static void populate(struct fixture *at, uint64_t gpa_mib, uint64_t size_mib)
{
	struct extent one = {.gpa = gpa_mib * MIB, .size = size_mib * MIB};
	struct extents list = {.list = &one, .count = 1};
	struct extent *grown;
	struct error error = {0};

	cr_assert_eq(memslots_register(&at->vm, &at->ram, &list, &error), 0, "%s", error.text);
	grown = realloc(at->extents.list, (at->extents.count + 1) * sizeof(one));
	cr_assert_not_null(grown);
	grown[at->extents.count++] = one;
	at->extents.list = grown;
}

/* The extents in MiB, "from+size from+size ". */
static void expect(const struct fixture *at, const char *wanted)
{
	char text[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < at->extents.count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%llu+%llu ",
					 at->extents.list[i].gpa / MIB,
					 at->extents.list[i].size / MIB);
	cr_assert_str_eq(text, wanted);
	cr_assert_eq(at->vm.slots, at->extents.count, "a memslot for each");
}

static int fill(struct fixture *at, unsigned int touches, uint64_t gpa)
{
	struct error error = {0};

	return memslots_fill(&at->vm, &at->ram, &at->extents, touches, gpa, &error);
}

Test(memslots, a_window_around_the_address)
{
	struct fixture at;

	fixture_init(&at, 256 * MIB);
	cr_assert_eq(fill(&at, 0, 20 * MIB), 1);
	expect(&at, "16+16 ");
	cr_assert_eq(fill(&at, 0, 16 * MIB), 0, "there already");
	cr_assert_eq(fill(&at, 0, 32 * MIB - 1), 0);
	cr_assert_eq(fill(&at, 0, 32 * MIB), 1);
	cr_assert_eq(fill(&at, 0, 0), 1);
	expect(&at, "0+16 16+16 32+16 ");
	fixture_done(&at);
}

Test(memslots, windows_double_from_touch_to_touch)
{
	struct fixture at;

	fixture_init(&at, 1024 * MIB);
	cr_assert_eq(fill(&at, 1, 40 * MIB), 1);
	expect(&at, "32+32 ");
	cr_assert_eq(fill(&at, 2, 100 * MIB), 1);
	expect(&at, "32+32 64+64 ");
	cr_assert_eq(fill(&at, 5, 600 * MIB), 1);
	expect(&at, "32+32 64+64 512+512 ");
	cr_assert_eq(fill(&at, 1000000, 200 * MIB), 1, "a window larger than RAM");
	expect(&at, "32+32 64+64 128+384 512+512 ");
	cr_assert_eq(fill(&at, 1000001, 0), 1);
	expect(&at, "0+32 32+32 64+64 128+384 512+512 ");
	fixture_done(&at);
}

Test(memslots, a_window_ends_where_populated_memory_begins)
{
	struct fixture at;

	fixture_init(&at, 64 * MIB);
	populate(&at, 1, 2);
	populate(&at, 10, 1);
	cr_assert_eq(fill(&at, 0, 5 * MIB), 1);
	expect(&at, "1+2 3+7 10+1 ");
	cr_assert_eq(fill(&at, 0, 0), 1);
	expect(&at, "0+1 1+2 3+7 10+1 ");
	cr_assert_eq(fill(&at, 0, 11 * MIB), 1);
	expect(&at, "0+1 1+2 3+7 10+1 11+5 ");
	fixture_done(&at);
}

Test(memslots, windows_stay_within_their_region)
{
	struct fixture at;

	fixture_init(&at, 6 * GIB);
	cr_assert_eq(fill(&at, 8, 3 * GIB - 1), 1);
	expect(&at, "0+3072 ");
	cr_assert_eq(fill(&at, 8, 4 * GIB), 1);
	expect(&at, "0+3072 4096+3072 ");
	cr_assert_eq(fill(&at, 8, 7 * GIB - 1), 0);
	fixture_done(&at);
}

Test(memslots, outside_ram_is_an_error)
{
	struct error error = {0};
	struct fixture at;

	fixture_init(&at, 64 * MIB);
	cr_assert_eq(fill(&at, 0, 64 * MIB), -EFAULT);
	cr_assert_eq(fill(&at, 0, UINT64_MAX), -EFAULT);
	cr_assert_eq(memslots_fill(&at.vm, &at.ram, &at.extents, 0, 0xd0000000, &error), -EFAULT);
	cr_assert_not_null(strstr(error.text, "0xd0000000"), "%s", error.text);
	expect(&at, "");
	fixture_done(&at);
}

Test(memslots, fill_all_leaves_no_hole)
{
	struct error error = {0};
	struct fixture at;

	fixture_init(&at, 5 * GIB);
	populate(&at, 1, 2);
	populate(&at, 10, 1);
	populate(&at, 5120, 1024);
	cr_assert_eq(memslots_fill_all(&at.vm, &at.ram, &at.extents, &error), 1, "%s", error.text);
	expect(&at, "0+1 1+2 3+7 10+1 11+3061 4096+1024 5120+1024 ");
	cr_assert_eq(memslots_fill_all(&at.vm, &at.ram, &at.extents, &error), 0);
	fixture_done(&at);
}

Test(memslots, kvm_refusing_is_an_error)
{
	struct error error = {0};
	struct fixture at;

	fixture_init(&at, 64 * MIB);
	kvm_vm_done(&at.vm);
	cr_assert_eq(fill(&at, 0, 0), -EBADF);
	cr_assert_eq(memslots_fill_all(&at.vm, &at.ram, &at.extents, &error), -EBADF);
	expect(&at, "");
	fixture_done(&at);
}

/* ---- Guests ---- */

static const uint64_t results[HOLE_COUNT] = {
	[HOLE_LOAD] = 0,	[HOLE_STORE] = 0x1122334455667788,
	[HOLE_VECTOR] = 0xffff, [HOLE_ARITHMETC] = 154,
	[HOLE_ATOMIC] = 15,	[HOLE_STRING] = 3 * 3 * PAGE_BYTES,
	[HOLE_STACK] = 0x6655,	[HOLE_CALL] = FORKVM_STUB_LOAD_GPA + 0x3000, /* RAX as it was */
	[HOLE_COPY] = 0x908,	[HOLE_COMPARE] = 0x77,
};

/* Every way of touching, at each address, each in a clone of its own. */
static void touch(uint64_t ram_size, enum machine_slots slots, const uint64_t *addresses,
		  size_t count)
{
	const struct machine_config config = {.ram_size = ram_size, .vcpus = 1, .slots = slots};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &config, GUEST(holes));
	struct clone *clone = life_clone_new();
	struct machine_info info;

	machine_get_info(machine, &info);
	if (slots == MACHINE_SLOTS_POPULATED)
		require(info.lazy_slots, "this kernel's KVM lacks EXIT_ON_EMULATION_FAILURE");
	cr_assert_eq(info.lazy_slots, slots == MACHINE_SLOTS_POPULATED);
	cr_assert_lt(info.populated, MIB);
	if (info.lazy_slots)
		cr_assert_lt(info.slot_bytes, 2 * MIB);
	else
		cr_assert_eq(info.slot_bytes, ram_size);
	for (uint64_t op = 0; op < HOLE_COUNT; op++) {
		for (size_t i = 0; i < count; i++) {
			struct hole_request request = {.op = op, .address = addresses[i]};
			uint64_t result = 0;

			if (op == HOLE_CALL)
				request.address = GUEST_ISLAND - 4; /* zeros, and then RET */
			life_ask(machine, i + 1, &request, sizeof(request), clone);
			memcpy(&result, clone->answer, sizeof(result));
			cr_assert_eq(result, results[op], "op %llu at %#llx gives %#llx",
				     (unsigned long long)op, (unsigned long long)addresses[i],
				     (unsigned long long)result);
		}
	}
	life_clone_free(clone);
	machine_free(machine);
	kvm_host_close(host);
}

/* In a hole's middle, at its ends, and over the border of populated and other memory. */
static const uint64_t low[] = {
	8 * MIB,
	8 * MIB + 4090, /* over a page's end                      */
	32 * MIB - 8,	/* over the end of the window             */
	32 * MIB - 4,
	GUEST_ISLAND - 3 * PAGE_BYTES - 5, /* up to the island from below            */
	GUEST_ISLAND + PAGE_BYTES,	   /* right behind it                        */
	GUEST_ISLAND + PAGE_BYTES - 4,	   /* half on it                             */
	FORKVM_STUB_LOAD_GPA + 0x6000 - 4, /* half in the image                      */
	50 * MIB,
};

Test(memslots, guest_touches_holes)
{
	touch(64 * MIB, MACHINE_SLOTS_POPULATED, low, ARRAY_SIZE(low));
}

Test(memslots, guest_touches_the_same_without_holes)
{
	touch(64 * MIB, MACHINE_SLOTS_ALL, low, ARRAY_SIZE(low));
}

Test(memslots, guest_touches_holes_above_4_gib)
{
	static const uint64_t high[] = {
		GPA_LOW_RAM_MAX - 16 * MIB, GPA_HIGH_RAM + 16, GPA_HIGH_RAM + 4092,
		GPA_HIGH_RAM + GIB - 4,	    6 * GIB + 12345,   7 * GIB - 16 * MIB,
	};

	touch(6 * GIB, MACHINE_SLOTS_POPULATED, high, ARRAY_SIZE(high));
}

/* The last bytes of RAM, and then none. */
Test(memslots, guest_at_the_end_of_ram)
{
	const struct machine_config config = {
		.ram_size = 64 * MIB, .vcpus = 1, .slots = MACHINE_SLOTS_POPULATED};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &config, GUEST(holes));
	struct hole_request request = {.op = HOLE_STORE, .address = 64 * MIB - 8};
	struct clone *clone = life_clone_new();
	static const uint64_t outside[] = {64 * MIB, 64 * MIB - 4, GPA_LOW_RAM_MAX,
					   GPA_HIGH_RAM - 4096};

	life_ask(machine, 1, &request, sizeof(request), clone);
	for (size_t i = 0; i < ARRAY_SIZE(outside); i++) {
		request.address = outside[i];
		clone->request = &request;
		clone->answers = 0;
		life_run_forked(machine, 2, clone);
		cr_assert_eq(clone->end.reason, MACHINE_END_GUEST_ERROR, "%#llx: %s",
			     (unsigned long long)outside[i], clone->end.error.text);
		cr_assert_not_null(strstr(clone->end.error.text, "nothing is"), "%s",
				   clone->end.error.text);
		cr_assert_eq(clone->answers, 0);
	}
	life_clone_free(clone);
	machine_free(machine);
	kvm_host_close(host);
}

/* Where no RAM and no memslot is, code is as bad as data, and does not loop for ever. */
Test(memslots, guest_calls_nothing, .timeout = 60)
{
	const struct machine_config config = {
		.ram_size = 64 * MIB, .vcpus = 1, .slots = MACHINE_SLOTS_POPULATED};
	struct kvm_host *host = require_kvm();
	struct machine *machine = life_template_guest(host, &config, GUEST(holes));
	struct hole_request request = {.op = HOLE_CALL, .address = 0xd0000000};
	struct clone *clone = life_clone_new();

	clone->request = &request;
	clone->request_len = sizeof(request);
	life_run_forked(machine, 1, clone);
	cr_assert_eq(clone->end.reason, MACHINE_END_GUEST_ERROR, "%s", clone->end.error.text);
	life_clone_free(clone);
	machine_free(machine);
	kvm_host_close(host);
}

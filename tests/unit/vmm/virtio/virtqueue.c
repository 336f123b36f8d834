/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/virtio/virtqueue.c: chains, good and bad. Notifications are in notify.c. */
#include "vmm/virtio/virtqueue.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/vmm/virtio/driver.h"
#include "vmm/base/util.h"

#define SIZE  8u
#define NEXT  VRING_DESC_F_NEXT
#define WRITE VRING_DESC_F_WRITE
#define IND   VRING_DESC_F_INDIRECT
#define TABLE 0x41008ull /* of indirect descriptors: no better aligned than it must be */

static struct guest_ram ram;
static struct driver driver;
static struct virtqueue vq;
static struct error error;
static struct iovec iov[SIZE];
static struct virtqueue_chain chain;

static void set_up_with(uint64_t size, uint64_t features)
{
	cr_assert_eq(guest_ram_init(&ram, size, NULL, &error), 0, "%s", error.text);
	driver_init(&driver, &ram, SIZE);
	cr_assert_eq(virtqueue_enable(&vq, &ram, &driver.layout, 256, features, &error), 0, "%s",
		     error.text);
}

static void set_up(void)
{
	set_up_with(DRIVER_RAM_SIZE, INDIRECT);
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(virtqueue, .init = set_up, .fini = tear_down);

static void desc(uint32_t index, gpa_t addr, uint32_t len, int flags, int next)
{
	driver_desc(&driver, DRIVER_DESC, index, addr, len, flags, next);
}

static void indirect(uint32_t index, gpa_t addr, uint32_t len, int flags, int next)
{
	driver_desc(&driver, TABLE, index, addr, len, flags, next);
}

static int pop(void)
{
	error = (struct error){0};
	return virtqueue_pop(&vq, iov, ARRAY_SIZE(iov), &chain, &error);
}

/* The chain at head 0 is refused for a reason whose sentence has this in it. */
static void refused(const char *why)
{
	const struct virtqueue before = vq;

	driver_offer(&driver, 0);
	chain.head = 77;
	cr_assert_eq(pop(), -EPROTO);
	cr_assert_eq(error.code, EPROTO);
	cr_assert_not_null(strstr(error.text, why), "\"%s\" is not in \"%s\"", why, error.text);
	cr_assert_not_null(strstr(error.text, "chain "));
	cr_assert_eq(chain.head, 77);
	cr_assert_eq(vq.avail_next, before.avail_next);
	cr_assert_eq(memcmp(vq.busy, before.busy, sizeof(vq.busy)), 0);
}

Test(virtqueue, empty)
{
	cr_assert_eq(pop(), 0);
	cr_assert_eq(virtqueue_arm(&vq, &error), 0);
	cr_assert_not(virtqueue_flush(&vq));
}

Test(virtqueue, a_chain_of_both_kinds)
{
	desc(0, DRIVER_DATA, 16, NEXT, 5);
	desc(5, DRIVER_DATA + 100, 32, NEXT, 2);
	desc(2, DRIVER_DATA + 200, 512, NEXT | WRITE, 7);
	desc(7, DRIVER_DATA + 1000, 1, WRITE, 999);
	driver_offer(&driver, 0);
	cr_assert_eq(virtqueue_arm(&vq, &error), 1);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.head, 0);
	cr_assert_eq(chain.readable, 2);
	cr_assert_eq(chain.writable, 2);
	cr_assert_eq(chain.readable_bytes, 48);
	cr_assert_eq(chain.writable_bytes, 513);
	cr_assert_eq(iov[1].iov_base, guest_ram_at(&ram, DRIVER_DATA + 100, 32));
	cr_assert_eq(iov[1].iov_len, 32);
	cr_assert_eq(iov[3].iov_base, guest_ram_at(&ram, DRIVER_DATA + 1000, 1));
	cr_assert_eq(pop(), 0);
	virtqueue_put(&vq, 0, 513);
	cr_assert_eq(*driver_used_index(&driver), 0);
	cr_assert(virtqueue_flush(&vq));
	cr_assert_eq(*driver_used_index(&driver), 1);
	cr_assert_eq(driver_used(&driver, 0)->id, 0);
	cr_assert_eq(driver_used(&driver, 0)->len, 513);
	cr_assert_not(virtqueue_flush(&vq));
}

Test(virtqueue, as_long_as_the_queue)
{
	for (uint32_t i = 0; i < SIZE; i++)
		desc(i, DRIVER_DATA, 1, i < SIZE - 1 ? NEXT : 0, (int)i + 1);
	driver_offer(&driver, 0);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.readable, SIZE);
}

/* A thousand rounds: indices and slots wrap many times, order of completion is any. */
Test(virtqueue, goes_round)
{
	for (uint32_t round = 0; round < 20000; round++) {
		uint16_t first = (uint16_t)(round % SIZE), second = (uint16_t)((first + 3) % SIZE);
		uint16_t used = (uint16_t)(2 * round);

		driver_offer_writable(&driver, first, 64);
		driver_offer_writable(&driver, second, 64);
		cr_assert_eq(virtqueue_arm(&vq, &error), 2);
		cr_assert_eq(pop(), 1);
		cr_assert_eq(chain.head, first);
		cr_assert_eq(pop(), 1);
		cr_assert_eq(chain.head, second);
		virtqueue_put(&vq, second, round);
		virtqueue_put(&vq, first, 1);
		cr_assert(virtqueue_flush(&vq));
		cr_assert_eq(*driver_used_index(&driver), (uint16_t)(used + 2));
		cr_assert_eq(driver_used(&driver, used)->id, second);
		cr_assert_eq(driver_used(&driver, used)->len, round);
		cr_assert_eq(driver_used(&driver, (uint16_t)(used + 1))->id, first);
	}
}

Test(virtqueue, indirect_table)
{
	desc(0, DRIVER_DATA, 16, NEXT, 1);
	desc(1, TABLE, 48, IND | WRITE, 0);
	indirect(0, DRIVER_DATA + 16, 8, NEXT, 2);
	indirect(2, DRIVER_DATA + 32, 8, NEXT | WRITE, 1);
	indirect(1, DRIVER_DATA + 48, 8, WRITE, 0);
	driver_offer(&driver, 0);
	cr_assert_eq(pop(), 1, "%s", error.text);
	cr_assert_eq(chain.readable, 2);
	cr_assert_eq(chain.writable, 2);
	cr_assert_eq(chain.writable_bytes, 16);
}

/* The table itself does not count: its chain may be as long as the queue. */
Test(virtqueue, indirect_as_long_as_the_queue)
{
	desc(0, TABLE, 16 * (SIZE + 1), IND, 0);
	for (uint32_t i = 0; i < SIZE; i++)
		indirect(i, DRIVER_DATA, 1, i < SIZE - 1 ? NEXT : 0, (int)i + 1);
	driver_offer(&driver, 0);
	cr_assert_eq(pop(), 1);
	virtqueue_put(&vq, 0, 0);
	virtqueue_flush(&vq);
	indirect(SIZE - 1, DRIVER_DATA, 1, NEXT, SIZE);
	indirect(SIZE, DRIVER_DATA, 1, 0, 0);
	refused("loop");
}

Test(virtqueue, indirect_misuse)
{
	static const struct {
		const char *why;
		uint32_t len;
		int flags;
		gpa_t addr;
		int inner;
	} bad[] = {
		{"of 0 bytes", 0, IND, TABLE, 0},
		{"of 17 bytes", 17, IND, TABLE, 0},
		{"has a next", 16, IND | NEXT, TABLE, 0},
		{"not RAM", 32, IND, DRIVER_RAM_SIZE - 16, 0},
		{"not RAM", 0xfffffff0, IND, TABLE, 0},
		{"not RAM", 16, IND, UINT64_MAX - 15, 0},
		{"in an indirect table", 32, IND, TABLE, IND},
		{"descriptor 5 of a table of 2", 32, IND, TABLE, NEXT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		desc(0, bad[i].addr, bad[i].len, bad[i].flags, 1);
		indirect(0, DRIVER_DATA, 16, bad[i].inner, 5);
		refused(bad[i].why);
	}
}

Test(virtqueue, indirect_not_negotiated)
{
	vq.indirect = false;
	desc(0, TABLE, 16, IND, 0);
	indirect(0, DRIVER_DATA, 16, 0, 0);
	refused("not negotiated");
}

Test(virtqueue, loops)
{
	desc(0, DRIVER_DATA, 1, NEXT, 0);
	refused("loop");
	desc(0, DRIVER_DATA, 1, NEXT, 1);
	desc(1, DRIVER_DATA, 1, NEXT, 2);
	desc(2, DRIVER_DATA, 1, NEXT, 1);
	refused("loop");
	desc(0, TABLE, 32, IND, 0);
	indirect(0, DRIVER_DATA, 1, NEXT, 1);
	indirect(1, DRIVER_DATA, 1, NEXT, 0);
	refused("loop");
}

Test(virtqueue, indices_out_of_range)
{
	desc(0, DRIVER_DATA, 1, NEXT, SIZE);
	refused("descriptor 8 of a table of 8");
	desc(0, DRIVER_DATA, 1, NEXT, 0xffff);
	refused("descriptor 65535");
}

Test(virtqueue, heads_out_of_range)
{
	driver_offer(&driver, SIZE);
	cr_assert_eq(pop(), -EPROTO);
	cr_assert_str_eq(error.text, "chain 8: descriptor 8 of a table of 8");
}

Test(virtqueue, head_of_all_ones)
{
	driver_offer(&driver, 0xffff);
	cr_assert_eq(pop(), -EPROTO);
}

Test(virtqueue, addresses)
{
	static const struct {
		gpa_t addr;
		uint32_t len;
	} bad[] = {
		{DRIVER_RAM_SIZE, 1}, {DRIVER_RAM_SIZE - 1, 2},	    {DRIVER_DATA, UINT32_MAX},
		{UINT64_MAX, 1},      {UINT64_MAX - 0xfff, 0x1000}, {GPA_VIRTIO_MMIO, 4},
		{GPA_HIGH_RAM, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		desc(0, bad[i].addr, bad[i].len, WRITE, 0);
		refused("not RAM");
	}
	desc(0, DRIVER_RAM_SIZE - 1, 1, WRITE, 0);
	driver_offer(&driver, 0);
	cr_assert_eq(*driver_avail_index(&driver), ARRAY_SIZE(bad) + 1);
}

Test(virtqueue, no_bytes)
{
	desc(0, DRIVER_DATA, 0, WRITE, 0);
	refused("no bytes");
	desc(0, DRIVER_DATA, 4, NEXT, 1);
	desc(1, DRIVER_DATA, 0, 0, 0);
	refused("no bytes");
}

Test(virtqueue, readable_behind_writable)
{
	desc(0, DRIVER_DATA, 4, NEXT | WRITE, 1);
	desc(1, DRIVER_DATA, 4, 0, 0);
	refused("behind a writable");
}

Test(virtqueue, offered_twice)
{
	driver_offer_writable(&driver, 0, 16);
	cr_assert_eq(pop(), 1);
	refused("before it was used");
}

Test(virtqueue, more_than_the_caller_has_room_for)
{
	desc(0, DRIVER_DATA, 4, NEXT, 1);
	desc(1, DRIVER_DATA, 4, 0, 0);
	driver_offer(&driver, 0);
	cr_assert_eq(virtqueue_pop(&vq, iov, 1, &chain, &error), -EPROTO);
	cr_assert_eq(virtqueue_pop(&vq, iov, 2, &chain, &error), 1);
}

/* On both sides of the hole below 4 GiB, but not across it; and not 4 GiB in all. */
Test(virtqueue_large, regions_and_totals, .fini = tear_down)
{
	set_up_with(7 * GIB, INDIRECT);
	desc(0, GPA_LOW_RAM_MAX - 16, 16, NEXT, 1);
	desc(1, GPA_HIGH_RAM, 16, WRITE, 0);
	driver_offer(&driver, 0);
	cr_assert_eq(pop(), 1);
	virtqueue_put(&vq, 0, 0);
	virtqueue_flush(&vq);
	desc(0, GPA_LOW_RAM_MAX - 16, 17, 0, 0);
	refused("not RAM");
	desc(0, GPA_HIGH_RAM - 16, 32, 0, 0);
	refused("not RAM");
	desc(0, GPA_HIGH_RAM, 0x80000000, NEXT, 1);
	desc(1, GPA_HIGH_RAM, 0x80000000, WRITE, 0);
	refused("4 GiB");
	desc(1, GPA_HIGH_RAM, 0x7fffffff, WRITE, 0);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.readable_bytes, 0x80000000);
	cr_assert_eq(chain.writable_bytes, 0x7fffffff);
}

/* Everything is read when the chain is popped; later writes of the guest change nothing. */
Test(virtqueue, descriptors_are_copied)
{
	desc(0, DRIVER_DATA, 16, WRITE, 0);
	driver_offer(&driver, 0);
	cr_assert_eq(pop(), 1);
	memset(guest_ram_at(&ram, DRIVER_DESC, 16 * SIZE), 0xff, 16 * SIZE);
	memset(guest_ram_at(&ram, DRIVER_AVAIL, 4), 0xff, 2);
	cr_assert_eq(iov[0].iov_len, 16);
	virtqueue_put(&vq, chain.head, 16);
	virtqueue_flush(&vq);
	cr_assert_eq(driver_used(&driver, 0)->id, 0);
}

Test(virtqueue, layouts)
{
	const struct virtqueue_layout good = driver.layout;
	const struct {
		const char *why;
		struct virtqueue_layout layout;
	} bad[] = {
		{"queue size 0", {0, good.desc, good.avail, good.used}},
		{"queue size 7", {7, good.desc, good.avail, good.used}},
		{"queue size 512", {512, good.desc, good.avail, good.used}},
		{"queue size 65536", {65536, good.desc, good.avail, good.used}},
		{"descriptor table", {8, good.desc + 8, good.avail, good.used}},
		{"descriptor table", {8, DRIVER_RAM_SIZE - 112, good.avail, good.used}},
		{"descriptor table", {8, UINT64_MAX - 127, good.avail, good.used}},
		{"descriptor table", {8, GPA_VIRTIO_MMIO, good.avail, good.used}},
		{"available ring", {8, good.desc, good.avail + 1, good.used}},
		{"available ring", {8, good.desc, DRIVER_RAM_SIZE - 20, good.used}},
		{"available ring", {8, good.desc, UINT64_MAX - 1, good.used}},
		{"used ring", {8, good.desc, good.avail, good.used + 2}},
		{"used ring", {8, good.desc, good.avail, DRIVER_RAM_SIZE - 68}},
		{"used ring", {8, good.desc, good.avail, GPA_HIGH_RAM}},
	};
	const struct virtqueue_layout tight = {8, DRIVER_RAM_SIZE - 128, DRIVER_RAM_SIZE - 22,
					       DRIVER_RAM_SIZE - 72};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		error_clear(&error);
		cr_assert_eq(virtqueue_enable(&vq, &ram, &bad[i].layout, 256, 0, &error), -EPROTO);
		cr_assert_not_null(strstr(error.text, bad[i].why), "%s", error.text);
		cr_assert_not(vq.ready);
		cr_assert_eq(pop(), 0);
	}
	cr_assert_eq(virtqueue_enable(&vq, &ram, &tight, 256, 0, &error), 0, "%s", error.text);
}

Test(virtqueue, a_disabled_queue_does_nothing)
{
	driver_offer_writable(&driver, 0, 16);
	driver_offer_writable(&driver, 1, 16);
	cr_assert_eq(pop(), 1);
	virtqueue_disable(&vq);
	cr_assert_eq(pop(), 0);
	cr_assert_eq(virtqueue_arm(&vq, &error), 0);
	virtqueue_quiet(&vq);
	virtqueue_put(&vq, 0, 1);
	cr_assert_not(virtqueue_flush(&vq));
	cr_assert_eq(*driver_used_index(&driver), 0);
	cr_assert_eq(*driver_used_flags(&driver), 0);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/virtio/virtqueue.c: the driver's index, kicks and interrupts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/vmm/virtio/driver.h"
#include "vmm/base/util.h"
#include "vmm/virtio/virtqueue.h"

#define SIZE 8u

static struct guest_ram ram;
static struct driver driver;
static struct virtqueue vq;
static struct error error;
static struct iovec iov[SIZE];
static struct virtqueue_chain chain;

static void start(uint64_t features)
{
	driver_init(&driver, &ram, SIZE);
	cr_assert_eq(virtqueue_enable(&vq, &ram, &driver.layout, 256, features, &error), 0, "%s",
		     error.text);
}

static void set_up(void)
{
	cr_assert_eq(guest_ram_init(&ram, DRIVER_RAM_SIZE, NULL, &error), 0, "%s", error.text);
	start(EVENT_IDX);
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(notify, .init = set_up, .fini = tear_down);

static int pop(void)
{
	return virtqueue_pop(&vq, iov, ARRAY_SIZE(iov), &chain, &error);
}

/* Begin at this index, as after many rounds. */
static void begin_at(uint16_t index)
{
	vq.avail_seen = vq.avail_next = vq.used_next = vq.used_told = index;
	driver.avail = *driver_avail_index(&driver) = *driver_used_index(&driver) = index;
}

/* Use count chains in one batch. Returns whether the driver is interrupted. */
static bool use(unsigned int count)
{
	uint16_t heads[SIZE];

	for (uint16_t i = 0; i < count; i++)
		driver_offer_writable(&driver, i, 16);
	for (unsigned int i = 0; i < count; i++) {
		cr_assert_eq(pop(), 1, "%s", error.text);
		heads[i] = chain.head;
	}
	for (unsigned int i = 0; i < count; i++)
		virtqueue_put(&vq, heads[i], 16);
	return virtqueue_flush(&vq);
}

Test(notify, index_too_far)
{
	*driver_avail_index(&driver) = SIZE + 1;
	cr_assert_eq(pop(), -EPROTO);
	cr_assert_not_null(strstr(error.text, "available index went from 0 to 9"), "%s",
			   error.text);
	cr_assert_eq(virtqueue_arm(&vq, &error), -EPROTO);
	*driver_avail_index(&driver) = 0xffff;
	cr_assert_eq(pop(), -EPROTO);
	*driver_avail_index(&driver) = SIZE;
	cr_assert_eq(virtqueue_arm(&vq, &error), SIZE);
}

/* What was popped and not given back counts: a device never holds more than size chains. */
Test(notify, index_too_far_with_chains_in_flight)
{
	for (uint16_t i = 0; i < SIZE; i++)
		driver_offer_writable(&driver, i, 16);
	for (uint16_t i = 0; i < SIZE; i++)
		cr_assert_eq(pop(), 1);
	cr_assert_eq(pop(), 0);
	driver_offer(&driver, 0);
	cr_assert_eq(pop(), -EPROTO);
	/* Written to the used ring, but not told. */
	virtqueue_put(&vq, 0, 0);
	cr_assert_eq(pop(), -EPROTO);
	virtqueue_flush(&vq);
	cr_assert_eq(pop(), 1);
	cr_assert_eq(chain.head, 0);
}

Test(notify, index_goes_back)
{
	use(5);
	driver_offer_writable(&driver, 0, 16);
	driver_offer_writable(&driver, 1, 16);
	cr_assert_eq(virtqueue_arm(&vq, &error), 2);
	*driver_avail_index(&driver) = 6;
	cr_assert_eq(virtqueue_arm(&vq, &error), -EPROTO);
	*driver_avail_index(&driver) = 7;
	cr_assert_eq(virtqueue_arm(&vq, &error), 2);
	*driver_avail_index(&driver) = 4;
	cr_assert_eq(virtqueue_arm(&vq, &error), -EPROTO);
}

Test(notify, interrupts_by_flags)
{
	start(0);
	*driver_used_event(&driver) = 1234; /* not negotiated, not looked at */
	cr_assert(use(1));
	cr_assert(use(SIZE));
	*driver_avail_flags(&driver) = VRING_AVAIL_F_NO_INTERRUPT;
	cr_assert_not(use(3));
	*driver_avail_flags(&driver) = 0;
	cr_assert(use(1));
}

Test(notify, kicks_by_flags)
{
	start(0);
	virtqueue_quiet(&vq);
	cr_assert_eq(*driver_used_flags(&driver), VRING_USED_F_NO_NOTIFY);
	driver_offer_writable(&driver, 0, 16);
	cr_assert_eq(virtqueue_arm(&vq, &error), 1);
	cr_assert_eq(*driver_used_flags(&driver), 0);
	cr_assert_eq(*driver_avail_event(&driver), 0);
}

Test(notify, kicks_by_event_index)
{
	cr_assert_eq(virtqueue_arm(&vq, &error), 0);
	cr_assert_eq(*driver_avail_event(&driver), 0);
	driver_offer_writable(&driver, 0, 16);
	driver_offer_writable(&driver, 1, 16);
	cr_assert_eq(virtqueue_arm(&vq, &error), 2);
	cr_assert_eq(*driver_avail_event(&driver), 2);
	virtqueue_quiet(&vq);
	cr_assert_eq(*driver_used_flags(&driver), 0);
	cr_assert_eq(*driver_avail_event(&driver), 2);
}

/* Interrupted when, and only when, the element it waits for is in the batch. */
Test(notify, interrupts_by_event_index)
{
	*driver_avail_flags(&driver) = VRING_AVAIL_F_NO_INTERRUPT; /* not looked at */
	*driver_used_event(&driver) = 0;
	cr_assert(use(1)); /* element 0 */
	cr_assert_not(use(1));
	*driver_used_event(&driver) = 4;
	cr_assert_not(use(2)); /* 2, 3 */
	cr_assert(use(1));     /* 4 */
	*driver_used_event(&driver) = 8;
	cr_assert(use(4)); /* 5 to 8 */
	*driver_used_event(&driver) = 9;
	cr_assert(use(4)); /* 9 to 12 */
	cr_assert_not(use(4));
	*driver_used_event(&driver) = 16; /* long past */
	cr_assert_not(use(4));
}

/* Every position of a batch and of an event around the wrap, against a plain count. */
Test(notify, event_index_wraps)
{
	for (uint32_t first = 65536 - 2 * SIZE; first < 65536 + SIZE; first++) {
		for (uint32_t event = 65536 - 3 * SIZE; event < 65536 + 3 * SIZE; event++) {
			for (uint32_t count = 1; count <= SIZE; count++) {
				begin_at((uint16_t)first);
				*driver_used_event(&driver) = (uint16_t)event;
				cr_assert_eq(use(count), event >= first && event < first + count,
					     "%u at %u, event %u", count, first, event);
				cr_assert_eq(*driver_used_index(&driver),
					     (uint16_t)(first + count));
			}
		}
	}
}

Test(notify, avail_event_wraps)
{
	begin_at(0xfffe);
	for (uint16_t i = 0; i < 4; i++)
		driver_offer_writable(&driver, i, 16);
	cr_assert_eq(virtqueue_arm(&vq, &error), 4);
	cr_assert_eq(*driver_avail_event(&driver), 2);
	for (uint16_t i = 0; i < 4; i++) {
		cr_assert_eq(pop(), 1);
		cr_assert_eq(chain.head, i);
	}
}

/*
 * Two sides at work at the same time that sleep whenever the rules say they may. The device does
 * what arming tells it to and then waits for a kick, the driver waits for room: if a notification
 * is lost, both sleep for good.
 */
#define ROUNDS 500000u

struct bell {
	pthread_mutex_t lock;
	pthread_cond_t rung;
	unsigned int count;
};

static struct bell kick = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
static struct bell irq = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void ring(struct bell *bell)
{
	pthread_mutex_lock(&bell->lock);
	bell->count++;
	pthread_cond_signal(&bell->rung);
	pthread_mutex_unlock(&bell->lock);
}

static void wait_for(struct bell *bell)
{
	pthread_mutex_lock(&bell->lock);
	while (bell->count == 0)
		pthread_cond_wait(&bell->rung, &bell->lock);
	bell->count = 0;
	pthread_mutex_unlock(&bell->lock);
}

static uint16_t used_index(void)
{
	return __atomic_load_n(driver_used_index(&driver), __ATOMIC_ACQUIRE);
}

/* Sleep until there are no more than so many chains with the device. */
static void wait_for_room(uint16_t outstanding)
{
	for (;;) {
		uint16_t used = used_index();

		if ((uint16_t)(driver.avail - used) <= outstanding)
			return;
		__atomic_store_n(driver_used_event(&driver), used, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (used_index() == used)
			wait_for(&irq);
	}
}

/* The driver's thread. The device gives back in order, so heads can go round. */
static void *drive(void *unused)
{
	(void)unused;
	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint16_t old = driver.avail, event;

		wait_for_room(SIZE - 1);
		driver_offer_writable(&driver, old % SIZE, 16);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		event = __atomic_load_n(driver_avail_event(&driver), __ATOMIC_RELAXED);
		if (event == old)
			ring(&kick);
	}
	wait_for_room(0);
	return NULL;
}

Test(notify, nothing_is_lost, .timeout = 60)
{
	uint32_t done = 0;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, drive, NULL), 0);
	while (done < ROUNDS) {
		int left;

		wait_for(&kick);
		left = virtqueue_arm(&vq, &error);
		cr_assert_geq(left, 0, "%s", error.text);
		for (; left > 0; left--, done++) {
			cr_assert_eq(pop(), 1, "%s", error.text);
			virtqueue_put(&vq, chain.head, 16);
			if (left % 3 == 0 && virtqueue_flush(&vq))
				ring(&irq);
		}
		if (virtqueue_flush(&vq))
			ring(&irq);
	}
	pthread_join(thread, NULL);
}

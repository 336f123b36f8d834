/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/io/portbus.c. */
#include "vmm/io/portbus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

struct recorder {
	int result;
	unsigned int calls;
	struct port_access last;
};

static int record(void *device, const struct port_access *access, struct error *error)
{
	struct recorder *recorder = device;

	recorder->calls++;
	recorder->last = *access;
	if (recorder->result < 0)
		return error_set(error, -recorder->result, "refused");
	return recorder->result;
}

static struct port_access out(uint16_t port, uint8_t *data)
{
	return (struct port_access){
		.port = port, .size = 1, .is_out = true, .count = 1, .data = data};
}

Test(portbus, goes_to_the_device_whose_range_it_is)
{
	struct recorder a = {0}, b = {.result = PORT_STOP};
	struct portbus bus = {0};
	uint8_t data[1] = {7};
	struct port_access access;

	portbus_add(&bus, 0x100, 4, record, &a);
	portbus_add(&bus, 0x104, 1, record, &b);
	access = out(0x100, data);
	cr_assert_eq(portbus_access(&bus, &access, NULL), PORT_CONTINUE);
	access = out(0x103, data);
	cr_assert_eq(portbus_access(&bus, &access, NULL), PORT_CONTINUE);
	cr_assert_eq(a.calls, 2);
	cr_assert_eq(a.last.port, 0x103);
	cr_assert_eq(a.last.data, data);
	cr_assert_eq(b.calls, 0);
	access = out(0x104, data);
	cr_assert_eq(portbus_access(&bus, &access, NULL), PORT_STOP);
	cr_assert_eq(b.calls, 1);
	access = out(0x105, data);
	cr_assert_eq(portbus_access(&bus, &access, NULL), PORT_CONTINUE);
	access = out(0xff, data);
	cr_assert_eq(portbus_access(&bus, &access, NULL), PORT_CONTINUE);
	cr_assert_eq(a.calls + b.calls, 3);
}

Test(portbus, a_refusal_is_passed_on_with_its_words)
{
	struct recorder recorder = {.result = -EPROTO};
	struct portbus bus = {0};
	struct error error = {0};
	uint8_t data[1] = {0};
	struct port_access access = out(0xffff, data);

	portbus_add(&bus, 0xffff, 1, record, &recorder);
	cr_assert_eq(portbus_access(&bus, &access, &error), -EPROTO);
	cr_assert_str_eq(error.text, "refused");
}

Test(portbus, nobody_there_reads_all_ones)
{
	struct portbus bus = {0};
	uint8_t data[16];
	struct port_access access = {.port = 0x80, .size = 4, .count = 3, .data = data};

	memset(data, 0x11, sizeof(data));
	cr_assert_eq(portbus_access(&bus, &access, NULL), PORT_CONTINUE);
	for (size_t i = 0; i < sizeof(data); i++)
		cr_assert_eq(data[i], i < 12 ? 0xff : 0x11);
}

Test(portbus, an_out_to_nobody_changes_nothing)
{
	struct portbus bus = {0};
	uint8_t data[1] = {5};
	struct port_access access = out(0x80, data);

	cr_assert_eq(portbus_access(&bus, &access, NULL), PORT_CONTINUE);
	cr_assert_eq(data[0], 5);
}

Test(portbus, holds_as_many_as_it_says)
{
	struct recorder recorder = {0};
	struct portbus bus = {0};
	uint8_t data[1] = {0};

	for (uint16_t i = 0; i < PORTBUS_RANGES_MAX; i++)
		portbus_add(&bus, (uint16_t)(i * 8), 8, record, &recorder);
	for (uint16_t i = 0; i < PORTBUS_RANGES_MAX * 8; i++) {
		struct port_access access = out(i, data);

		portbus_access(&bus, &access, NULL);
	}
	cr_assert_eq(recorder.calls, PORTBUS_RANGES_MAX * 8);
}

Test(portbus, overlap_is_our_own_mistake, .signal = SIGABRT)
{
	struct portbus bus = {0};

	portbus_add(&bus, 0x100, 4, record, NULL);
	portbus_add(&bus, 0x103, 1, record, NULL);
}

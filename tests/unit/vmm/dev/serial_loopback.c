/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/serial.c: the modem's lines, and what goes round in loopback. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/vmm/dev/serial_bench.h"

#define FIFOS_ON (FCR_ENABLE | FCR_CLEAR_RX | FCR_CLEAR_TX)
#define IDLE	 (LSR_THRE | LSR_TEMT)

static struct bench bench;

static void set_up(void)
{
	bench_init(&bench);
}

TestSuite(serial_loopback, .init = set_up);

static void outb(uint16_t reg, uint8_t value)
{
	bench_out(&bench, reg, value);
}

static uint8_t inb(uint16_t reg)
{
	return bench_in(&bench, reg);
}

Test(serial_loopback, joins_outputs_and_inputs)
{
	static const struct {
		uint8_t mcr, msr;
	} wires[] = {
		{0, 0},
		{MCR_RTS, MSR_CTS},
		{MCR_DTR, MSR_DSR},
		{MCR_OUT1, MSR_RI},
		{MCR_OUT2, MSR_DCD},
		{MCR_DTR | MCR_RTS | MCR_OUT1 | MCR_OUT2, 0xf0},
	};

	for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
		outb(REG_MCR, MCR_LOOP | wires[i].mcr);
		cr_assert_eq(inb(REG_MSR) & 0xf0, wires[i].msr);
	}
	outb(REG_MCR, 0x0f);
	cr_assert_eq(inb(REG_MSR) & 0xf0, MSR_CONNECTED);
}

Test(serial_loopback, modem_deltas)
{
	outb(REG_MCR, MCR_LOOP);
	cr_assert_eq(inb(REG_MSR), MSR_DELTA_CTS | MSR_DELTA_DSR | MSR_DELTA_DCD);
	cr_assert_eq(inb(REG_MSR), 0);
	outb(REG_MCR, MCR_LOOP | MCR_OUT1);
	cr_assert_eq(inb(REG_MSR), MSR_RI); /* the bell's beginning is no delta, ... */
	outb(REG_MCR, MCR_LOOP);
	cr_assert_eq(inb(REG_MSR), MSR_RI_ENDED); /* ... its end is */
	outb(REG_MCR, MCR_LOOP | MCR_RTS);
	outb(REG_MCR, MCR_LOOP);
	outb(REG_MCR, MCR_LOOP | MCR_DTR);
	/* CTS is as it was, and yet it has changed. */
	cr_assert_eq(inb(REG_MSR), MSR_DSR | MSR_DELTA_CTS | MSR_DELTA_DSR);
}

Test(serial_loopback, of_data)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_MCR, MCR_LOOP);
	cr_assert_eq(serial_input_space(&bench.serial), 0);
	cr_assert_eq(serial_input(&bench.serial, (const uint8_t *)"x", 1), 0);
	bench_print(&bench, "abc");
	bench_expect_output(&bench, "");
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY);
	cr_assert_eq(inb(REG_DATA), 'a');
	cr_assert_eq(inb(REG_DATA), 'b');
	bench.drained = 0;
	outb(REG_MCR, 0);
	cr_assert_eq(bench.drained, 1);
	cr_assert_eq(serial_input_space(&bench.serial), 15);
	cr_assert_eq(inb(REG_DATA), 'c');
}

Test(serial_loopback, overruns)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_MCR, MCR_LOOP);
	bench_print(&bench, "0123456789abcdef");
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY);
	outb(REG_DATA, 'g');
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY | LSR_OVERRUN);
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY); /* reading it clears it */
	for (const char *at = "0123456789abcdef"; *at; at++)
		cr_assert_eq(inb(REG_DATA), *at);
	/* Without FIFOs, the last one is there. */
	outb(REG_IIR_FCR, 0);
	bench_print(&bench, "xyz");
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY | LSR_OVERRUN);
	cr_assert_eq(inb(REG_DATA), 'z');
	cr_assert_eq(inb(REG_LSR), IDLE);
}

/* What waited for the backend is transmitted, and so received. */
Test(serial_loopback, into_loopback_with_bytes_waiting)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	bench.room = 0;
	bench_print(&bench, "ab");
	outb(REG_MCR, MCR_LOOP);
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY);
	cr_assert_eq(inb(REG_DATA), 'a');
	cr_assert_eq(inb(REG_DATA), 'b');
	outb(REG_DATA, 'c');
	cr_assert_eq(inb(REG_DATA), 'c');
	/* The backend's own state is as it was. */
	outb(REG_MCR, 0);
	outb(REG_DATA, 'd');
	cr_assert_eq(inb(REG_LSR), 0);
	bench.room = SIZE_MAX;
	serial_output_ready(&bench.serial);
	bench_expect_output(&bench, "d");
}

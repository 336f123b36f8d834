/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/serial.c: when there is an edge, and what IIR says. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/vmm/dev/serial_bench.h"

#define FIFOS_ON       (FCR_ENABLE | FCR_CLEAR_RX | FCR_CLEAR_TX)
#define TRIGGER(level) ((unsigned int)(level) << FCR_TRIGGER_SHIFT)
#define IDLE	       (LSR_THRE | LSR_TEMT)

static struct bench bench;

static void set_up(void)
{
	bench_init(&bench);
}

TestSuite(serial_irq, .init = set_up);

static void outb(uint16_t reg, uint8_t value)
{
	bench_out(&bench, reg, value);
}

static uint8_t inb(uint16_t reg)
{
	return bench_in(&bench, reg);
}

/* What IIR says, without the FIFOs' bits. */
static uint8_t iir(void)
{
	return inb(REG_IIR_FCR) & 0x0f;
}

static unsigned int edges(void)
{
	return bench_edges(&bench);
}

Test(serial_irq, nothing_enabled_is_nothing_raised)
{
	outb(REG_MCR, MCR_LOOP);
	bench_print(&bench, "ab"); /* overrun, data, empty, modem lines: all there is */
	cr_assert_eq(iir(), IIR_NONE);
	cr_assert_eq(edges(), 0);
}

Test(serial_irq, enabling_thre_raises_it_each_time)
{
	for (int i = 0; i < 3; i++) {
		outb(REG_IER, SOURCE_TX);
		cr_assert_eq(edges(), 1);
		cr_assert_eq(iir(), IIR_TX);
		cr_assert_eq(iir(), IIR_NONE);
		outb(REG_IER, SOURCE_TX | SOURCE_RX); /* was enabled: nothing new */
		cr_assert_eq(iir(), IIR_NONE);
		outb(REG_IER, 0);
		cr_assert_eq(edges(), 0);
	}
}

Test(serial_irq, each_byte_sent_is_an_edge)
{
	outb(REG_IER, SOURCE_TX);
	cr_assert_eq(edges(), 1);
	outb(REG_DATA, 'a'); /* without having looked at IIR */
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_TX);
	outb(REG_DATA, 'b');
	cr_assert_eq(edges(), 1);
	bench_print(&bench, "a string is one event");
	cr_assert_eq(edges(), 1);
}

Test(serial_irq, a_polling_writer_has_none)
{
	outb(REG_IER, SOURCE_RX | SOURCE_LINE | SOURCE_MODEM);
	bench_print(&bench, "text");
	outb(REG_DATA, 'a');
	cr_assert_eq(edges(), 0);
	bench_type(&bench, "x");
	cr_assert_eq(edges(), 1);
	outb(REG_DATA, 'a'); /* and does not repeat what others were told */
	cr_assert_eq(edges(), 0);
}

Test(serial_irq, thre_waits_for_a_blocked_backend)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_IER, SOURCE_TX);
	edges();
	bench.room = 1;
	bench_print(&bench, "abc");
	cr_assert_eq(edges(), 0);
	cr_assert_eq(iir(), IIR_NONE);
	outb(REG_IER, 0);
	outb(REG_IER, SOURCE_TX); /* not empty: nothing to tell */
	cr_assert_eq(edges(), 0);
	cr_assert_eq(iir(), IIR_NONE);
	bench.room = 1;
	serial_output_ready(&bench.serial);
	cr_assert_eq(edges(), 0);
	bench.room = 1;
	serial_output_ready(&bench.serial);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_TX);
	serial_output_ready(&bench.serial);
	cr_assert_eq(edges(), 0);
}

Test(serial_irq, clearing_the_transmitter_empties_it)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_IER, SOURCE_TX);
	bench.room = 0;
	bench_print(&bench, "abc");
	cr_assert_eq(iir(), IIR_NONE);
	edges();
	outb(REG_IIR_FCR, FCR_ENABLE | FCR_CLEAR_TX);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_TX);
}

/* 8.11: the first one after changing FCR's bit 0 is immediate. */
Test(serial_irq, switching_fifos_on_tells_of_an_empty_transmitter)
{
	outb(REG_IER, SOURCE_TX);
	cr_assert_eq(iir(), IIR_TX);
	edges();
	outb(REG_IIR_FCR, FCR_ENABLE);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_TX);
	outb(REG_IIR_FCR, FCR_ENABLE);
	cr_assert_eq(edges(), 0);
}

Test(serial_irq, input_before_and_after_it_is_enabled)
{
	bench_type(&bench, "a");
	cr_assert_eq(edges(), 0);
	outb(REG_IER, SOURCE_RX);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_RX);
	cr_assert_eq(iir(), IIR_RX); /* looking does not serve it */
	cr_assert_eq(edges(), 0);
	cr_assert_eq(inb(REG_DATA), 'a');
	cr_assert_eq(iir(), IIR_NONE);
	cr_assert_eq(edges(), 0);
	bench_type(&bench, "b");
	cr_assert_eq(edges(), 1);
}

Test(serial_irq, trigger_levels)
{
	static const size_t levels[] = {1, 4, 8, 14};

	for (uint8_t i = 0; i < 4; i++) {
		bench_init(&bench);
		outb(REG_IIR_FCR, (uint8_t)(FIFOS_ON | TRIGGER(i)));
		outb(REG_IER, SOURCE_RX);
		for (size_t n = 1; n <= 16; n++) {
			bench_type(&bench, "x");
			cr_assert_eq(iir(), n < levels[i] ? IIR_TIMEOUT : IIR_RX, "%zu of %zu", n,
				     levels[i]);
		}
		cr_assert_eq(edges(), 1);
		for (size_t n = 15; n > 0; n--) {
			inb(REG_DATA);
			cr_assert_eq(iir(), n < levels[i] ? IIR_TIMEOUT : IIR_RX);
		}
		inb(REG_DATA);
		cr_assert_eq(iir(), IIR_NONE);
	}
}

/* A guest that reads one byte an interrupt, whatever else there is, gets all of them. */
Test(serial_irq, one_byte_an_interrupt)
{
	const char *text = "more than sixteen bytes of input";
	size_t got = 0;

	bench.keep = text;
	outb(REG_IIR_FCR, FIFOS_ON | TRIGGER(2));
	outb(REG_IER, SOURCE_RX);
	while (edges())
		cr_assert_eq(inb(REG_DATA), text[got++]);
	cr_assert_eq(got, strlen(text));
}

/* 8.6, table IV: all four at once; each is told, served, and followed by an edge for the next. */
Test(serial_irq, priorities)
{
	outb(REG_MCR, MCR_LOOP);
	inb(REG_MSR);
	outb(REG_IER, IER_BITS);
	cr_assert_eq(iir(), IIR_TX);
	edges();
	outb(REG_MCR, MCR_LOOP | MCR_RTS);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_MODEM);
	bench_print(&bench, "ab"); /* without FIFOs: an overrun */
	cr_assert_eq(edges(), 1);

	cr_assert_eq(iir(), IIR_LINE);
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY | LSR_OVERRUN);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_RX);
	cr_assert_eq(edges(), 0); /* IIR did not name the transmitter: not served */
	cr_assert_eq(inb(REG_DATA), 'b');
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_TX);
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_MODEM);
	cr_assert_eq(inb(REG_MSR), MSR_CTS | MSR_DELTA_CTS);
	cr_assert_eq(edges(), 0);
	cr_assert_eq(iir(), IIR_NONE);
}

/* Served out of their order, too, they are followed by an edge for what remains. */
Test(serial_irq, against_priorities)
{
	outb(REG_MCR, MCR_LOOP);
	bench_print(&bench, "a");
	outb(REG_IER, SOURCE_RX | SOURCE_TX | SOURCE_MODEM);
	cr_assert_eq(edges(), 1);
	inb(REG_MSR);
	cr_assert_eq(edges(), 1);
	bench.room = 0;
	outb(REG_MCR, 0);
	inb(REG_MSR);
	edges();
	outb(REG_DATA, 'b'); /* serves the transmitter, and fills it */
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_RX);
	outb(REG_IER, SOURCE_RX);
	outb(REG_MCR, MCR_LOOP);
	outb(REG_IER, SOURCE_RX | SOURCE_MODEM);
	edges();
	outb(REG_IIR_FCR, FCR_ENABLE); /* serves the receiver: its byte is gone */
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_MODEM);
}

Test(serial_irq, reading_what_does_not_ask_serves_nothing)
{
	outb(REG_IER, SOURCE_RX | SOURCE_LINE);
	bench_type(&bench, "a");
	cr_assert_eq(edges(), 1);
	inb(REG_LSR);
	inb(REG_MSR);
	inb(REG_SCR);
	cr_assert_eq(edges(), 0);
}

Test(serial_irq, input_while_thre_asks)
{
	outb(REG_IER, SOURCE_TX | SOURCE_RX);
	cr_assert_eq(edges(), 1);
	bench_type(&bench, "x");
	cr_assert_eq(edges(), 1); /* newly asking */
	cr_assert_eq(iir(), IIR_RX);
	cr_assert_eq(inb(REG_DATA), 'x');
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_TX);
	cr_assert_eq(edges(), 0);
}

Test(serial_irq, disabling_is_no_edge)
{
	outb(REG_IER, SOURCE_TX | SOURCE_RX);
	bench_type(&bench, "x");
	edges();
	outb(REG_IER, SOURCE_RX);
	cr_assert_eq(edges(), 0); /* was told of already */
	outb(REG_IER, 0);
	cr_assert_eq(edges(), 0);
	outb(REG_IER, SOURCE_RX);
	cr_assert_eq(edges(), 1);
}

Test(serial_irq, out2_does_not_matter)
{
	outb(REG_IER, SOURCE_RX);
	outb(REG_MCR, MCR_OUT2);
	bench_type(&bench, "x");
	cr_assert_eq(edges(), 1);
	inb(REG_DATA);
	outb(REG_MCR, 0);
	bench_type(&bench, "x");
	cr_assert_eq(edges(), 1);
}

Test(serial_irq, rebind_raises_what_asks)
{
	struct serial_backend backend = bench_backend(&bench);

	serial_rebind(&bench.serial, &backend);
	cr_assert_eq(edges(), 0);
	outb(REG_IER, SOURCE_RX);
	bench_type(&bench, "x");
	cr_assert_eq(edges(), 1);
	serial_rebind(&bench.serial, &backend);
	cr_assert_eq(edges(), 1);
	inb(REG_DATA);
	serial_rebind(&bench.serial, &backend);
	cr_assert_eq(edges(), 0);
}

/* Frozen amid a transmission: the clone's guest is told when its bytes have gone. */
Test(serial_irq, rebind_finishes_a_transmission)
{
	struct serial_backend backend = bench_backend(&bench);

	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_IER, SOURCE_TX);
	bench.room = 0;
	bench_print(&bench, "abc");
	edges();
	bench.room = SIZE_MAX;
	serial_rebind(&bench.serial, &backend);
	bench_expect_output(&bench, "abc");
	cr_assert_eq(edges(), 1);
	cr_assert_eq(iir(), IIR_TX);
}

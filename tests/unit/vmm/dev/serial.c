/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of vmm/dev/serial.c: registers, data and the backend. Loopback, interrupts and Linux's
 * driver have files of their own.
 */
#include "vmm/dev/serial.h"

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

TestSuite(serial, .init = set_up);

static void outb(uint16_t reg, uint8_t value)
{
	bench_out(&bench, reg, value);
}

static uint8_t inb(uint16_t reg)
{
	return bench_in(&bench, reg);
}

Test(serial, registers_after_a_reset)
{
	cr_assert_eq(inb(REG_IER), 0);
	cr_assert_eq(inb(REG_IIR_FCR), IIR_NONE);
	cr_assert_eq(inb(REG_LCR), 0);
	cr_assert_eq(inb(REG_MCR), 0);
	cr_assert_eq(inb(REG_LSR), IDLE);
	cr_assert_eq(inb(REG_MSR), MSR_CONNECTED);
	cr_assert_eq(inb(REG_SCR), 0);
	cr_assert_eq(inb(REG_DATA), 0);
	cr_assert_eq(bench_edges(&bench), 0);
}

Test(serial, registers_keep_what_they_have_bits_for)
{
	outb(REG_IER, 0xff);
	cr_assert_eq(inb(REG_IER), 0x0f);
	outb(REG_LCR, 0x7f);
	cr_assert_eq(inb(REG_LCR), 0x7f);
	outb(REG_MCR, 0xff);
	cr_assert_eq(inb(REG_MCR), 0x1f);
	outb(REG_SCR, 0xa5);
	cr_assert_eq(inb(REG_SCR), 0xa5);
	outb(REG_LSR, 0xff); /* the chip's factory test; not here */
	cr_assert_eq(inb(REG_LSR), IDLE);
	outb(REG_MCR, 0);
	inb(REG_MSR);
	outb(REG_MSR, 0xff);
	cr_assert_eq(inb(REG_MSR), MSR_CONNECTED);
}

Test(serial, the_divisor_hides_data_and_ier)
{
	outb(REG_IER, SOURCE_LINE);
	bench_type(&bench, "x");
	outb(REG_LCR, LCR_DLAB | 3);
	cr_assert_eq(inb(REG_DATA), 1); /* 115200 baud */
	cr_assert_eq(inb(REG_IER), 0);
	outb(REG_DATA, 0x80);
	outb(REG_IER, 0x25);
	cr_assert_eq(inb(REG_DATA), 0x80);
	cr_assert_eq(inb(REG_IER), 0x25);
	bench_expect_output(&bench, "");
	outb(REG_LCR, 3);
	cr_assert_eq(inb(REG_IER), SOURCE_LINE);
	cr_assert_eq(inb(REG_DATA), 'x');
}

/* FCR stands at its place with DLAB, too; without its bit 0 it has no other bits. */
Test(serial, fifo_control)
{
	outb(REG_IIR_FCR, FCR_ENABLE);
	cr_assert_eq(inb(REG_IIR_FCR), IIR_FIFOS | IIR_NONE);
	bench_type(&bench, "ab");
	outb(REG_IIR_FCR, 0xc0 | FCR_ENABLE); /* stays on: keeps its bytes */
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY);
	outb(REG_IIR_FCR, FCR_ENABLE | FCR_CLEAR_TX);
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY);
	outb(REG_IIR_FCR, FCR_ENABLE | FCR_CLEAR_RX);
	cr_assert_eq(inb(REG_LSR), IDLE);
	bench_type(&bench, "ab");
	outb(REG_LCR, 0xbf);
	outb(REG_IIR_FCR, 0xfe);
	cr_assert_eq(inb(REG_IIR_FCR), IIR_NONE);
	cr_assert_eq(inb(REG_LSR), IDLE);
	bench_type(&bench, "a");
	outb(REG_IIR_FCR, FCR_CLEAR_RX);
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY);
}

Test(serial, output_goes_through_at_once)
{
	outb(REG_DATA, 'h');
	bench_expect_output(&bench, "h");
	cr_assert_eq(inb(REG_LSR), IDLE);
	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_DATA, 'i');
	bench_expect_output(&bench, "i");
	cr_assert_eq(inb(REG_LSR), IDLE);
}

Test(serial, a_string_is_one_write)
{
	const char *text = "a string of more bytes than a FIFO has places";

	bench_print(&bench, text);
	cr_assert_eq(bench.writes, 1);
	bench_expect_output(&bench, text);
	cr_assert_eq(bench.serial.tx_lost, 0);
}

Test(serial, a_backend_that_takes_little_is_asked_again)
{
	bench.at_most = 4;
	bench_print(&bench, "0123456789");
	cr_assert_eq(bench.writes, 3);
	bench_expect_output(&bench, "0123456789");
}

Test(serial, a_string_of_nothing)
{
	outb(REG_IER, SOURCE_TX);
	inb(REG_IIR_FCR);
	bench_edges(&bench);
	bench_access(&bench, REG_DATA, 1, true, 0, NULL);
	bench_access(&bench, REG_DATA, 1, false, 0, NULL);
	cr_assert_eq(bench.writes, 0);
	cr_assert_eq(bench_edges(&bench), 0);
}

Test(serial, a_string_to_the_divisor)
{
	outb(REG_LCR, LCR_DLAB);
	bench_print(&bench, "abc");
	bench_expect_output(&bench, "");
	cr_assert_eq(inb(REG_DATA), 'c');
}

Test(serial, without_a_backend_output_is_dropped)
{
	serial_init(&bench.serial, NULL);
	bench_print(&bench, "nobody reads that, and nobody waits for them to");
	cr_assert_eq(inb(REG_LSR), IDLE);
	bench_type(&bench, "x");
	cr_assert_eq(inb(REG_DATA), 'x');
	cr_assert_eq(bench.serial.tx_lost, 0);
}

Test(serial, a_blocked_backend_fills_the_fifo)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	bench.room = 2;
	bench_print(&bench, "abcd");
	bench_expect_output(&bench, "ab");
	cr_assert_eq(inb(REG_LSR), 0);
	cr_assert_eq(bench.writes, 2); /* two bytes, then a refusal */

	/* Nobody is asked again; 14 more fit. */
	bench_print(&bench, "0123456789abcdEFG");
	cr_assert_eq(bench.writes, 2);
	cr_assert_eq(bench.serial.tx_lost, 3);
	outb(REG_DATA, 'H');
	cr_assert_eq(bench.serial.tx_lost, 4);
	cr_assert_eq(inb(REG_LSR), 0);

	bench.room = 3;
	serial_output_ready(&bench.serial);
	bench_expect_output(&bench, "cd0");
	cr_assert_eq(inb(REG_LSR), 0); /* empty is what THRE says, not: room for one */
	bench.room = SIZE_MAX;
	serial_output_ready(&bench.serial);
	bench_expect_output(&bench, "123456789abcd");
	cr_assert_eq(inb(REG_LSR), IDLE);
	bench_print(&bench, "on");
	bench_expect_output(&bench, "on");
}

Test(serial, a_blocked_backend_without_fifos)
{
	bench.room = 0;
	outb(REG_DATA, 'a');
	cr_assert_eq(inb(REG_LSR), 0);
	outb(REG_DATA, 'b');
	cr_assert_eq(bench.serial.tx_lost, 1);
	bench.room = SIZE_MAX;
	serial_output_ready(&bench.serial);
	bench_expect_output(&bench, "a");
	cr_assert_eq(inb(REG_LSR), IDLE);
}

Test(serial, ready_without_need_is_harmless)
{
	serial_output_ready(&bench.serial);
	cr_assert_eq(bench.writes, 0);
	cr_assert_eq(inb(REG_LSR), IDLE);
}

Test(serial, clearing_the_transmitter_loses_what_waits)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	bench.room = 0;
	bench_print(&bench, "abc");
	outb(REG_IIR_FCR, FCR_ENABLE | FCR_CLEAR_TX);
	cr_assert_eq(inb(REG_LSR), IDLE);
	cr_assert_eq(bench.serial.tx_lost, 3);
	/* It still blocks. */
	outb(REG_DATA, 'd');
	cr_assert_eq(inb(REG_LSR), 0);
	bench.room = SIZE_MAX;
	serial_output_ready(&bench.serial);
	bench_expect_output(&bench, "d");
}

Test(serial, input_fills_the_fifo_and_no_more)
{
	cr_assert_eq(serial_input_space(&bench.serial), 1);
	outb(REG_IIR_FCR, FIFOS_ON);
	cr_assert_eq(serial_input_space(&bench.serial), 16);
	cr_assert_eq(serial_input(&bench.serial, (const uint8_t *)"0123456789abcdefgh", 18), 16);
	cr_assert_eq(serial_input_space(&bench.serial), 0);
	cr_assert_eq(serial_input(&bench.serial, (const uint8_t *)"x", 1), 0);
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY); /* and no overrun */
	for (const char *at = "0123456789abcdef"; *at; at++)
		cr_assert_eq(inb(REG_DATA), *at);
	cr_assert_eq(inb(REG_LSR), IDLE);
	cr_assert_eq(inb(REG_DATA), 0);
}

Test(serial, space_for_input_is_told)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	cr_assert_eq(bench.drained, 1); /* from one place to sixteen */
	bench_type(&bench, "ab");
	inb(REG_LSR);
	cr_assert_eq(bench.drained, 1);
	inb(REG_DATA);
	cr_assert_eq(bench.drained, 2);
	outb(REG_IIR_FCR, FCR_ENABLE | FCR_CLEAR_RX);
	cr_assert_eq(bench.drained, 3);
	inb(REG_DATA); /* there is nothing */
	cr_assert_eq(bench.drained, 3);
}

/* More input than fits flows through, whichever way the guest reads it. */
Test(serial, kept_input_follows)
{
	const char *text = "forty bytes of input, of which 16 fit in";
	char got[64] = {0};

	bench.keep = text;
	outb(REG_IIR_FCR, FIFOS_ON);
	bench_access(&bench, REG_DATA, 1, false, 10, got);
	for (size_t i = 10; i < strlen(text); i++) {
		cr_assert(inb(REG_LSR) & LSR_DATA_READY);
		got[i] = (char)inb(REG_DATA);
	}
	cr_assert_str_eq(got, text);
	cr_assert_eq(inb(REG_LSR), IDLE);
}

Test(serial, a_string_in_reads_the_fifo)
{
	uint8_t got[6];

	outb(REG_IIR_FCR, FIFOS_ON);
	bench_type(&bench, "abcd");
	bench_access(&bench, REG_DATA, 1, false, 6, got);
	cr_assert_eq(memcmp(got, "abcd\0", 6), 0);
	cr_assert_eq(bench.drained, 2);
}

Test(serial, wider_accesses_are_registers_in_a_row)
{
	uint8_t wide[8] = {'w', SOURCE_LINE, FCR_ENABLE, 3};

	bench_access(&bench, REG_DATA, 4, true, 1, wide);
	bench_expect_output(&bench, "w");
	cr_assert_eq(inb(REG_IER), SOURCE_LINE);
	cr_assert_eq(inb(REG_IIR_FCR), IIR_FIFOS | IIR_NONE);
	cr_assert_eq(inb(REG_LCR), 3);

	bench_access(&bench, REG_LCR, 2, false, 1, wide);
	cr_assert_eq(wide[0], 3);
	cr_assert_eq(wide[1], 0);

	/* The same pair of registers twice. */
	memcpy(wide, "a\0b\0", 4);
	bench_access(&bench, REG_DATA, 2, true, 2, wide);
	bench_expect_output(&bench, "ab");
	cr_assert_eq(inb(REG_IER), 0);

	/* Past the last register there is nothing, above all not the first. */
	memset(wide, 0, sizeof(wide));
	outb(REG_SCR, 0x77);
	bench_type(&bench, "x");
	bench_access(&bench, REG_SCR, 4, false, 2, wide);
	cr_assert_eq(memcmp(wide, "\x77\xff\xff\xff\x77\xff\xff\xff", 8), 0);
	memset(wide, 'z', sizeof(wide));
	bench_access(&bench, REG_SCR, 4, true, 2, wide);
	bench_expect_output(&bench, "");
	cr_assert_eq(inb(REG_SCR), 'z');
	cr_assert_eq(inb(REG_IER), 0);
}

/* A clone's port: another backend, the same registers, the same bytes. */
Test(serial, rebind_keeps_what_there_is)
{
	struct bench clone = {.room = SIZE_MAX, .at_most = SIZE_MAX};
	struct serial_backend backend = bench_backend(&clone);

	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_SCR, 0x42);
	bench_type(&bench, "in");
	bench.room = 0;
	bench_print(&bench, "out");
	serial_rebind(&bench.serial, &backend);
	bench_expect_output(&clone, "out");
	bench_expect_output(&bench, "");
	cr_assert_eq(inb(REG_SCR), 0x42);
	cr_assert_eq(inb(REG_LSR), IDLE | LSR_DATA_READY);
	cr_assert_eq(inb(REG_DATA), 'i');
	cr_assert_eq(inb(REG_DATA), 'n');
	cr_assert_eq(clone.drained, 2);
	bench_print(&bench, "more");
	bench_expect_output(&clone, "more");
}

Test(serial, rebind_to_one_that_blocks_too)
{
	struct bench clone = {.room = 1, .at_most = SIZE_MAX};
	struct serial_backend backend = bench_backend(&clone);

	outb(REG_IIR_FCR, FIFOS_ON);
	bench.room = 0;
	bench_print(&bench, "abc");
	serial_rebind(&bench.serial, &backend);
	bench_expect_output(&clone, "a");
	cr_assert_eq(inb(REG_LSR), 0);
	clone.room = SIZE_MAX;
	serial_output_ready(&bench.serial);
	bench_expect_output(&clone, "bc");
	cr_assert_eq(inb(REG_LSR), IDLE);
}

Test(serial, rebind_to_none)
{
	outb(REG_IIR_FCR, FIFOS_ON);
	bench.room = 0;
	bench_print(&bench, "abc");
	serial_rebind(&bench.serial, NULL);
	cr_assert_eq(inb(REG_LSR), IDLE);
	bench_print(&bench, "abc");
	cr_assert_eq(inb(REG_LSR), IDLE);
}

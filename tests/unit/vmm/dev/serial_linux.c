/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of vmm/dev/serial.c: Linux's driver takes the port for what it is, and its bytes and
 * interrupts arrive. The steps are those of drivers/tty/serial/8250/8250_port.c, in their order.
 */
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

TestSuite(serial_linux, .init = set_up);

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

/* autoconfig() */

static uint8_t linux_size_fifo(void)
{
	uint8_t count = 0;

	outb(REG_LCR, 0);
	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_MCR, MCR_LOOP);
	outb(REG_LCR, 0x80);
	outb(REG_DATA, 1);
	outb(REG_IER, 0);
	outb(REG_LCR, 3);
	for (unsigned int i = 0; i < 256; i++)
		outb(REG_DATA, (uint8_t)i);
	while (inb(REG_LSR) & LSR_DATA_READY && count < 255) {
		cr_assert_eq(inb(REG_DATA), count);
		count++;
	}
	outb(REG_IIR_FCR, FCR_ENABLE);
	outb(REG_MCR, 0);
	outb(REG_LCR, 0);
	return count;
}

static void linux_clear_fifos(void)
{
	outb(REG_IIR_FCR, FCR_ENABLE);
	outb(REG_IIR_FCR, FIFOS_ON);
	outb(REG_IIR_FCR, 0);
}

Test(serial_linux, finds_a_16550a)
{
	outb(REG_IER, 0);
	cr_assert_eq(inb(REG_IER) & 0x0f, 0);
	outb(REG_IER, 0x0f);
	cr_assert_eq(inb(REG_IER) & 0x0f, 0x0f);
	outb(REG_IER, 0);
	outb(REG_MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
	cr_assert_eq(inb(REG_MSR) & 0xf0, MSR_DCD | MSR_CTS);
	outb(REG_MCR, 0);
	outb(REG_LCR, 0xbf);
	outb(REG_IIR_FCR, 0); /* EFR of other chips */
	outb(REG_LCR, 0);
	outb(REG_IIR_FCR, FCR_ENABLE);
	cr_assert_eq(inb(REG_IIR_FCR) >> 6, 3);

	/* autoconfig_16550a(): none of the chips that are nearly one. */
	outb(REG_LCR, 0x80);
	cr_assert_neq(inb(REG_IIR_FCR), 0);
	outb(REG_LCR, 0xbf);
	cr_assert_neq(inb(REG_IIR_FCR), 0);
	outb(REG_LCR, 0);
	outb(REG_LCR, 0xe0);
	cr_assert_eq((inb(REG_IIR_FCR) ^ 0) & MCR_LOOP, 0);
	outb(REG_LCR, 0);
	outb(REG_MCR, MCR_LOOP);
	outb(REG_LCR, 0xe0);
	cr_assert_eq(inb(REG_IIR_FCR) & MCR_LOOP, 0);
	outb(REG_LCR, 0);
	outb(REG_MCR, 0);
	outb(REG_IIR_FCR, FCR_ENABLE | 0x20);
	cr_assert_eq(inb(REG_IIR_FCR) >> 5, 6);
	outb(REG_LCR, 0x80);
	outb(REG_IIR_FCR, FCR_ENABLE | 0x20);
	cr_assert_eq(inb(REG_IIR_FCR) >> 5, 6); /* 7 is a 16750 */
	outb(REG_LCR, 0);
	outb(REG_IER, 0x40);
	cr_assert_eq(inb(REG_IER), 0); /* kept by an XScale */
	cr_assert_eq(linux_size_fifo(), 16);

	linux_clear_fifos();
	inb(REG_DATA);
	outb(REG_IER, 0);
	bench_expect_output(&bench, "");
	cr_assert_lt(edges(), 3); /* of the 0x0f written to IER */
}

/* do_startup() with its two tests of the transmitter's interrupt, and set_termios(). */
static void linux_startup(void)
{
	linux_clear_fifos();
	inb(REG_LSR);
	inb(REG_DATA);
	inb(REG_IIR_FCR);
	inb(REG_MSR);
	cr_assert_neq(inb(REG_LSR), 0xff);

	outb(REG_IER, SOURCE_TX);
	cr_assert_eq(iir(), IIR_TX);
	outb(REG_IER, 0);
	outb(REG_IER, SOURCE_TX);
	cr_assert_eq(iir(), IIR_TX); /* else: a chip that does not reassert THRE */
	outb(REG_IER, 0);
	outb(REG_LCR, 3);
	outb(REG_MCR, MCR_OUT2);
	outb(REG_IER, SOURCE_TX);
	cr_assert_eq(inb(REG_LSR) & LSR_TEMT, LSR_TEMT);
	cr_assert_eq(iir() & IIR_NONE, 0); /* else: one that does not tell when enabled */
	outb(REG_IER, 0);
	inb(REG_LSR);
	inb(REG_DATA);
	inb(REG_IIR_FCR);
	inb(REG_MSR);

	outb(REG_IER, SOURCE_RX | SOURCE_LINE);
	outb(REG_LCR, 0x93);
	outb(REG_DATA, 1);
	outb(REG_IER, 0);
	outb(REG_LCR, 0x13);
	outb(REG_IIR_FCR, FCR_ENABLE);
	outb(REG_IIR_FCR, FCR_ENABLE | TRIGGER(2));
	outb(REG_MCR, MCR_OUT2 | MCR_DTR | MCR_RTS);
}

/* serial8250_interrupt(): until IIR has nothing. text goes out, 16 bytes at a time. */
static void linux_interrupt(const char **text, char *typed)
{
	for (uint8_t id = inb(REG_IIR_FCR); !(id & IIR_NONE); id = inb(REG_IIR_FCR)) {
		uint8_t status = inb(REG_LSR);

		while (status & LSR_DATA_READY && id & IIR_RX) {
			*strchr(typed, '\0') = (char)inb(REG_DATA);
			status = inb(REG_LSR);
		}
		inb(REG_MSR);
		if (!(status & LSR_THRE))
			continue;
		for (int i = 0; i < 16 && **text; i++)
			outb(REG_DATA, (uint8_t) * (*text)++);
		if (!**text)
			outb(REG_IER, SOURCE_RX | SOURCE_LINE); /* __stop_tx() */
	}
}

Test(serial_linux, starts_writes_and_reads)
{
	const char *text = "a line of output that does not fit in the FIFO at once\n", *left = text;
	char typed[64] = {0};
	unsigned int interrupts = 0;

	linux_startup();
	edges();
	outb(REG_IER, SOURCE_RX | SOURCE_LINE | SOURCE_TX); /* start_tx() */
	bench.keep = "and input meanwhile, also longer";
	bench.keep += serial_input(&bench.serial, (const uint8_t *)bench.keep, strlen(bench.keep));
	while (edges() && interrupts++ < 100)
		linux_interrupt(&left, typed);
	bench_expect_output(&bench, text);
	cr_assert_str_eq(typed, "and input meanwhile, also longer");
	cr_assert_lt(interrupts, 4);
}

/* The same with a backend that takes 5 bytes, blocks, and is ready some time later. */
Test(serial_linux, writes_to_a_slow_backend)
{
	const char *text = "a line of output that does not fit in the FIFO at once\n", *left = text;
	char typed[64] = {0};

	linux_startup();
	edges();
	bench.room = 0;
	outb(REG_IER, SOURCE_RX | SOURCE_LINE | SOURCE_TX);
	for (int rounds = 0; rounds < 100 && bench.output_len < strlen(text); rounds++) {
		while (edges())
			linux_interrupt(&left, typed);
		bench.room = 5;
		serial_output_ready(&bench.serial);
	}
	bench_expect_output(&bench, text);
	cr_assert_eq(bench.serial.tx_lost, 0);
}

/* The console: interrupts off, a byte when there is room, wait for the end, interrupts as before.
 */
Test(serial_linux, console)
{
	linux_startup();
	outb(REG_IER, SOURCE_RX | SOURCE_LINE | SOURCE_TX);
	cr_assert_eq(iir(), IIR_TX);
	edges();
	outb(REG_IER, 0);
	for (const char *at = "[    0.000000] Linux version\r\n"; *at; at++) {
		cr_assert_eq(inb(REG_LSR) & LSR_THRE, LSR_THRE);
		outb(REG_DATA, (uint8_t)*at);
	}
	cr_assert_eq(inb(REG_LSR), IDLE);
	cr_assert_eq(edges(), 0);
	outb(REG_IER, SOURCE_RX | SOURCE_LINE | SOURCE_TX);
	cr_assert_eq(edges(), 1);
	bench_expect_output(&bench, "[    0.000000] Linux version\r\n");
}

/* SPDX-License-Identifier: MIT */
/* A serial port on a bench: see serial_bench.h. */
#include "tests/unit/vmm/dev/serial_bench.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/base/layout.h"
#include "vmm/base/util.h"

static size_t take(void *ctx, const uint8_t *data, size_t len)
{
	struct bench *bench = ctx;
	size_t taken = min_u64(min_u64(len, bench->room), bench->at_most);

	cr_assert_gt(len, 0);
	bench->writes++;
	cr_assert_leq(bench->output_len + taken, sizeof(bench->output));
	memcpy(bench->output + bench->output_len, data, taken);
	bench->output_len += taken;
	bench->room -= taken;
	return taken;
}

static void drained(void *ctx)
{
	struct bench *bench = ctx;

	bench->drained++;
	if (bench->keep)
		bench->keep += serial_input(&bench->serial, (const uint8_t *)bench->keep,
					    strlen(bench->keep));
}

static void edge(void *ctx)
{
	struct bench *bench = ctx;

	bench->edges++;
}

struct serial_backend bench_backend(struct bench *bench)
{
	return (struct serial_backend){.ctx = bench, .write = take, .input_drained = drained};
}

void bench_init(struct bench *bench)
{
	struct serial_backend backend = bench_backend(bench);

	*bench = (struct bench){.room = SIZE_MAX, .at_most = SIZE_MAX};
	serial_init(&bench->serial, &backend);
	bench->serial.irq = (struct irq_line){.raise = edge, .ctx = bench};
}

void bench_access(struct bench *bench, uint16_t reg, uint8_t size, bool is_out, uint32_t count,
		  void *data)
{
	struct error error = {0};
	struct port_access access = {.port = (uint16_t)(PORT_COM1 + reg),
				     .size = size,
				     .is_out = is_out,
				     .count = count,
				     .data = data};

	cr_assert_eq(serial_access(&bench->serial, &access, &error), PORT_CONTINUE);
}

void bench_out(struct bench *bench, uint16_t reg, uint8_t value)
{
	bench_access(bench, reg, 1, true, 1, &value);
}

uint8_t bench_in(struct bench *bench, uint16_t reg)
{
	uint8_t value = 0x55;

	bench_access(bench, reg, 1, false, 1, &value);
	return value;
}

void bench_print(struct bench *bench, const char *text)
{
	char copy[512];
	size_t len = strlen(text);

	cr_assert_leq(len, sizeof(copy));
	memcpy(copy, text, len);
	bench_access(bench, REG_DATA, 1, true, (uint32_t)len, copy);
}

void bench_type(struct bench *bench, const char *text)
{
	size_t len = strlen(text);

	cr_assert_eq(serial_input(&bench->serial, (const uint8_t *)text, len), len);
}

unsigned int bench_edges(struct bench *bench)
{
	unsigned int edges = bench->edges;

	bench->edges = 0;
	return edges;
}

void bench_expect_output(struct bench *bench, const char *text)
{
	cr_assert_eq(bench->output_len, strlen(text), "%zu bytes: %.*s", bench->output_len,
		     (int)bench->output_len, bench->output);
	cr_assert_eq(memcmp(bench->output, text, bench->output_len), 0, "%.*s",
		     (int)bench->output_len, bench->output);
	bench->output_len = 0;
}

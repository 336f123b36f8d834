/* SPDX-License-Identifier: MIT */
/*
 * A serial port on a bench: its backend, its line and a guest's instructions, for the tests of
 * vmm/dev/serial.c.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_DEV_SERIAL_BENCH_H
#define FORKVM_TESTS_UNIT_VMM_DEV_SERIAL_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/dev/serial.h"
#include "vmm/dev/serial_regs.h"

struct bench {
	struct serial serial;
	unsigned int edges; /* since bench_edges asked last */
	/* The backend: takes room bytes more, at_most a write. */
	size_t room, at_most;
	char output[512];
	size_t output_len;
	unsigned int writes, drained;
	const char
		*keep; /* input that input_drained gives the port as far as it fits; may be NULL */
};

/* A port after a reset, and a backend that takes everything. */
void bench_init(struct bench *bench);

/* The backend of bench, for serial_rebind. */
struct serial_backend bench_backend(struct bench *bench);

/* One OUT, one IN of a byte. */
void bench_out(struct bench *bench, uint16_t reg, uint8_t value);
uint8_t bench_in(struct bench *bench, uint16_t reg);

/* Any access; data are count * size bytes. */
void bench_access(struct bench *bench, uint16_t reg, uint8_t size, bool is_out, uint32_t count,
		  void *data);

/* OUTSB to THR. */
void bench_print(struct bench *bench, const char *text);

/* serial_input; all of text must be taken. */
void bench_type(struct bench *bench, const char *text);

/* How many edges there were since the last time. */
unsigned int bench_edges(struct bench *bench);

/* What the backend got since the last time is just text. */
void bench_expect_output(struct bench *bench, const char *text);

#endif

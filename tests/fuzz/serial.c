/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a guest at its serial port, and a host that types, reads slowly, and puts the
 * port into clones. Beside what must hold of the port's state, it is shown that no interrupt is
 * ever lost: as long as a source asks, there is an edge that the guest has not taken, even though
 * it serves only one source, and one byte, for each that it takes.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "vmm/base/layout.h"
#include "vmm/base/util.h"
#include "vmm/dev/serial.h"
#include "vmm/dev/serial_regs.h"

struct host {
	const uint8_t *at; /* what is left of the input */
	size_t left;
	struct serial serial;
	bool edge;	/* on its way to the guest */
	bool blocked;	/* the backend said so, and ready was not called since */
	uint8_t seen;	/* of all bytes, one */
	bool generous;	/* at the end: the backend takes everything */
	uint64_t taken; /* bytes, by the backend */
};

static uint8_t take(struct host *host)
{
	if (!host->left)
		return 0;
	host->left--;
	return *host->at++;
}

static size_t backend_write(void *ctx, const uint8_t *data, size_t len)
{
	struct host *host = ctx;
	uint8_t choice = take(host);
	size_t some = len;

	FUZZ_CHECK(len > 0 && !host->blocked);
	for (size_t i = 0; i < len; i++)
		host->seen ^= data[i]; /* every byte is one that may be read */
	if (!host->generous && choice & 0x80)
		some = min_u64(len, choice & 0x0f);
	host->blocked = some == 0;
	host->taken += some;
	return some;
}

static void type(struct host *host, uint8_t len)
{
	static const uint8_t text[256];
	size_t space = serial_input_space(&host->serial), before = host->serial.rx_count;
	size_t taken = serial_input(&host->serial, text, len);

	FUZZ_CHECK(taken == min_u64(len, space));
	FUZZ_CHECK(host->serial.rx_count == before + taken);
}

static void input_drained(void *ctx)
{
	struct host *host = ctx;

	FUZZ_CHECK(serial_input_space(&host->serial) > 0);
	if (!host->generous)
		type(host, take(host) & 0x13);
}

static void raise(void *ctx)
{
	struct host *host = ctx;

	host->edge = true;
}

static void rebind(struct host *host, bool has_backend)
{
	struct serial_backend backend = {
		.ctx = host, .write = backend_write, .input_drained = input_drained};

	host->blocked = false;
	serial_rebind(&host->serial, has_backend ? &backend : NULL);
}

static void access_port(struct serial *serial, const struct port_access *access)
{
	struct error error = {0};

	FUZZ_CHECK(serial_access(serial, access, &error) == PORT_CONTINUE);
}

static void write_reg(struct host *host, uint16_t reg, uint8_t value)
{
	access_port(&host->serial, &(struct port_access){.port = (uint16_t)(PORT_COM1 + reg),
							 .size = 1,
							 .is_out = true,
							 .count = 1,
							 .data = &value});
}

static uint8_t read_of(struct serial *serial, uint16_t reg)
{
	uint8_t value = 0;

	access_port(serial, &(struct port_access){.port = (uint16_t)(PORT_COM1 + reg),
						  .size = 1,
						  .count = 1,
						  .data = &value});
	return value;
}

/* What a register would say, without being read. */
static uint8_t peek(const struct host *host, uint16_t reg)
{
	struct serial copy = host->serial;

	copy.irq = (struct irq_line){0};
	copy.backend = (struct serial_backend){0};
	return read_of(&copy, reg);
}

/* The guest takes an interrupt and does the least that serves what IIR names. */
static void serve(struct host *host)
{
	uint8_t lcr = read_of(&host->serial, REG_LCR);

	host->edge = false;
	write_reg(host, REG_LCR, lcr & 0x7f);
	switch (read_of(&host->serial, REG_IIR_FCR) & 0x0f) {
	case IIR_LINE:
		read_of(&host->serial, REG_LSR);
		break;
	case IIR_RX:
	case IIR_TIMEOUT:
		read_of(&host->serial, REG_DATA);
		break;
	case IIR_MODEM:
		read_of(&host->serial, REG_MSR);
		break;
	default: /* the transmitter: IIR was read; or nothing */
		break;
	}
	write_reg(host, REG_LCR, lcr);
}

static void step_access(struct host *host, bool is_out)
{
	static const uint8_t sizes[] = {1, 1, 2, 4};
	uint8_t how = take(host), data[64] = {0};
	struct port_access access = {
		.port = (uint16_t)(PORT_COM1 + (how & 7)),
		.size = sizes[how >> 3 & 3],
		.is_out = is_out,
		.count = how & 0x80 ? take(host) & 0x0f : 1,
		.data = data,
	};
	size_t waiting = host->serial.tx_count, bytes = (size_t)access.count * access.size;
	uint64_t lost = host->serial.tx_lost, taken = host->taken;
	bool text = is_out && access.size == 1 && access.port == PORT_COM1 + REG_DATA &&
		    !(host->serial.lcr & LCR_DLAB) && !(host->serial.mcr & MCR_LOOP);

	for (size_t i = 0; is_out && i < bytes; i++)
		data[i] = take(host);
	access_port(&host->serial, &access);
	/* Every byte written is with the backend, waits, or is counted as lost. */
	if (text && host->serial.backend.write)
		FUZZ_CHECK(bytes == host->taken - taken + host->serial.tx_count - waiting +
					    host->serial.tx_lost - lost);
}

static void check(const struct host *host)
{
	const struct serial *serial = &host->serial;
	size_t capacity = serial->fcr & FCR_ENABLE ? SERIAL_FIFO_BYTES : 1;
	bool loops = serial->mcr & MCR_LOOP;
	uint8_t lsr = peek(host, REG_LSR);

	FUZZ_CHECK(serial->rx_first < SERIAL_FIFO_BYTES && serial->rx_count <= capacity);
	FUZZ_CHECK(serial->tx_count <= capacity);
	FUZZ_CHECK(!serial->tx_count || (serial->blocked && !loops && serial->backend.write));
	FUZZ_CHECK(serial->blocked == host->blocked);
	FUZZ_CHECK(serial_input_space(serial) == (loops ? 0 : capacity - serial->rx_count));
	FUZZ_CHECK(!(lsr & LSR_THRE) == (serial->tx_count > 0));
	FUZZ_CHECK(!(lsr & LSR_TEMT) == (serial->tx_count > 0));
	FUZZ_CHECK(!(lsr & LSR_DATA_READY) == (serial->rx_count == 0));
	FUZZ_CHECK(!(serial->ier & ~IER_BITS) && !(serial->mcr & ~MCR_BITS));
	FUZZ_CHECK(host->edge || peek(host, REG_IIR_FCR) & IIR_NONE);
}

static void ready(struct host *host)
{
	host->blocked = false;
	serial_output_ready(&host->serial);
}

/* However the guest left it, it can have all that is due by taking interrupts. */
static void finish(struct host *host)
{
	unsigned int interrupts = 0;

	host->generous = true;
	write_reg(host, REG_LCR, 3);
	write_reg(host, REG_MCR, 0);
	write_reg(host, REG_IER, IER_BITS);
	ready(host);
	while (host->edge) {
		FUZZ_CHECK(interrupts++ < 64);
		serve(host);
		check(host);
	}
	FUZZ_CHECK(host->serial.rx_count == 0 && host->serial.tx_count == 0);
	FUZZ_CHECK(peek(host, REG_MSR) == MSR_CONNECTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct host host = {.at = data, .left = size};

	serial_init(&host.serial, NULL);
	host.serial.irq = (struct irq_line){.raise = raise, .ctx = &host};
	rebind(&host, true);
	while (host.left) {
		uint8_t step = take(&host);

		switch (step & 7) {
		case 0:
			type(&host, take(&host));
			break;
		case 1:
			ready(&host);
			break;
		case 2:
			if (host.edge)
				serve(&host);
			break;
		case 3:
			rebind(&host, step & 8);
			break;
		case 4:
		case 5:
			step_access(&host, false);
			break;
		default:
			step_access(&host, true);
			break;
		}
		check(&host);
	}
	finish(&host);
	return 0;
}

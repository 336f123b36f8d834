/* SPDX-License-Identifier: MIT */
/*
 * A serial port: see serial.h. Sections and tables named here are of the PC16550D's data sheet.
 */
#include "vmm/dev/serial.h"

#include <assert.h>
#include <string.h>

#include "vmm/base/layout.h"
#include "vmm/base/util.h"
#include "vmm/dev/byte_port.h"
#include "vmm/dev/serial_regs.h"

static bool has_fifos(const struct serial *serial)
{
	return serial->fcr & FCR_ENABLE;
}

static bool loops(const struct serial *serial)
{
	return serial->mcr & MCR_LOOP;
}

static size_t capacity(const struct serial *serial)
{
	return has_fifos(serial) ? SERIAL_FIFO_BYTES : 1;
}

/*
 * Interrupts.
 */

/* The enabled sources that ask now. */
static uint8_t asking(const struct serial *serial)
{
	unsigned int sources = 0;

	if (serial->overrun)
		sources |= SOURCE_LINE;
	if (serial->rx_count)
		sources |= SOURCE_RX;
	if (serial->thre_event)
		sources |= SOURCE_TX;
	if (serial->msr & MSR_DELTAS)
		sources |= SOURCE_MODEM;
	return (uint8_t)(sources & serial->ier);
}

/* The guest did what this source wants done; it may ask again by the end of the access. */
static void serve(struct serial *serial, unsigned int source)
{
	if (serial->ier & source)
		serial->served = true;
}

/* At the end of everything that happens: an edge, if one is due. */
static void update_irq(struct serial *serial)
{
	uint8_t now = asking(serial);
	bool edge = now && (serial->served || now & ~serial->asking);

	serial->asking = now;
	serial->served = false;
	if (edge)
		irq_raise(&serial->irq);
}

/*
 * The transmitter.
 */

/* Its last byte has gone. */
static void transmitter_empty(struct serial *serial)
{
	serial->tx_count = 0;
	serial->thre_event = true;
}

/* Hand over up to len bytes to the backend. Returns how many need no more care. */
static size_t send(struct serial *serial, const uint8_t *data, size_t len)
{
	size_t sent = 0;

	while (sent < len) {
		size_t taken;

		if (!serial->backend.write)
			return len;
		taken = serial->backend.write(serial->backend.ctx, data + sent, len - sent);
		assert(taken <= len - sent);
		if (taken == 0) {
			serial->blocked = true;
			break;
		}
		sent += taken;
	}
	return sent;
}

/* Send what waits, unless the backend blocks. */
static void send_waiting(struct serial *serial)
{
	size_t sent;

	if (!serial->tx_count || serial->blocked)
		return;
	sent = send(serial, serial->tx, serial->tx_count);
	serial->tx_count -= sent;
	memmove(serial->tx, serial->tx + sent, serial->tx_count);
	if (!serial->tx_count)
		transmitter_empty(serial);
}

/* A byte for the receiver, which has space. */
static void put(struct serial *serial, uint8_t byte)
{
	serial->rx[(serial->rx_first + serial->rx_count) % SERIAL_FIFO_BYTES] = byte;
	serial->rx_count++;
}

/* Loopback: what is transmitted is received (8.8). Only here can the receiver overrun. */
static void loop_back(struct serial *serial, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (serial->rx_count == capacity(serial)) {
			serial->overrun = true;
			/* Full FIFOs keep what they have; without them, the last byte stays. */
			if (!has_fifos(serial))
				serial->rx[serial->rx_first] = data[i];
			continue;
		}
		put(serial, data[i]);
	}
}

/* The guest wrote len bytes, at least one, to THR. */
static void transmit(struct serial *serial, const uint8_t *data, size_t len)
{
	size_t done = 0, queued;

	if (serial->thre_event)
		serve(serial, SOURCE_TX);
	serial->thre_event = false;
	if (loops(serial)) {
		loop_back(serial, data, len);
		done = len;
	} else if (!serial->blocked) {
		done = send(serial, data, len);
	}
	queued = min_u64(len - done, capacity(serial) - serial->tx_count);
	memcpy(serial->tx + serial->tx_count, data + done, queued);
	serial->tx_count += queued;
	serial->tx_lost += len - done - queued;
	if (!serial->tx_count)
		transmitter_empty(serial);
}

/*
 * Registers.
 */

static uint8_t read_data(struct serial *serial)
{
	uint8_t value;

	if (!serial->rx_count)
		return 0;
	value = serial->rx[serial->rx_first];
	serial->rx_first = (serial->rx_first + 1) % SERIAL_FIFO_BYTES;
	serial->rx_count--;
	serve(serial, SOURCE_RX);
	return value;
}

/* 8.7: to enable the transmitter's interrupt while it is empty is to have one. */
static void write_ier(struct serial *serial, uint8_t value)
{
	if (value & ~serial->ier & SOURCE_TX)
		serial->thre_event = !serial->tx_count;
	serial->ier = value & IER_BITS;
}

/* 8.6. Reading it serves the transmitter's interrupt, if that is the one it names. */
static uint8_t read_iir(struct serial *serial)
{
	static const uint8_t triggers[] = {1, 4, 8, 14};
	uint8_t sources = asking(serial);
	unsigned int value = IIR_NONE;

	if (sources & SOURCE_LINE) {
		value = IIR_LINE;
	} else if (sources & SOURCE_RX) {
		value = IIR_RX;
		if (has_fifos(serial) &&
		    serial->rx_count < triggers[serial->fcr >> FCR_TRIGGER_SHIFT])
			value = IIR_TIMEOUT;
	} else if (sources & SOURCE_TX) {
		value = IIR_TX;
		serial->thre_event = false;
		serve(serial, SOURCE_TX);
	} else if (sources & SOURCE_MODEM) {
		value = IIR_MODEM;
	}
	return (uint8_t)(value | (has_fifos(serial) ? IIR_FIFOS : 0));
}

/*
 * 8.5. To switch the FIFOs on or off is to clear them, and the transmitter tells at once that it is
 * empty (8.11); without bit 0, the other bits are nothing.
 */
static void write_fcr(struct serial *serial, uint8_t value)
{
	bool toggled = (value ^ serial->fcr) & FCR_ENABLE;
	unsigned int clear = value & FCR_ENABLE ? value : 0;

	if (toggled)
		clear = FCR_CLEAR_RX | FCR_CLEAR_TX;
	serial->fcr = value & FCR_ENABLE ? value & (3u << FCR_TRIGGER_SHIFT | FCR_ENABLE) : 0;
	if (clear & FCR_CLEAR_RX && serial->rx_count) {
		serial->rx_count = 0;
		serve(serial, SOURCE_RX);
	}
	if (toggled || (clear & FCR_CLEAR_TX && serial->tx_count)) {
		serial->tx_lost += serial->tx_count;
		transmitter_empty(serial);
	}
}

/* 8.9: the four inputs, and which of them changed. */
static void set_modem_lines(struct serial *serial)
{
	unsigned int now = MSR_CONNECTED, changed;

	if (loops(serial))
		now = (serial->mcr & MCR_RTS ? MSR_CTS : 0) |
		      (serial->mcr & MCR_DTR ? MSR_DSR : 0) |
		      (serial->mcr & MCR_OUT1 ? MSR_RI : 0) |
		      (serial->mcr & MCR_OUT2 ? MSR_DCD : 0);
	changed = now ^ (serial->msr & ~MSR_DELTAS);
	if (now & MSR_RI)
		changed &= ~MSR_RI; /* only its end counts */
	/* Each delta stands four bits below its input. */
	serial->msr = (uint8_t)(now | (serial->msr & MSR_DELTAS) | changed >> 4);
}

static void write_mcr(struct serial *serial, uint8_t value)
{
	serial->mcr = value & MCR_BITS;
	set_modem_lines(serial);
	if (loops(serial) && serial->tx_count) {
		loop_back(serial, serial->tx, serial->tx_count);
		transmitter_empty(serial);
	}
}

static uint8_t read_lsr(struct serial *serial)
{
	unsigned int value = serial->tx_count ? 0 : LSR_THRE | LSR_TEMT;

	if (serial->rx_count)
		value |= LSR_DATA_READY;
	if (serial->overrun) {
		value |= LSR_OVERRUN;
		serial->overrun = false;
		serve(serial, SOURCE_LINE);
	}
	return (uint8_t)value;
}

static uint8_t read_msr(struct serial *serial)
{
	uint8_t value = serial->msr;

	if (value & MSR_DELTAS) {
		serial->msr = (uint8_t)(value & ~MSR_DELTAS);
		serve(serial, SOURCE_MODEM);
	}
	return value;
}

static uint8_t in(void *device, uint16_t port)
{
	struct serial *serial = device;

	switch (port - PORT_COM1) {
	case REG_DATA:
		return serial->lcr & LCR_DLAB ? serial->divisor[0] : read_data(serial);
	case REG_IER:
		return serial->lcr & LCR_DLAB ? serial->divisor[1] : serial->ier;
	case REG_IIR_FCR:
		return read_iir(serial);
	case REG_LCR:
		return serial->lcr;
	case REG_MCR:
		return serial->mcr;
	case REG_LSR:
		return read_lsr(serial);
	case REG_MSR:
		return read_msr(serial);
	case REG_SCR:
		return serial->scr;
	default:
		return 0xff;
	}
}

static enum port_result out(void *device, uint16_t port, uint8_t value)
{
	struct serial *serial = device;

	switch (port - PORT_COM1) {
	case REG_DATA:
		if (serial->lcr & LCR_DLAB)
			serial->divisor[0] = value;
		else
			transmit(serial, &value, 1);
		break;
	case REG_IER:
		if (serial->lcr & LCR_DLAB)
			serial->divisor[1] = value;
		else
			write_ier(serial, value);
		break;
	case REG_IIR_FCR:
		write_fcr(serial, value);
		break;
	case REG_LCR:
		serial->lcr = value;
		break;
	case REG_MCR:
		write_mcr(serial, value);
		break;
	case REG_SCR:
		serial->scr = value;
		break;
	default: /* not ours, or LSR and MSR, which are not for writing */
		break;
	}
	return PORT_CONTINUE;
}

/*
 * What others call.
 */

void serial_init(struct serial *serial, const struct serial_backend *backend)
{
	*serial = (struct serial){.divisor = {1, 0}, .msr = MSR_CONNECTED};
	if (backend)
		serial->backend = *backend;
}

void serial_rebind(struct serial *serial, const struct serial_backend *backend)
{
	serial->backend = backend ? *backend : (struct serial_backend){0};
	serial->blocked = false;
	serial->asking = 0; /* nobody knows which edges were taken */
	send_waiting(serial);
	update_irq(serial);
}

int serial_access(void *device, const struct port_access *access, struct error *error)
{
	static const struct byte_port_ops ops = {.in = in, .out = out};
	struct serial *serial = device;
	size_t space = serial_input_space(serial);

	(void)error;
	if (access->is_out && access->size == 1 && access->port == PORT_COM1 + REG_DATA &&
	    access->count && !(serial->lcr & LCR_DLAB))
		transmit(serial, access->data, access->count);
	else
		byte_port_access(&ops, serial, access);
	update_irq(serial);
	if (serial_input_space(serial) > space && serial->backend.input_drained)
		serial->backend.input_drained(serial->backend.ctx);
	return PORT_CONTINUE;
}

void serial_output_ready(struct serial *serial)
{
	serial->blocked = false;
	send_waiting(serial);
	update_irq(serial);
}

size_t serial_input_space(const struct serial *serial)
{
	return loops(serial) ? 0 : capacity(serial) - serial->rx_count;
}

size_t serial_input(struct serial *serial, const uint8_t *data, size_t len)
{
	size_t taken = min_u64(len, serial_input_space(serial));

	for (size_t i = 0; i < taken; i++)
		put(serial, data[i]);
	update_irq(serial);
	return taken;
}

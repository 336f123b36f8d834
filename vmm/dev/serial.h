/* SPDX-License-Identifier: MIT */
/*
 * A serial port: the UART PC16550D (National Semiconductor's data sheet of June 1995; section 8 has
 * the registers), as at PORT_COM1 of a PC. Plain memory: a fork carries it.
 *
 * Theory of operation.
 *
 * Output goes to the backend during the access that wrote it; a string instruction's bytes go in
 * one call. There is no baud rate. When the backend takes no more, the rest stays in the
 * transmitter (16 bytes with FIFOs on, else one), which is then not empty, and says so, until
 * serial_output_ready. What a guest writes to a full one is lost, as in the chip.
 *
 * Input goes to the receiver's FIFO as far as there is space; whoever has more keeps it and is
 * told when there is space again. So input never overruns; in loopback a guest can overrun itself.
 * There is no clock either: a character timeout, in the chip four characters' time of silence, is
 * up at once. In short, received data interrupt at any number, and below the trigger level they do
 * it under the timeout's name.
 *
 * Interrupts. The chip holds its interrupt line up as long as any enabled source asks; here the
 * line can do edges only. One is made whenever a source begins to ask, and whenever the guest has
 * served a source and one still asks: the same one, or another. So a guest that serves one source
 * an interrupt, and a single byte of input at that, never waits for an edge that does not come; one
 * that serves all there is, as Linux does, may find nothing to do afterwards. Serving is what the
 * data sheet's table of interrupts says: reading LSR, RBR or MSR, writing THR, and reading an IIR
 * that names the empty transmitter.
 *
 * On a PC the chip's OUT2 switches the line off; that is left out here, so that a guest without
 * OUT2 has interrupts, too. Whoever wants none has IER.
 */
#ifndef FORKVM_VMM_DEV_SERIAL_H
#define FORKVM_VMM_DEV_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/io/irq.h"
#include "vmm/io/portbus.h"

#define SERIAL_FIFO_BYTES 16
#define SERIAL_PORTS	  8u

/*
 * Where output goes, and who has input. Either function may be NULL: output is dropped then, and
 * nobody is told. Neither may call serial_access, serial_output_ready or serial_rebind.
 */
struct serial_backend {
	void *ctx;
	/*
	 * Take up to len bytes (1 or more) and return how many, 0 when it would block. After a 0
	 * it is not called again before serial_output_ready. One that can send no more for good
	 * takes everything and drops it: a guest never waits for what will not come.
	 */
	size_t (*write)(void *ctx, const uint8_t *data, size_t len);
	/* There is more space for input than before. May call serial_input. */
	void (*input_drained)(void *ctx);
};

struct serial {
	struct serial_backend backend;
	struct irq_line irq; /* the owner sets where it leads; nowhere at first */
	/* Registers, as the guest wrote them. fcr keeps the trigger level and the FIFO bit. */
	uint8_t ier, fcr, lcr, mcr, scr;
	uint8_t divisor[2]; /* low byte first; nothing comes of it */
	uint8_t msr;
	bool overrun;	 /* LSR.OE */
	bool thre_event; /* the transmitter became empty and IIR has not said so yet */
	/* The transmitter's bytes. There are some only while the backend blocks. */
	uint8_t tx[SERIAL_FIFO_BYTES];
	size_t tx_count;
	bool blocked;	  /* the backend took nothing: serial_output_ready is awaited */
	uint64_t tx_lost; /* bytes written to a full transmitter, or cleared out of it by FCR */
	/* The receiver's bytes: a ring. */
	uint8_t rx[SERIAL_FIFO_BYTES];
	size_t rx_first, rx_count;
	/* The sources that asked when the line was last looked at, and whether one was served. */
	uint8_t asking;
	bool served;
};

/*
 * A chip as after a reset, with 115200 baud in its divisor, since firmware would have left a baud
 * rate there. backend is copied; NULL is one without functions. Its ctx is not owned.
 */
void serial_init(struct serial *serial, const struct serial_backend *backend);

/*
 * Give a clone's port its own backend (copied; NULL: none). For a VM that can take interrupts
 * already, with irq leading there.
 *
 * Registers, and bytes received but not read, stay. Bytes that waited in the transmitter go to the
 * new backend, in each clone; they are dropped if there is none. That it blocked is forgotten. If
 * any source asks, before or after that, there is an edge for it even if there was one before the
 * fork: a guest may see one interrupt with nothing to do. The new backend is not told of space for
 * input: ask serial_input_space.
 */
void serial_rebind(struct serial *serial, const struct serial_backend *backend);

/*
 * A port_handler for [PORT_COM1, PORT_COM1 + SERIAL_PORTS); device is the struct serial. A wider
 * access is a byte each for registers in a row. Always PORT_CONTINUE.
 */
int serial_access(void *device, const struct port_access *access, struct error *error);

/* The backend takes output again. Harmless when it did not block. */
void serial_output_ready(struct serial *serial);

/* How many bytes serial_input takes now: 0 to 16. None in loopback. */
size_t serial_input_space(const struct serial *serial);

/* Receive up to len bytes of data. Returns how many were taken; the caller keeps the others. */
size_t serial_input(struct serial *serial, const uint8_t *data, size_t len);

#endif

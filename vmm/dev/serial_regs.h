/* SPDX-License-Identifier: MIT */
/*
 * The registers of a PC16550D: for serial.c, and for tests, which are its drivers. Sections and
 * tables are of the data sheet that serial.h names (8.1 is LCR, 8.4 LSR, 8.11 and 8.12 the FIFOs).
 */
#ifndef FORKVM_VMM_DEV_SERIAL_REGS_H
#define FORKVM_VMM_DEV_SERIAL_REGS_H

/* Offsets: table II. */
enum {
	REG_DATA,    /* RBR, THR; the divisor's low byte while LCR.DLAB is set */
	REG_IER,     /* the divisor's high byte while LCR.DLAB is set */
	REG_IIR_FCR, /* read, written */
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCR,
};

/* The sources of interrupts, as IER numbers them (8.7). */
enum {
	SOURCE_RX = 0x01,    /* received data, or a character timeout */
	SOURCE_TX = 0x02,    /* transmitter empty */
	SOURCE_LINE = 0x04,  /* receiver line status: overrun, the only error there is */
	SOURCE_MODEM = 0x08, /* modem status */
	IER_BITS = 0x0f,
};

/* IIR (8.6, table IV), by falling priority. */
#define IIR_LINE	  0x06u
#define IIR_RX		  0x04u
#define IIR_TIMEOUT	  0x0cu
#define IIR_TX		  0x02u
#define IIR_MODEM	  0x00u
#define IIR_NONE	  0x01u
#define IIR_FIFOS	  0xc0u

#define FCR_ENABLE	  0x01u
#define FCR_CLEAR_RX	  0x02u
#define FCR_CLEAR_TX	  0x04u
#define FCR_TRIGGER_SHIFT 6u

#define LCR_DLAB	  0x80u

#define MCR_DTR		  0x01u
#define MCR_RTS		  0x02u
#define MCR_OUT1	  0x04u
#define MCR_OUT2	  0x08u
#define MCR_LOOP	  0x10u
#define MCR_BITS	  0x1fu

#define LSR_DATA_READY	  0x01u
#define LSR_OVERRUN	  0x02u
#define LSR_THRE	  0x20u
#define LSR_TEMT	  0x40u

#define MSR_DELTA_CTS	  0x01u
#define MSR_DELTA_DSR	  0x02u
#define MSR_RI_ENDED	  0x04u
#define MSR_DELTA_DCD	  0x08u
#define MSR_DELTAS	  0x0fu
#define MSR_CTS		  0x10u
#define MSR_DSR		  0x20u
#define MSR_RI		  0x40u
#define MSR_DCD		  0x80u
#define MSR_CONNECTED	  (MSR_CTS | MSR_DSR | MSR_DCD) /* the backend is always there */

#endif

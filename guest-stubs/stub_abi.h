/* SPDX-License-Identifier: MIT */
/*
 * The contract between forkvm and a guest: this one self-contained header, shared by vmm/ and
 * guest-stubs/ (and by the Linux agent, which uses its ports).
 *
 * How a stub comes up
 *   The image is a static x86-64 ELF (or a flat binary, loaded at FORKVM_STUB_LOAD_GPA and entered
 *   at its first byte). Every vCPU enters at the entry point, in 64-bit mode, ring 0, interrupts
 *   off, on page tables that map all RAM (and the hole below 4 GiB) one to one, writable and open
 *   to ring 3, with 2 MiB pages. RDI holds the GPA of struct forkvm_boot_info, RSI the vCPU's index
 *   (0 is the boot CPU); no stack, GDT, IDT or TSS is set up: that is the stub's own business.
 *   CR4 has OSFXSR and OSXMMEXCPT set, and OSXSAVE when the stub asked for CPUID (see the note),
 *   with XCR0 holding everything the host offers short of AMX.
 *
 * How it talks
 *   By 32-bit OUT to one of the doorbell ports, and by the mailbox, a structure in its own RAM
 *   whose GPA it gives with the first doorbell. A doorbell takes effect before the OUT completes:
 *   when the next instruction runs, whatever the host had to write is in place.
 *
 * Order of doorbells
 *   BOOTED once, then TEMPLATE once; after that, for each request, READY once and then PARK, which
 *   completes when the next request is in the mailbox. A clone that was made ahead of its first
 *   request (a spare) finds request_seq 0 behind TEMPLATE: it does what it can do without a
 * request, and rings PARK, which completes with request 1. DONE at any time after BOOTED. CONSOLE
 * at any time after BOOTED; so may CLOCK, which writes the host's present CLOCK_REALTIME into
 *   identity.wall_clock_ns. Anything else (another order, an unknown port of the block, a size that
 *   is not 32 bits, an IN, a range outside RAM) ends the VM with a guest error that says so; it
 *   never harms the host or another clone. Ports outside the block behave as on a PC without
 *   devices: an IN reads all ones, an OUT is lost. A vCPU that executes HLT without an interrupt
 *   controller stays halted; when all have, the VM ends as shut down.
 *
 * Everything is little-endian. All addresses are guest-physical.
 */
#ifndef FORKVM_STUB_ABI_H
#define FORKVM_STUB_ABI_H

#define FORKVM_ABI_VERSION	  1
#define FORKVM_ABI_MAGIC	  0x4d564b46 /* "FKVM" */

/* Where a flat binary is loaded, and where stubs are linked. */
#define FORKVM_STUB_LOAD_GPA	  0x100000

/* The doorbell ports: 32-bit OUT each, four ports apart. */
#define FORKVM_PORT_BASE	  0x5b00
#define FORKVM_PORT_BOOTED	  0x5b00 /* value: GPA of struct forkvm_mailbox                     */
#define FORKVM_PORT_TEMPLATE	  0x5b04 /* value: 0; the VM may be frozen here                     */
#define FORKVM_PORT_READY	  0x5b08 /* value: bytes in the response area; answers the request  */
#define FORKVM_PORT_PARK	  0x5b0c /* value: 0; returns with the next request in the mailbox  */
#define FORKVM_PORT_DONE	  0x5b10 /* value: status; does not return                          */
#define FORKVM_PORT_CONSOLE	  0x5b14 /* value: bytes in the console area                        */
#define FORKVM_PORT_CLOCK	  0x5b18 /* value: 0; the host's time of day into the mailbox         */
#define FORKVM_PORT_COUNT	  7
#define FORKVM_PORT_END		  (FORKVM_PORT_BASE + 4 * FORKVM_PORT_COUNT)

/*
 * Where the registers of virtio-mmio devices are, one page each, in machines that have some. They
 * are in the hole below 4 GiB, which the boot page tables map. Stubs poll: no interrupt is needed.
 */
#define FORKVM_VIRTIO_MMIO_GPA	  0xd0000000
#define FORKVM_VIRTIO_MMIO_BYTES  0x1000

/* The most a mailbox may name. */
#define FORKVM_MAX_REQUEST	  65536 /* bytes in one request  */
#define FORKVM_MAX_RESPONSE	  65536 /* bytes in one response */
#define FORKVM_MAX_CONSOLE	  4096	/* bytes a doorbell      */
#define FORKVM_MAX_ARGS		  1024	/* bytes of boot arguments, terminating zero included */

#define FORKVM_GENERATION_ID_SIZE 16
#define FORKVM_SEED_SIZE	  32

/*
 * ELF note: section .note.forkvm, name "forkvm", type FORKVM_NOTE_NEEDS, descriptor struct
 * forkvm_note. It says what the stub needs beyond the least; each need costs every clone time. An
 * image without the note is given CPUID and no interrupt controller.
 */
#define FORKVM_NOTE_NAME	  "forkvm"
#define FORKVM_NOTE_NEEDS	  1

#define FORKVM_NEED_CPUID	  (1u << 0) /* the host's CPUID table, and with it XSAVE and AVX */
#define FORKVM_NEED_IRQCHIP	  (1u << 1) /* in-kernel interrupt controllers and PIT           */

#ifndef __ASSEMBLER__

#include <stdint.h>

struct forkvm_note {
	uint32_t abi_version; /* FORKVM_ABI_VERSION */
	uint32_t needs;	      /* FORKVM_NEED_*      */
};

/* What the host tells every vCPU at its first instruction (GPA in RDI). Host to guest. */
struct forkvm_boot_info {
	uint32_t magic;	       /* FORKVM_ABI_MAGIC                                       */
	uint32_t version;      /* FORKVM_ABI_VERSION                                     */
	uint64_t ram_size;     /* bytes in all                                           */
	uint64_t low_ram_end;  /* RAM is [0, low_ram_end) ...                            */
	uint64_t high_ram_end; /* ... and [4 GiB, high_ram_end), or none when this is 0  */
	uint64_t free_start;   /* first page above the image and all host structures     */
	uint32_t vcpus;	       /* how many; indexes are 0 to vcpus - 1                   */
	uint32_t args_len;     /* bytes in args, terminating zero not counted            */
	char args[FORKVM_MAX_ARGS];
};

/* What must differ between clones. All zeros in the template. */
struct forkvm_identity {
	uint64_t clone_id;				  /* never given twice by one server */
	uint8_t generation_id[FORKVM_GENERATION_ID_SIZE]; /* random                          */
	uint8_t seed[FORKVM_SEED_SIZE];			  /* random; not shown to anybody else */
	/* CLOCK_REALTIME of the host when the clone was made, when a spare got request 1, at CLOCK
	 */
	uint64_t wall_clock_ns;
};

/*
 * The mailbox: 64-byte aligned, below 4 GiB. The first part is read by the host once, at BOOTED;
 * the second is written by the host.
 */
struct forkvm_mailbox {
	/* guest to host, at BOOTED */
	uint32_t magic;		    /* FORKVM_ABI_MAGIC                     */
	uint32_t version;	    /* FORKVM_ABI_VERSION                   */
	uint64_t request_gpa;	    /* where the host puts a request's bytes */
	uint64_t response_gpa;	    /* where the host finds a response       */
	uint64_t console_gpa;	    /* where the host finds console text     */
	uint32_t request_capacity;  /* at most FORKVM_MAX_REQUEST            */
	uint32_t response_capacity; /* at most FORKVM_MAX_RESPONSE           */
	uint32_t console_capacity;  /* at most FORKVM_MAX_CONSOLE            */
	uint32_t reserved0;	    /* 0 */
	uint64_t reserved1;	    /* 0 */

	/* host to guest, from here on: in a clone at its first instruction, and after each PARK */
	uint32_t is_clone;    /* 0 in the template, 1 in a clone            */
	uint32_t request_len; /* bytes at request_gpa                       */
	uint64_t request_seq; /* counts this clone's requests, from 1; 0: there is none yet */
	struct forkvm_identity identity;
};

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
_Static_assert(sizeof(struct forkvm_identity) == 64, "identity layout is part of the ABI");
_Static_assert(sizeof(struct forkvm_mailbox) == 136, "mailbox layout is part of the ABI");
_Static_assert(sizeof(struct forkvm_boot_info) == 1072, "boot info layout is part of the ABI");
#endif

#endif /* !__ASSEMBLER__ */
#endif

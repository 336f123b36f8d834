/* SPDX-License-Identifier: MIT */
/*
 * What a stub is written against: the functions it supplies, the macros by which it says what it
 * needs, and the runtime's services. A stub includes this and nothing else of the runtime.
 *
 * The runtime is compiled for general registers only: no C code here touches x87, SSE or AVX
 * state, so a stub may keep values there across any call.
 */
#ifndef FORKVM_STUB_H
#define FORKVM_STUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stubs/runtime/layout.h"
#include "guest-stubs/runtime/text.h"
#include "guest-stubs/stub_abi.h"

/* ---- What a stub supplies ---- */

/* Called in the template, after BOOTED and populate=, before TEMPLATE. */
void stub_setup(void);

/*
 * Answer a request: put at most capacity bytes in response and return how many. Called in a clone
 * for each request. The request is not terminated.
 */
size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity);

/* Optional, by default the plain doorbell: ring BOOTED; ring TEMPLATE. */
void stub_booted(void);
void stub_template(void);

/* Optional: the whole life of vCPU index (1 and up) in ring 3. Needs STUB_CPUS. */
_Noreturn void stub_secondary(uint32_t index);

/* Every stub says, once, what it needs beyond the least: 0 or FORKVM_NEED_*. */
#define STUB_NEEDS(flags)                                                      \
	__attribute__((section(".note.forkvm"), used, aligned(4)))             \
	const struct stub_elf_note stub_elf_note = {                           \
		.name_size = sizeof(FORKVM_NOTE_NAME),                         \
		.desc_size = sizeof(struct forkvm_note),                       \
		.type = FORKVM_NOTE_NEEDS,                                     \
		.name = FORKVM_NOTE_NAME,                                      \
		.desc = {.abi_version = FORKVM_ABI_VERSION, .needs = (flags)}, \
	}

/*
 * Other buffers than the default ones, which are STUB_HOT_REQUEST and STUB_HOT_RESPONSE bytes and
 * share a page with mailbox and stack.
 */
#define STUB_BUFFERS(request_size, response_size)                                   \
	static char stub_own_request[request_size]                                  \
		__attribute__((section(".bss.request"), aligned(STUB_PAGE_SIZE)));  \
	static char stub_own_response[response_size]                                \
		__attribute__((section(".bss.response"), aligned(STUB_PAGE_SIZE))); \
	const struct stub_buffers stub_buffers = {stub_own_request, (request_size), \
						  stub_own_response, (response_size)}

/* Up to count vCPUs: further ones, and without this all but the first, halt. */
#define STUB_CPUS(count)                                                          \
	const uint32_t stub_max_cpus = (count);                                   \
	char stub_percpu[(size_t)(count)*STUB_PERCPU_SIZE]                        \
		__attribute__((section(".bss.percpu"), aligned(STUB_PAGE_SIZE))); \
	char stub_secondary_stacks[(size_t)(count)*STUB_SECONDARY_STACK_SIZE]     \
		__attribute__((section(".bss.stacks"), aligned(STUB_PAGE_SIZE)))

/* On functions and data that a clone touches on its way to the first answer. */
#define STUB_HOT_TEXT	  __attribute__((section(".text.hot")))
#define STUB_HOT_DATA	  __attribute__((section(".bss.hot")))

/* ---- What the runtime offers ---- */

#define STUB_HOT_REQUEST  1024
#define STUB_HOT_RESPONSE 1856

/*
 * Everything that a simple clone writes, on one page: the stack's top, the mailbox, both buffers.
 * The stack's lower part is on the pages before it.
 */
struct stub_hot {
	char stack[STUB_STACK_SIZE];
	_Alignas(64) struct forkvm_mailbox mailbox;
	_Alignas(64) char request[STUB_HOT_REQUEST];
	char response[STUB_HOT_RESPONSE];
};
_Static_assert(sizeof(struct stub_hot) == 3 * STUB_PAGE_SIZE, "the hot page is full and one page");

extern struct stub_hot stub_hot;
#define stub_mailbox (stub_hot.mailbox)

/* The host's boot information. */
extern const struct forkvm_boot_info *stub_boot;

/*
 * RAM as the runtime sees it: pages from free_start up, the hole below 4 GiB skipped. A stub may
 * use all of it. The first stub_populated_pages have been written by populate=MIB.
 */
extern uint64_t stub_populated_pages;

/* Number of free pages, and the address of the index-th; index must be below that number. */
uint64_t stub_free_pages(void);
void *stub_free_page(uint64_t index);

/* Have at least count free pages populated (fewer where RAM ends). In the template only. */
void stub_populate(uint64_t count);

/* A page as populate left it: words at every 512 bytes, the rest zero. */
bool stub_populated_page_intact(const void *page);
void stub_populate_page(void *page);

/* Diffuse a word (a bijection): patterns are made with it. */
static inline uint64_t stub_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#ifdef STUB_UNDER_QEMU
void stub_doorbell(uint16_t port, uint32_t value); /* qemu/doorbell.c */
#else
static inline void stub_doorbell(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}
#endif

/* Up to FORKVM_MAX_CONSOLE bytes of text for the operator. */
__attribute__((format(printf, 1, 2))) void stub_console(const char *format, ...);

/* End the VM. */
_Noreturn void stub_done(uint32_t status);

/* Say why on the console and end the VM with status 1: for failures before there is a request. */
__attribute__((format(printf, 1, 2))) _Noreturn void stub_fail(const char *format, ...);

static inline uint64_t stub_rdtsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void stub_pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/*
 * An argument by name: the request's "key=value" if there, else the boot arguments', else
 * *ret_value stays. Returns false for a value that is not a number.
 */
bool stub_number(const char *request, size_t request_len, const char *key, uint64_t *ret_value);

/* Call function(argument) in ring 0. Keep it short: some hosts emulate ring 0. */
static inline uint64_t ring0_call(uint64_t (*function)(uint64_t), uint64_t argument)
{
	uint64_t result = STUB_RING0_CALL;

	__asm__ volatile("int3"
			 : "+a"(result), "+D"(argument), "+d"(function)
			 :
			 : "rcx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory");
	return result;
}

/* Model-specific registers, from ring 3. False when the access faults. */
bool ring0_rdmsr(uint32_t msr, uint64_t *ret_value);
bool ring0_wrmsr(uint32_t msr, uint64_t value);

/* In asm: if the instruction at label "from" faults, go on at label "to". */
#define STUB_FIXUP(from, to)            \
	".pushsection .fixups, \"a\"\n" \
	".quad " from ", " to "\n"      \
	".popsection\n"

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* ---- Shared by the macros above, start.S and the runtime ---- */

struct stub_elf_note {
	uint32_t name_size;
	uint32_t desc_size;
	uint32_t type;
	char name[8];
	struct forkvm_note desc;
};

struct stub_buffers {
	char *request;
	uint32_t request_capacity;
	char *response;
	uint32_t response_capacity;
};

extern const struct stub_elf_note stub_elf_note;
extern const struct stub_buffers stub_buffers;
extern const uint32_t stub_max_cpus;
extern char stub_percpu[];
extern char stub_secondary_stacks[];

/* runtime/exceptions.c */
void stub_exceptions_init(void);

/* runtime/main.c: where start.S leaves ring 0. */
_Noreturn void stub_main(const struct forkvm_boot_info *boot, uint32_t index);

#endif

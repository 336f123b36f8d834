/* SPDX-License-Identifier: MIT */
/*
 * The IDT, the report of an exception that nobody expected, and access to MSRs through ring 0.
 */
#include "guest-stubs/runtime/stub.h"

#define VECTORS	      32
#define VECTOR_INT3   3
#define GATE_RING0    0x8e /* present, interrupt gate */
#define GATE_RING3    0xee /* the same, and ring 3 may use it */
#define STATUS_PREFIX 0xe0000000u

struct idt_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_mid;
	uint32_t offset_high;
	uint32_t reserved;
};

/* Filled by start.S, which knows the order. */
struct stub_exception {
	uint64_t vector;
	uint64_t error_code;
	uint64_t rip;
	uint64_t cr2;
	uint64_t cs;
};

extern char stub_vectors[];
extern char stub_int3[];
extern struct idt_gate stub_idt[VECTORS];
extern struct stub_exception stub_exception;
extern char stub_exception_stack_top[];
_Noreturn void stub_exception_report(void);

struct idt_gate stub_idt[VECTORS] __attribute__((aligned(16)));
struct stub_exception stub_exception;

/* The report needs a stack that the fault cannot have spoilt. */
__asm__(".pushsection .bss\n"
	".balign 16\n"
	".skip 1024\n"
	".globl stub_exception_stack_top\n"
	"stub_exception_stack_top:\n"
	".popsection\n");

static void gate_set(unsigned int vector, const void *handler, uint8_t type)
{
	uintptr_t offset = (uintptr_t)handler;

	stub_idt[vector] = (struct idt_gate){
		.offset_low = (uint16_t)offset,
		.selector = STUB_KERNEL_CS,
		.type = type,
		.offset_mid = (uint16_t)(offset >> 16),
		.offset_high = (uint32_t)(offset >> 32),
	};
}

/* Ring 3 may do this: all memory is open to it, and start.S has loaded IDTR. */
void stub_exceptions_init(void)
{
	for (unsigned int vector = 0; vector < VECTORS; vector++)
		gate_set(vector, stub_vectors + 16 * vector, GATE_RING0);
	gate_set(VECTOR_INT3, stub_int3, GATE_RING3);
}

_Noreturn void stub_exception_report(void)
{
	const struct stub_exception *e = &stub_exception;

	stub_console("stub: exception vector=%lu error=0x%lx rip=0x%lx cr2=0x%lx ring=%lu\n",
		     e->vector, e->error_code, e->rip, e->cr2, e->cs & 3);
	stub_done(STATUS_PREFIX | (uint32_t)e->vector);
}

struct msr_access {
	uint32_t msr;
	bool write;
	bool done;
	uint64_t value;
};

static uint64_t msr_access(uint64_t argument)
{
	struct msr_access *access = (struct msr_access *)argument;
	uint32_t low = (uint32_t)access->value, high = (uint32_t)(access->value >> 32);
	uint32_t done = 1;

	if (access->write)
		__asm__ volatile("1: wrmsr\n"
				 "jmp 3f\n"
				 "2: xor %0, %0\n"
				 "3:\n" STUB_FIXUP("1b", "2b")
				 : "+r"(done)
				 : "c"(access->msr), "a"(low), "d"(high)
				 : "memory");
	else
		__asm__ volatile("1: rdmsr\n"
				 "jmp 3f\n"
				 "2: xor %0, %0\n"
				 "3:\n" STUB_FIXUP("1b", "2b")
				 : "+r"(done), "+a"(low), "+d"(high)
				 : "c"(access->msr)
				 : "memory");
	access->value = (uint64_t)high << 32 | low;
	access->done = done != 0;
	return 0;
}

bool ring0_rdmsr(uint32_t msr, uint64_t *ret_value)
{
	struct msr_access access = {.msr = msr};

	ring0_call(msr_access, (uintptr_t)&access);
	if (access.done)
		*ret_value = access.value;
	return access.done;
}

bool ring0_wrmsr(uint32_t msr, uint64_t value)
{
	struct msr_access access = {.msr = msr, .write = true, .value = value};

	ring0_call(msr_access, (uintptr_t)&access);
	return access.done;
}

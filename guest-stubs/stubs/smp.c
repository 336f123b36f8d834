/* SPDX-License-Identifier: MIT */
/*
 * smp: every vCPU survives a clone, in the middle of what it was doing.
 *
 * Request: anything, ignored.
 * Answer:  ok cpus=N work=HEX                     (N is what the VM was booted with; 1 is fine)
 *          FAIL cpu=N reason=WORD ...
 *
 * Theory of operation
 *   Each secondary vCPU loads general and vector registers with patterns of its own and counts, in
 *   a register and in memory at once, until it finds a new command. That loop is what the freeze
 *   interrupts. In the clone, CPU 0 gives each one a command; it stores its registers as they are,
 *   compares, compares the two counts (an instruction lost or run twice would part them), does the
 *   computation asked for, answers, and counts on. CPU 0 does the same computation and compares.
 *   Every wait is bounded by the TSC.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);

#define CPUS	    64
#define ROUNDS	    1000
#define WAIT_CYCLES 60000000000ull /* some 20 s */

STUB_CPUS(CPUS);

/* One for each vCPU. The assembly knows the offsets down to vector. */
struct slot {
	uint64_t counter;	   /* 0: by the vCPU */
	uint32_t command;	   /* 8: by CPU 0    */
	uint32_t done;		   /* 12: last command carried out */
	uint64_t counter_register; /* 16 */
	uint64_t general[10];	   /* 24: RBX RSI RBP R8 to R14, as found */
	uint8_t vector[16][16];	   /* 104 */
	uint64_t result;
	const char *reason; /* NULL: all was well */
	uint64_t want_general[10];
	uint8_t want_vector[16][16];
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct slot, general) == 24, "assembly");
_Static_assert(offsetof(struct slot, vector) == 104, "assembly");

static struct slot slots[CPUS];
static uint64_t counters_at_template[CPUS];
static uint32_t last_command;

static uint64_t compute(uint64_t clone_id, uint32_t index, uint32_t command)
{
	uint64_t x = clone_id ^ (uint64_t)index << 32 ^ command;

	for (unsigned int i = 0; i < ROUNDS; i++)
		x = stub_mix(x + i + 1);
	return x;
}

/* Count until slot->command differs from slot->done. RDI: slot, RCX: done, R15: the count. */
static void count(struct slot *slot)
{
	uint64_t done = slot->done;

	/* Vector registers need no clobbers: compiled code here has none. */
	__asm__ volatile(
		"push %%rbp\n"
		"mov %c[general](%%rdi), %%rbx\n"
		"mov %c[general]+8(%%rdi), %%rsi\n"
		"mov %c[general]+16(%%rdi), %%rbp\n"
		"mov %c[general]+24(%%rdi), %%r8\n"
		"mov %c[general]+32(%%rdi), %%r9\n"
		"mov %c[general]+40(%%rdi), %%r10\n"
		"mov %c[general]+48(%%rdi), %%r11\n"
		"mov %c[general]+56(%%rdi), %%r12\n"
		"mov %c[general]+64(%%rdi), %%r13\n"
		"mov %c[general]+72(%%rdi), %%r14\n"
		".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"movups %c[vector]+16*\\n(%%rdi), %%xmm\\n\n"
		".endr\n"
		"mov (%%rdi), %%r15\n"
		"1: inc %%r15\n"
		"incq (%%rdi)\n"
		"pause\n"
		"cmp %%ecx, 8(%%rdi)\n"
		"je 1b\n"
		"mov %%r15, 16(%%rdi)\n"
		"mov %%rbx, 24(%%rdi)\n"
		"mov %%rsi, 32(%%rdi)\n"
		"mov %%rbp, 40(%%rdi)\n"
		"mov %%r8, 48(%%rdi)\n"
		"mov %%r9, 56(%%rdi)\n"
		"mov %%r10, 64(%%rdi)\n"
		"mov %%r11, 72(%%rdi)\n"
		"mov %%r12, 80(%%rdi)\n"
		"mov %%r13, 88(%%rdi)\n"
		"mov %%r14, 96(%%rdi)\n"
		".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		"movups %%xmm\\n, 104+16*\\n(%%rdi)\n"
		".endr\n"
		"pop %%rbp\n"
		: "+D"(slot), "+c"(done)
		: [general] "i"(offsetof(struct slot, want_general)), [vector] "i"(
									      offsetof(struct slot,
										       want_vector))
		: "rbx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",
		  "memory");
}

static const char *verify(const struct slot *slot)
{
	if (slot->counter != slot->counter_register)
		return "count";
	if (memcmp(slot->general, slot->want_general, sizeof(slot->general)) != 0)
		return "general-registers";
	if (memcmp(slot->vector, slot->want_vector, sizeof(slot->vector)) != 0)
		return "vector-registers";
	return NULL;
}

void stub_secondary(uint32_t index)
{
	struct slot *slot = &slots[index];

	for (uint64_t i = 0; i < 10; i++)
		slot->want_general[i] = stub_mix(index * 1000ull + i);
	for (uint64_t i = 0; i < sizeof(slot->want_vector); i++)
		slot->want_vector[i / 16][i % 16] = (uint8_t)stub_mix(index * 1000ull + 500 + i);
	for (;;) {
		count(slot);
		slot->reason = verify(slot);
		slot->result = compute(stub_mailbox.identity.clone_id, index, slot->command);
		__atomic_store_n(&slot->done, slot->command, __ATOMIC_RELEASE);
	}
}

/* Whether *at becomes more than value (or, with equal, value itself) in time. */
static bool wait_done(const struct slot *slot, uint32_t command)
{
	uint64_t start = stub_rdtsc();

	while (__atomic_load_n(&slot->done, __ATOMIC_ACQUIRE) != command) {
		if (stub_rdtsc() - start > WAIT_CYCLES)
			return false;
		stub_pause();
	}
	return true;
}

static bool wait_counter(const struct slot *slot, uint64_t above)
{
	uint64_t start = stub_rdtsc();

	while (__atomic_load_n(&slot->counter, __ATOMIC_RELAXED) <= above) {
		if (stub_rdtsc() - start > WAIT_CYCLES)
			return false;
		stub_pause();
	}
	return true;
}

void stub_setup(void)
{
	if (stub_boot->vcpus > CPUS)
		stub_fail("smp: at most %u vCPUs", CPUS);
	for (uint32_t i = 1; i < stub_boot->vcpus; i++) {
		if (!wait_counter(&slots[i], 0))
			stub_fail("smp: vCPU %u does not start", i);
	}
	for (uint32_t i = 0; i < CPUS; i++)
		counters_at_template[i] = slots[i].counter;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	uint64_t clone_id = stub_mailbox.identity.clone_id, work;
	struct text answer = text_on(response, capacity);
	uint32_t command = ++last_command, index = 0;
	const char *reason = NULL;

	(void)request;
	(void)request_len;
	/* All at once, so that they run side by side. */
	for (uint32_t i = 1; i < stub_boot->vcpus; i++)
		__atomic_store_n(&slots[i].command, command, __ATOMIC_RELEASE);
	work = compute(clone_id, 0, command);
	for (uint32_t i = 1; i < stub_boot->vcpus && reason == NULL; i++) {
		const struct slot *slot = &slots[i];
		uint64_t expected = compute(clone_id, i, command);

		index = i;
		work ^= expected;
		if (!wait_done(slot, command))
			reason = "no-reply";
		else if (slot->reason != NULL)
			reason = slot->reason;
		else if (slot->result != expected)
			reason = "wrong-result";
		else if (slot->counter_register < counters_at_template[i])
			reason = "count-went-back";
		else if (!wait_counter(slot, slot->counter_register))
			reason = "does-not-count-on";
	}
	if (reason != NULL)
		text_printf(&answer, "FAIL cpu=%u reason=%s\n", index, reason);
	else
		text_printf(&answer, "ok cpus=%u work=%016lx\n", stub_boot->vcpus, work);
	return answer.len;
}

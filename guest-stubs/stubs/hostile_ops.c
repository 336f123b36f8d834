/* SPDX-License-Identifier: MIT */
/*
 * The hostile stub's misuses in a clone, one function each, and the table of them.
 */
#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/hostile.h"

#define FLOOD	     5000
#define UNMAPPED     (1ull << 46) /* beyond all page tables */
#define UNKNOWN_MSR  0x4b5646ff
#define NOBODYS_PORT 0x3f8

/* ---- Instructions ---- */

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static void out32_many(uint16_t port, const uint32_t *values, uint64_t count)
{
	__asm__ volatile("rep outsl" : "+S"(values), "+c"(count) : "d"(port) : "memory");
}

static uint64_t halt(uint64_t unused)
{
	(void)unused;
	__asm__ volatile("cli; hlt" : : : "memory");
	return 0;
}

static uint64_t halt_open(uint64_t unused)
{
	(void)unused;
	__asm__ volatile("sti; hlt; cli" : : : "memory");
	return 0;
}

static uint64_t triple_fault(uint64_t unused)
{
	static const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) no_idt = {0, 0};

	(void)unused;
	__asm__ volatile("lidt %0; ud2" : : "m"(no_idt));
	return 0;
}

static uint64_t wild_page_tables(uint64_t gpa)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(gpa) : "memory");
	return 0;
}

/* ---- Operations in a clone. Those that come back have survived. ---- */

static void ready_too_long(void)
{
	stub_doorbell(FORKVM_PORT_READY, stub_mailbox.response_capacity + 1);
}

static void ready_maximal(void)
{
	stub_doorbell(FORKVM_PORT_READY, UINT32_MAX);
}

static void ready_twice(void)
{
	stub_doorbell(FORKVM_PORT_READY, 0);
	stub_doorbell(FORKVM_PORT_READY, 0);
}

static void park_without_ready(void)
{
	stub_doorbell(FORKVM_PORT_PARK, 0);
}

static void console_too_long(void)
{
	stub_doorbell(FORKVM_PORT_CONSOLE, stub_mailbox.console_capacity + 1);
}

static void console_maximal(void)
{
	stub_doorbell(FORKVM_PORT_CONSOLE, UINT32_MAX);
}

static void console_empty(void)
{
	stub_doorbell(FORKVM_PORT_CONSOLE, 0);
}

static void console_flood(void)
{
	for (unsigned int i = 0; i < FLOOD; i++)
		stub_console("hostile: line %u of a flood\n", i);
}

/* Every byte there is, among them what terminals and log files take for commands. */
static void console_binary(void)
{
	char *at = (char *)stub_mailbox.console_gpa;

	for (unsigned int i = 0; i < 256; i++)
		at[i] = (char)i;
	stub_doorbell(FORKVM_PORT_CONSOLE, 256);
	stub_console("\33]0;title\7\33[2J\33[31mred\n{\"json\": true}\nno newline");
}

static void booted_again(void)
{
	stub_doorbell(FORKVM_PORT_BOOTED, (uint32_t)(uintptr_t)&stub_mailbox);
}

static void booted_again_wild(void)
{
	stub_doorbell(FORKVM_PORT_BOOTED, HOSTILE_FAR_MAILBOX);
}

static void template_again(void)
{
	stub_doorbell(FORKVM_PORT_TEMPLATE, 0);
}

static void port_between(void)
{
	stub_doorbell(FORKVM_PORT_READY + 2, 0);
}

static void port_odd(void)
{
	stub_doorbell(FORKVM_PORT_BASE + 1, 0);
}

/* The last byte but one below the block to the first but one in it: KVM reports the first. */
static void port_below(void)
{
	stub_doorbell(FORKVM_PORT_BASE - 2, 0x41414141);
}

static void port_beyond(void)
{
	stub_doorbell(FORKVM_PORT_END, 0x41414141);
}

static void port_nobodys(void)
{
	uint32_t value;

	out8(NOBODYS_PORT, 0x41);
	out16(NOBODYS_PORT, 0x4141);
	stub_doorbell(NOBODYS_PORT, 0x41414141);
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"((uint16_t)NOBODYS_PORT));
}

static void out_8(void)
{
	out8(FORKVM_PORT_CONSOLE, 1);
}

static void out_16(void)
{
	out16(FORKVM_PORT_CONSOLE, 1);
}

static void in_8(void)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"((uint16_t)FORKVM_PORT_READY));
}

static void in_32(void)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"((uint16_t)FORKVM_PORT_READY));
}

static void outs_ready(void)
{
	static const uint32_t lengths[2] = {0, 0};

	out32_many(FORKVM_PORT_READY, lengths, 2);
}

static void outs_console(void)
{
	static const uint32_t lengths[3] = {1, 2, 3};

	out32_many(FORKVM_PORT_CONSOLE, lengths, 3);
}

static void outs_flood(void)
{
	/* Whatever is in RAM, as lengths. */
	out32_many(FORKVM_PORT_CONSOLE, (const uint32_t *)stub_boot->free_start, FLOOD);
}

static void ins_block(void)
{
	uint32_t values[4];
	void *to = values;
	uint64_t count = 4;

	__asm__ volatile("rep insl"
			 : "+D"(to), "+c"(count)
			 : "d"((uint16_t)FORKVM_PORT_CONSOLE)
			 : "memory");
}

static void done_maximal(void)
{
	stub_done(UINT32_MAX);
}

static void unbacked_write(void)
{
	*(volatile uint64_t *)HOSTILE_UNBACKED = 0x4141414141414141;
}

static void unbacked_read(void)
{
	*(volatile uint64_t *)HOSTILE_UNBACKED;
}

static void unbacked_string(void)
{
	memset((void *)HOSTILE_UNBACKED, 0x41, 1 << 20);
}

static void unbacked_execute(void)
{
	((void (*)(void))HOSTILE_UNBACKED)();
}

/* From the last bytes of low RAM into nothing. */
static void ram_end_straddle(void)
{
	uint64_t at = stub_boot->low_ram_end - 4;

	__asm__ volatile("movq $-1, (%0)" : : "r"(at) : "memory");
}

static void unmapped_write(void)
{
	*(volatile uint64_t *)UNMAPPED = 1;
}

static void unmapped_execute(void)
{
	((void (*)(void))UNMAPPED)();
}

static void exception(void)
{
	__asm__ volatile("ud2");
}

static const char *msr_unknown(void)
{
	uint64_t value;

	/* Reads may be given a zero: hosts can be set to ignore unknown MSRs. */
	if (ring0_rdmsr(UNKNOWN_MSR, &value) && value != 0)
		return "an unknown MSR has a value";
	ring0_wrmsr(UNKNOWN_MSR, UINT64_MAX);
	return NULL;
}

static void halt_now(void)
{
	ring0_call(halt, 0);
}

static void halt_interruptible(void)
{
	ring0_call(halt_open, 0);
}

static void triple_fault_now(void)
{
	ring0_call(triple_fault, 0);
}

static void page_tables_unbacked(void)
{
	ring0_call(wild_page_tables, HOSTILE_UNBACKED);
}

/* Zeros throughout: the next fetch has no translation, and neither has any handler. */
static void page_tables_empty(void)
{
	static char empty[STUB_PAGE_SIZE] __attribute__((aligned(STUB_PAGE_SIZE)));

	ring0_call(wild_page_tables, (uintptr_t)empty);
}

/*
 * The host read its part once, at BOOTED: what is written there later must have no effect. Answer
 * and take the next request with everything scribbled over, and only then repair it, for the
 * runtime's sake.
 */
static const char *mailbox_scribble(void)
{
	struct forkvm_mailbox saved = stub_mailbox;
	static const char answer[] = "ok op=mailbox-scribble\n";
	size_t own = offsetof(struct forkvm_mailbox, is_clone);

	memcpy(stub_buffers.response, answer, sizeof(answer) - 1);
	memset(&stub_mailbox, 0xff, own);
	stub_doorbell(FORKVM_PORT_READY, sizeof(answer) - 1);
	stub_doorbell(FORKVM_PORT_PARK, 0);
	memcpy(&stub_mailbox, &saved, own);
	return NULL;
}

/* The host's part belongs to the host, but it must not believe what it finds there. */
static void mailbox_host_part(void)
{
	memset((char *)&stub_mailbox + offsetof(struct forkvm_mailbox, is_clone), 0xff,
	       sizeof(stub_mailbox) - offsetof(struct forkvm_mailbox, is_clone));
}

const struct hostile_op hostile_ops[] = {
	{"ready-too-long", END_GUEST_ERROR, .run = ready_too_long},
	{"ready-maximal", END_GUEST_ERROR, .run = ready_maximal},
	{"ready-twice", END_GUEST_ERROR, .run = ready_twice},
	{"park-without-ready", END_GUEST_ERROR, .run = park_without_ready},
	{"console-too-long", END_GUEST_ERROR, .run = console_too_long},
	{"console-maximal", END_GUEST_ERROR, .run = console_maximal},
	{"console-empty", END_OK, .run = console_empty},
	{"console-flood", END_OK, .run = console_flood},
	{"console-binary", END_OK, .run = console_binary},
	{"booted-again", END_GUEST_ERROR, .run = booted_again},
	{"booted-again-wild", END_GUEST_ERROR, .run = booted_again_wild},
	{"template-again", END_GUEST_ERROR, .run = template_again},
	{"port-between", END_GUEST_ERROR, .run = port_between},
	{"port-odd", END_GUEST_ERROR, .run = port_odd},
	{"port-below", END_OK, .run = port_below},
	{"port-beyond", END_OK, .run = port_beyond},
	{"port-nobodys", END_OK, .run = port_nobodys},
	{"out-8", END_GUEST_ERROR, .run = out_8},
	{"out-16", END_GUEST_ERROR, .run = out_16},
	{"in-8", END_GUEST_ERROR, .run = in_8},
	{"in-32", END_GUEST_ERROR, .run = in_32},
	{"outs-ready", END_GUEST_ERROR, .run = outs_ready},
	{"outs-console", END_ANY, .run = outs_console},
	{"outs-flood", END_ANY, .run = outs_flood},
	{"ins-block", END_GUEST_ERROR, .run = ins_block},
	{"done-maximal", END_DONE, .run = done_maximal},
	{"unbacked-write", END_GUEST_ERROR, .run = unbacked_write},
	{"unbacked-read", END_GUEST_ERROR, .run = unbacked_read},
	{"unbacked-string", END_GUEST_ERROR, .run = unbacked_string},
	{"unbacked-execute", END_GUEST_ERROR, .run = unbacked_execute},
	{"ram-end-straddle", END_GUEST_ERROR, .run = ram_end_straddle},
	{"unmapped-write", END_DONE, .run = unmapped_write},
	{"unmapped-execute", END_DONE, .run = unmapped_execute},
	{"exception", END_DONE, .run = exception},
	{"msr-unknown", END_OK, .run_checked = msr_unknown},
	{"halt", END_SHUTDOWN, .run = halt_now},
	{"halt-interruptible", END_SHUTDOWN, .run = halt_interruptible},
	{"triple-fault", END_GUEST_ERROR, .run = triple_fault_now},
	{"page-tables-unbacked", END_CRASH, .run = page_tables_unbacked},
	{"page-tables-empty", END_GUEST_ERROR, .run = page_tables_empty},
	{"mailbox-scribble", END_OK, .run_checked = mailbox_scribble, .has_answered = true},
	{"mailbox-host-part", END_OK, .run = mailbox_host_part},
};
const size_t hostile_op_count = sizeof(hostile_ops) / sizeof(hostile_ops[0]);

const struct hostile_op *hostile_op_find(const char *name, size_t len)
{
	for (size_t i = 0; i < hostile_op_count; i++) {
		if (args_is(name, len, hostile_ops[i].name))
			return &hostile_ops[i];
	}
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * regs: every register but those of fpu survives a clone.
 *
 * Request: anything, ignored.
 * Answer:  ok gpr=17 segment=N control=N debug=N table=N msr=N skipped=NAME,NAME,...
 *          FAIL NAME=GOT/WANT ...                  (every difference, in hexadecimal)
 *
 * General registers and flags are loaded with patterns, TEMPLATE is rung, and they are stored
 * again, by one piece of assembly. The rest is set up in the template, read through ring 0, and
 * compared with a second reading at every request. FS and GS bases are tried by use, too. An MSR
 * that cannot be read, or (where a value is to be written) does not hold it, is skipped and named.
 *
 * Data selectors are skipped on hosts that run ring 3 natively and emulate ring 0: what ring 3
 * loads into DS, ES, FS and GS stays unknown to KVM there, so no VMM could carry it over. They mean
 * nothing in 64-bit mode.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(FORKVM_NEED_CPUID);

/* CF PF AF ZF SF DF OF and ID: what ring 3 can set and no host needs. */
#define FLAGS	    0x200cd5ull

/* Upper half of RAX and all but DX of RDX: the OUT itself needs the rest. */
#define RAX_PATTERN 0xa0a1a2a300000000ull
#define RDX_PATTERN (0xd0d1d2d3d4d50000ull | FORKVM_PORT_TEMPLATE)

enum gpr {
	RAX,
	RBX,
	RCX,
	RDX,
	RSI,
	RDI,
	RBP,
	RSP,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
	RFLAGS,
	GPRS
};

static const char *const gpr_names[] = {"rax", "rbx", "rcx", "rdx", "rsi",   "rdi",
					"rbp", "rsp", "r8",  "r9",  "r10",   "r11",
					"r12", "r13", "r14", "r15", "rflags"};
_Static_assert(sizeof(gpr_names) / sizeof(gpr_names[0]) == GPRS, "a name each");

/* Read in ring 0, in this order. */
enum special {
	CR0,
	CR2,
	CR3,
	CR4,
	CR8,
	DR0,
	DR1,
	DR2,
	DR3,
	DR6,
	DR7,
	GDT_BASE,
	GDT_LIMIT,
	IDT_BASE,
	IDT_LIMIT,
	TR,
	LDTR,
	CS,
	SS,
	DS,
	ES,
	FS,
	GS,
	SPECIALS
};

static const char *const special_names[] = {
	"cr0",	"cr2", "cr3", "cr4",	  "cr8",       "dr0",	   "dr1",	"dr2",
	"dr3",	"dr6", "dr7", "gdt-base", "gdt-limit", "idt-base", "idt-limit", "tr",
	"ldtr", "cs",  "ss",  "ds",	  "es",	       "fs",	   "gs"};
_Static_assert(sizeof(special_names) / sizeof(special_names[0]) == SPECIALS, "a name each");

struct msr {
	const char *name;
	uint32_t index;
	bool write;
	uint64_t value; /* to be written in the template */
	bool checked;
	uint64_t want;
};

#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

static uint64_t fs_area[8] = {0x6673666673666673};
static uint64_t gs_area[8] = {0x6773676773676773};

static struct msr msrs[] = {
	{.name = "fs-base", .index = MSR_FS_BASE, .write = true, .value = (uintptr_t)fs_area},
	{.name = "gs-base", .index = MSR_GS_BASE, .write = true, .value = (uintptr_t)gs_area},
	{.name = "kernel-gs-base",
	 .index = MSR_KERNEL_GS_BASE,
	 .write = true,
	 .value = 0x00007a11b22c3000},
	{.name = "star", .index = 0xc0000081, .write = true, .value = 0x0023001000000000},
	{.name = "lstar", .index = 0xc0000082, .write = true, .value = 0x00007a11b22c4000},
	{.name = "cstar", .index = 0xc0000083, .write = true, .value = 0x00007a11b22c5000},
	{.name = "sfmask", .index = 0xc0000084, .write = true, .value = 0x00047700},
	{.name = "sysenter-cs", .index = 0x174, .write = true, .value = 0x10},
	{.name = "sysenter-esp", .index = 0x175, .write = true, .value = 0x12345678},
	{.name = "sysenter-eip", .index = 0x176, .write = true, .value = 0x23456780},
	{.name = "pat", .index = 0x277, .write = true, .value = 0x0007040100070406},
	{.name = "tsc-aux", .index = 0xc0000103, .write = true, .value = 0x5a5a},
	{.name = "mtrr-def-type", .index = 0x2ff},
	{.name = "efer", .index = 0xc0000080},
	{.name = "misc-enable", .index = 0x1a0},
};
#define MSRS (sizeof(msrs) / sizeof(msrs[0]))

/* By their assembly names too. */
extern uint64_t gpr_got[GPRS];
extern uint64_t gpr_saved_rsp;

static uint64_t gpr_want[GPRS];
uint64_t gpr_got[GPRS];
uint64_t gpr_saved_rsp;
static uint64_t special_want[SPECIALS];
static uint64_t special_got[SPECIALS];
static bool selectors_tracked;

/* In ring 0. CR2 is plain memory to the CPU; CR8 is only raised, which causes no exit. */
static uint64_t special_write(uint64_t unused)
{
	(void)unused;
	__asm__ volatile("mov %0, %%cr2" : : "r"(0x00007fedcba98760ull));
	__asm__ volatile("mov %0, %%cr8" : : "r"(5ull));
	__asm__ volatile("mov %0, %%db0" : : "r"(0x00007a0000001000ull));
	__asm__ volatile("mov %0, %%db1" : : "r"(0x00007a0000002008ull));
	__asm__ volatile("mov %0, %%db2" : : "r"(0x00007a0000003010ull));
	__asm__ volatile("mov %0, %%db3" : : "r"(0x00007a0000004018ull));
	/* Two hits noted; four kinds of breakpoint described and none enabled. */
	__asm__ volatile("mov %0, %%db6" : : "r"(0xffff0ff5ull));
	__asm__ volatile("mov %0, %%db7" : : "r"(0x3d150400ull));
	return 0;
}

static uint64_t special_read(uint64_t argument)
{
	uint64_t *to = (uint64_t *)argument;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table;

	__asm__ volatile("mov %%cr0, %0" : "=r"(to[CR0]));
	__asm__ volatile("mov %%cr2, %0" : "=r"(to[CR2]));
	__asm__ volatile("mov %%cr3, %0" : "=r"(to[CR3]));
	__asm__ volatile("mov %%cr4, %0" : "=r"(to[CR4]));
	__asm__ volatile("mov %%cr8, %0" : "=r"(to[CR8]));
	__asm__ volatile("mov %%db0, %0" : "=r"(to[DR0]));
	__asm__ volatile("mov %%db1, %0" : "=r"(to[DR1]));
	__asm__ volatile("mov %%db2, %0" : "=r"(to[DR2]));
	__asm__ volatile("mov %%db3, %0" : "=r"(to[DR3]));
	__asm__ volatile("mov %%db6, %0" : "=r"(to[DR6]));
	__asm__ volatile("mov %%db7, %0" : "=r"(to[DR7]));
	__asm__ volatile("sgdt %0" : "=m"(table));
	to[GDT_BASE] = table.base;
	to[GDT_LIMIT] = table.limit;
	__asm__ volatile("sidt %0" : "=m"(table));
	to[IDT_BASE] = table.base;
	to[IDT_LIMIT] = table.limit;
	__asm__ volatile("str %k0" : "=r"(to[TR]));
	__asm__ volatile("sldt %k0" : "=r"(to[LDTR]));
	return 0;
}

static void special_get(uint64_t *to)
{
	ring0_call(special_read, (uintptr_t)to);
	/* Selectors as ring 3 sees them: ring 0 has its own CS and SS. */
	__asm__ volatile("mov %%cs, %k0" : "=r"(to[CS]));
	__asm__ volatile("mov %%ss, %k0" : "=r"(to[SS]));
	__asm__ volatile("mov %%ds, %k0" : "=r"(to[DS]));
	__asm__ volatile("mov %%es, %k0" : "=r"(to[ES]));
	__asm__ volatile("mov %%fs, %k0" : "=r"(to[FS]));
	__asm__ volatile("mov %%gs, %k0" : "=r"(to[GS]));
}

static uint64_t es_read(uint64_t unused)
{
	(void)unused;
	__asm__ volatile("mov %%es, %k0" : "=r"(unused));
	return unused;
}

static bool special_checked(size_t which)
{
	return which < DS || selectors_tracked;
}

void stub_setup(void)
{
	/* Selectors before bases: loading FS or GS may change its base. */
	__asm__ volatile("mov %0, %%es\n"
			 "mov %0, %%gs\n"
			 "mov %1, %%fs\n"
			 "mov %1, %%ds"
			 :
			 : "r"(0), "r"(STUB_USER_DS)
			 : "memory");
	/* start.S has loaded something else, in ring 0. */
	selectors_tracked = ring0_call(es_read, 0) == 0;
	ring0_call(special_write, 0);
	for (size_t i = 0; i < MSRS; i++) {
		struct msr *msr = &msrs[i];

		msr->checked = ring0_rdmsr(msr->index, &msr->want);
		if (!msr->checked || !msr->write)
			continue;
		if (!ring0_wrmsr(msr->index, msr->value) || !ring0_rdmsr(msr->index, &msr->want) ||
		    msr->want != msr->value)
			msr->checked = false;
	}
	special_get(special_want);
	memset(special_got, 0, sizeof(special_got));
	memset(gpr_got, 0, sizeof(gpr_got));

	for (uint64_t i = 0; i < GPRS; i++)
		gpr_want[i] = stub_mix(i + 77);
	gpr_want[RAX] = RAX_PATTERN;
	gpr_want[RDX] = RDX_PATTERN;
	gpr_want[RFLAGS] = FLAGS;
}

/*
 * RSP gets a pattern, too: nothing uses a ring-3 stack between load and store. RAX and RDX go last
 * through absolute addresses; MOV leaves the flags alone.
 */
void stub_template(void)
{
	uint64_t *want = gpr_want;

	__asm__ volatile("push %%rbp\n"
			 "mov %%rsp, gpr_saved_rsp\n"
			 "push 128(%%rax)\n"
			 "popfq\n"
			 "mov 8(%%rax), %%rbx\n"
			 "mov 16(%%rax), %%rcx\n"
			 "mov 24(%%rax), %%rdx\n"
			 "mov 32(%%rax), %%rsi\n"
			 "mov 40(%%rax), %%rdi\n"
			 "mov 48(%%rax), %%rbp\n"
			 "mov 56(%%rax), %%rsp\n"
			 "mov 64(%%rax), %%r8\n"
			 "mov 72(%%rax), %%r9\n"
			 "mov 80(%%rax), %%r10\n"
			 "mov 88(%%rax), %%r11\n"
			 "mov 96(%%rax), %%r12\n"
			 "mov 104(%%rax), %%r13\n"
			 "mov 112(%%rax), %%r14\n"
			 "mov 120(%%rax), %%r15\n"
			 "mov 0(%%rax), %%rax\n"
			 "outl %%eax, %%dx\n"
			 "mov %%rax, gpr_got\n"
			 "mov %%rbx, gpr_got + 8\n"
			 "mov %%rcx, gpr_got + 16\n"
			 "mov %%rdx, gpr_got + 24\n"
			 "mov %%rsi, gpr_got + 32\n"
			 "mov %%rdi, gpr_got + 40\n"
			 "mov %%rbp, gpr_got + 48\n"
			 "mov %%rsp, gpr_got + 56\n"
			 "mov %%r8, gpr_got + 64\n"
			 "mov %%r9, gpr_got + 72\n"
			 "mov %%r10, gpr_got + 80\n"
			 "mov %%r11, gpr_got + 88\n"
			 "mov %%r12, gpr_got + 96\n"
			 "mov %%r13, gpr_got + 104\n"
			 "mov %%r14, gpr_got + 112\n"
			 "mov %%r15, gpr_got + 120\n"
			 "mov gpr_saved_rsp, %%rsp\n"
			 "pushfq\n"
			 "cld\n"
			 "pop gpr_got + 128\n"
			 "pop %%rbp\n"
			 : "+a"(want)
			 :
			 : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
			   "r13", "r14", "r15", "cc", "memory");
	gpr_got[RFLAGS] &= FLAGS;
}

static void compare(struct text *answer, const char *name, uint64_t want, uint64_t got)
{
	if (want == got)
		return;
	text_printf(answer, "%s %s=%lx/%lx", answer->len == 0 ? "FAIL" : "", name, got, want);
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);
	uint64_t fs_word, gs_word, value;
	size_t checked = 0;
	bool skipped = false;

	(void)request;
	(void)request_len;
	/* Before anything else goes through ring 0. */
	__asm__ volatile("mov %%fs:0, %0" : "=r"(fs_word));
	__asm__ volatile("mov %%gs:0, %0" : "=r"(gs_word));
	special_get(special_got);

	for (size_t i = 0; i < GPRS; i++)
		compare(&answer, gpr_names[i], gpr_want[i], gpr_got[i]);
	for (size_t i = 0; i < SPECIALS; i++) {
		if (special_checked(i))
			compare(&answer, special_names[i], special_want[i], special_got[i]);
	}
	compare(&answer, "fs:0", fs_area[0], fs_word);
	compare(&answer, "gs:0", gs_area[0], gs_word);
	for (size_t i = 0; i < MSRS; i++) {
		if (!msrs[i].checked)
			continue;
		checked++;
		value = ~msrs[i].want;
		ring0_rdmsr(msrs[i].index, &value);
		compare(&answer, msrs[i].name, msrs[i].want, value);
	}
	if (answer.len > 0) {
		text_char(&answer, '\n');
		return answer.len;
	}

	text_printf(&answer,
		    "ok gpr=%u segment=%u control=%u debug=%u table=%u msr=%lu skipped=", GPRS,
		    selectors_tracked ? GS - CS + 1 : SS - CS + 1, CR8 - CR0 + 1, DR7 - DR0 + 1,
		    LDTR - GDT_BASE + 1, checked);
	if (!selectors_tracked) {
		text_string(&answer, "data-selectors");
		skipped = true;
	}
	for (size_t i = 0; i < MSRS; i++) {
		if (msrs[i].checked)
			continue;
		text_printf(&answer, "%s%s", skipped ? "," : "", msrs[i].name);
		skipped = true;
	}
	text_printf(&answer, "%s\n", skipped ? "" : "none");
	return answer.len;
}

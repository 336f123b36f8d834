/* SPDX-License-Identifier: MIT */
/*
 * fpu: floating-point and vector state survives a clone, and being parked.
 *
 * Request: anything, ignored.
 * Answer:  ok x87 sse [avx] [avx512] [opmask]     (what was checked, as CPUID and XCR0 allow)
 *          FAIL NAME byte=N want=HEX got=HEX      (the first difference: st3, mxcsr, zmm17, k2, ...)
 *
 * The patterns are loaded, TEMPLATE is rung and everything is stored again by one piece of straight
 * assembly; no compiled code runs in between. Later requests compare what was loaded before READY
 * and PARK: C code here has no vector instructions, so the values stay in the registers.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(FORKVM_NEED_CPUID);

#define HAVE_AVX      1u
#define HAVE_AVX512F  2u
#define HAVE_AVX512BW 4u

#define XCR0_AVX    0x06u
#define XCR0_AVX512 0xe6u

/* x87: all exceptions masked, rounding up, 53 bits; C3, C0, IE and PE set, top 0, all in use. */
#define X87_CONTROL 0x0a7f
#define X87_STATUS  0x4121
/* SSE: flush to zero, denormals are zero, round toward zero, all masked, three flags. */
#define MXCSR 0xffea

/* What FLDENV and FNSTENV use in 64-bit mode; the upper halves and the rest are not compared. */
struct x87_env {
	uint16_t control, reserved0;
	uint16_t status, reserved1;
	uint16_t tag, reserved2;
	uint32_t pointers[4];
};

/* The assembly below knows these offsets. */
struct state {
	uint8_t vector[32][64]; /* 0: the low 16 bytes for SSE, 32 for AVX */
	uint64_t opmask[8];	/* 2048 */
	uint8_t x87[8][16];	/* 2112: ten bytes each */
	struct x87_env env;	/* 2240 */
	uint32_t mxcsr;		/* 2268 */
	uint64_t xcr0;		/* 2272; compared, not loaded */
};
_Static_assert(offsetof(struct state, opmask) == 2048, "assembly");
_Static_assert(offsetof(struct state, x87) == 2112, "assembly");
_Static_assert(offsetof(struct state, env) == 2240, "assembly");
_Static_assert(offsetof(struct state, mxcsr) == 2268, "assembly");

#define FOR_0_7	  "0,1,2,3,4,5,6,7"
#define FOR_0_15  FOR_0_7 ",8,9,10,11,12,13,14,15"
#define FOR_16_31 "16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"

#define REPEAT(registers, line) ".irp n, " registers "\n" line "\n.endr\n"

/* RBX: HAVE_*. RSI: struct state to load. */
#define LOAD                                                                                       \
	"fninit\n"                                                                                 \
	REPEAT("7,6,5,4,3,2,1,0", "fldt 2112+16*\\n(%%rsi)")                                       \
	"fldenv 2240(%%rsi)\n"                                                                     \
	"ldmxcsr 2268(%%rsi)\n"                                                                    \
	"test $2, %%ebx\n"                                                                         \
	"jnz 10f\n"                                                                                \
	"test $1, %%ebx\n"                                                                         \
	"jnz 11f\n"                                                                                \
	REPEAT(FOR_0_15, "movups 64*\\n(%%rsi), %%xmm\\n")                                         \
	"jmp 13f\n"                                                                                \
	"11:\n"                                                                                    \
	REPEAT(FOR_0_15, "vmovups 64*\\n(%%rsi), %%ymm\\n")                                        \
	"jmp 13f\n"                                                                                \
	"10:\n"                                                                                    \
	REPEAT(FOR_0_15 "," FOR_16_31, "vmovups 64*\\n(%%rsi), %%zmm\\n")                          \
	"test $4, %%ebx\n"                                                                         \
	"jnz 12f\n"                                                                                \
	REPEAT(FOR_0_7, "kmovw 2048+8*\\n(%%rsi), %%k\\n")                                         \
	"jmp 13f\n"                                                                                \
	"12:\n"                                                                                    \
	REPEAT(FOR_0_7, "kmovq 2048+8*\\n(%%rsi), %%k\\n")                                         \
	"13:\n"

/* RBX: HAVE_*. RDI: struct state to fill. Vectors first: nothing else has run since. */
#define STORE                                                                                      \
	"test $2, %%ebx\n"                                                                         \
	"jnz 20f\n"                                                                                \
	"test $1, %%ebx\n"                                                                         \
	"jnz 21f\n"                                                                                \
	REPEAT(FOR_0_15, "movups %%xmm\\n, 64*\\n(%%rdi)")                                         \
	"jmp 23f\n"                                                                                \
	"21:\n"                                                                                    \
	REPEAT(FOR_0_15, "vmovups %%ymm\\n, 64*\\n(%%rdi)")                                        \
	"jmp 23f\n"                                                                                \
	"20:\n"                                                                                    \
	REPEAT(FOR_0_15 "," FOR_16_31, "vmovups %%zmm\\n, 64*\\n(%%rdi)")                          \
	"test $4, %%ebx\n"                                                                         \
	"jnz 22f\n"                                                                                \
	REPEAT(FOR_0_7, "kmovw %%k\\n, 2048+8*\\n(%%rdi)")                                         \
	"jmp 23f\n"                                                                                \
	"22:\n"                                                                                    \
	REPEAT(FOR_0_7, "kmovq %%k\\n, 2048+8*\\n(%%rdi)")                                         \
	"23:\n"                                                                                    \
	"stmxcsr 2268(%%rdi)\n"                                                                    \
	"fnstenv 2240(%%rdi)\n"                                                                    \
	"fninit\n"                                                                                 \
	"fldenv 2240(%%rdi)\n"                                                                     \
	REPEAT("0,1,2,3,4,5,6,7", "fstpt 2112+16*\\n(%%rdi)")

static _Alignas(STUB_PAGE_SIZE) struct state want;
static _Alignas(STUB_PAGE_SIZE) struct state got;
static uint32_t have;
static bool fresh;

static void cpuid(uint32_t leaf, uint32_t *ret_ebx, uint32_t *ret_ecx)
{
	uint32_t eax = leaf, edx;

	*ret_ecx = 0;
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(*ret_ebx), "+c"(*ret_ecx), "=d"(edx));
}

static uint64_t xcr0_read(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static uint32_t features(void)
{
	uint32_t ebx, ecx, found = 0;
	uint64_t xcr0;

	cpuid(1, &ebx, &ecx);
	if (!(ecx & 1u << 27)) /* OSXSAVE: no XGETBV */
		return 0;
	xcr0 = xcr0_read();
	if (ecx & 1u << 28 && (xcr0 & XCR0_AVX) == XCR0_AVX)
		found |= HAVE_AVX;
	cpuid(0, &ebx, &ecx);
	cpuid(7, &ebx, &ecx);
	if (found & HAVE_AVX && ebx & 1u << 16 && (xcr0 & XCR0_AVX512) == XCR0_AVX512)
		found |= HAVE_AVX512F | (ebx & 1u << 30 ? HAVE_AVX512BW : 0);
	want.xcr0 = xcr0;
	return found;
}

static size_t vector_count(void)
{
	return have & HAVE_AVX512F ? 32 : 16;
}

static size_t vector_size(void)
{
	return have & HAVE_AVX512F ? 64 : have & HAVE_AVX ? 32 : 16;
}

void stub_setup(void)
{
	have = features();
	memset(&got, 0xee, sizeof(got));
	for (size_t i = 0; i < 32 * 64; i++)
		want.vector[i / 64][i % 64] = (uint8_t)stub_mix(i + 1);
	for (size_t i = 0; i < 8; i++) {
		/* A normal number: the top bit of the mantissa set, the exponent in range. */
		uint64_t mantissa = stub_mix(1000 + i) | 1ull << 63;
		uint16_t exponent = (uint16_t)(0x3ff0 + i);

		memcpy(want.x87[i], &mantissa, sizeof(mantissa));
		memcpy(want.x87[i] + 8, &exponent, sizeof(exponent));
		want.opmask[i] = stub_mix(2000 + i);
		if (!(have & HAVE_AVX512BW))
			want.opmask[i] &= 0xffff;
	}
	want.env.control = X87_CONTROL;
	want.env.status = X87_STATUS;
	want.env.tag = 0;
	want.mxcsr = MXCSR;
}

void stub_template(void)
{
	uint32_t eax = 0;

	__asm__ volatile(LOAD "outl %%eax, %%dx\n" STORE
			 : "+a"(eax)
			 : "b"(have), "S"(&want), "D"(&got), "d"(FORKVM_PORT_TEMPLATE)
			 : "memory", "cc");
	fresh = true;
}

static void difference(struct text *answer, const char *name, size_t index, const void *wanted,
		       const void *gotten, size_t size)
{
	const uint8_t *a = wanted, *b = gotten;
	size_t i = 0;

	if (answer->len > 0)
		return;
	while (i < size && a[i] == b[i])
		i++;
	if (i == size)
		return;
	text_printf(answer, "FAIL %s", name);
	if (index != SIZE_MAX)
		text_printf(answer, "%lu", index);
	text_printf(answer, " byte=%lu want=", i);
	text_bytes(answer, a, size);
	text_string(answer, " got=");
	text_bytes(answer, b, size);
	text_char(answer, '\n');
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);

	(void)request;
	(void)request_len;
	if (!fresh)
		__asm__ volatile(STORE : : "b"(have), "D"(&got) : "memory", "cc");
	fresh = false;
	if (have != 0)
		got.xcr0 = xcr0_read();

	for (size_t i = 0; i < vector_count(); i++)
		difference(&answer, vector_size() == 64 ? "zmm" : vector_size() == 32 ? "ymm" : "xmm", i,
			   want.vector[i], got.vector[i], vector_size());
	if (have & HAVE_AVX512F) {
		for (size_t i = 0; i < 8; i++)
			difference(&answer, "k", i, &want.opmask[i], &got.opmask[i],
				   sizeof(want.opmask[i]));
	}
	for (size_t i = 0; i < 8; i++)
		difference(&answer, "st", i, want.x87[i], got.x87[i], 10);
	difference(&answer, "x87-control", SIZE_MAX, &want.env.control, &got.env.control, 2);
	difference(&answer, "x87-status", SIZE_MAX, &want.env.status, &got.env.status, 2);
	/* The tag word in full, not as "empty or not": the values above are all normal. */
	difference(&answer, "x87-tag", SIZE_MAX, &want.env.tag, &got.env.tag, 2);
	difference(&answer, "mxcsr", SIZE_MAX, &want.mxcsr, &got.mxcsr, sizeof(want.mxcsr));
	if (have != 0)
		difference(&answer, "xcr0", SIZE_MAX, &want.xcr0, &got.xcr0, sizeof(want.xcr0));
	if (answer.len == 0)
		text_printf(&answer, "ok x87 sse%s%s\n", have & HAVE_AVX ? " avx" : "",
			    have & HAVE_AVX512F ? " avx512 opmask" : "");

	memset(&got, 0xee, sizeof(got));
	__asm__ volatile(LOAD : : "b"(have), "S"(&want) : "memory", "cc");
	return answer.len;
}

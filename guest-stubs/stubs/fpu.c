/* SPDX-License-Identifier: MIT */
/*
 * fpu: floating-point and vector state survives a clone, and being parked.
 *
 * Request: hole=N    also access N places in RAM that was never populated with vector registers
 *                    and the instructions that save FPU state (default 0)
 *          kind=NAME only this way (default: all in turn; see kinds[])
 *          stride=N  distance between places in pages (default 2)
 * Answer:  ok x87 sse [avx] [avx512] [opmask] [hole=N]
 *          (what was checked, as CPUID and XCR0 allow)
 *          FAIL NAME byte=N want=HEX got=HEX
 *          (the first difference: st3, mxcsr, zmm17, k2, ...)
 *          FAIL reason=WORD
 *
 * The patterns are loaded, TEMPLATE is rung and everything is stored again by one piece of assembly
 * (fpu_state.S); no compiled code runs in between. Later requests compare what was loaded before
 * READY and PARK: C code here has no vector instructions, so the values stay in the registers.
 */
#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/fpu_state.h"

STUB_NEEDS(FORKVM_NEED_CPUID);

#define XCR0_AVX    0x06u
#define XCR0_AVX512 0xe6u

/* x87: all exceptions masked, rounding up, 53 bits; C3, C0, IE and PE set, top 0, all in use. */
#define X87_CONTROL 0x0a7f
#define X87_STATUS  0x4121
/* SSE: flush to zero, denormals are zero, round toward zero, all masked, three flags. */
#define MXCSR	    0xffea

static _Alignas(STUB_PAGE_SIZE) struct fpu_state want;
static _Alignas(STUB_PAGE_SIZE) struct fpu_state got;
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
	if (have & HAVE_AVX512F)
		return 64;
	return have & HAVE_AVX ? 32 : 16;
}

static const char *vector_name(void)
{
	if (have & HAVE_AVX512F)
		return "zmm";
	return have & HAVE_AVX ? "ymm" : "xmm";
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
	fpu_template(have, &want, &got);
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

/* ---- Holes: see dirty.c for the ordinary ways of touching them. Here registers are free. ---- */

#define PLACE_PAGES 2
#define XSAVE_MASK  0xe7u /* x87, SSE, AVX, AVX-512: fits a page */

static _Alignas(64) uint8_t scratch[64];
static uint64_t places_used;

static void vector_load(const void *from)
{
	if (have & HAVE_AVX512F)
		__asm__ volatile("vmovups (%0), %%zmm1" : : "r"(from) : "memory");
	else if (have & HAVE_AVX)
		__asm__ volatile("vmovups (%0), %%ymm1" : : "r"(from) : "memory");
	else
		__asm__ volatile("movups (%0), %%xmm1" : : "r"(from) : "memory");
}

static void vector_store(void *to)
{
	if (have & HAVE_AVX512F)
		__asm__ volatile("vmovups %%zmm1, (%0)" : : "r"(to) : "memory");
	else if (have & HAVE_AVX)
		__asm__ volatile("vmovups %%ymm1, (%0)" : : "r"(to) : "memory");
	else
		__asm__ volatile("movups %%xmm1, (%0)" : : "r"(to) : "memory");
}

static bool read_at(const uint8_t *at)
{
	uint8_t any = 0;

	vector_load(want.vector[1]);
	vector_load(at);
	vector_store(scratch);
	for (size_t i = 0; i < vector_size(); i++)
		any |= scratch[i];
	return any == 0;
}

static bool write_at(uint8_t *at)
{
	vector_load(want.vector[1]);
	vector_store(at);
	return memcmp(at, want.vector[1], vector_size()) == 0;
}

static bool vector_read(uint8_t *place)
{
	return read_at(place);
}

static bool vector_write(uint8_t *place)
{
	return write_at(place);
}

static bool straddle_read(uint8_t *place)
{
	return read_at(place + STUB_PAGE_SIZE - 8);
}

static bool straddle_write(uint8_t *place)
{
	return write_at(place + STUB_PAGE_SIZE - 8);
}

/* MXCSR is at the same place in both formats. */
static bool saved_mxcsr(const uint8_t *place)
{
	uint32_t mxcsr = MXCSR;

	return memcmp(place + 24, &mxcsr, sizeof(mxcsr)) == 0;
}

static bool fxsave(uint8_t *place)
{
	uint32_t mxcsr = MXCSR;

	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	__asm__ volatile("fxsave64 (%0)" : : "r"(place) : "memory");
	return saved_mxcsr(place);
}

static bool xsave(uint8_t *place)
{
	uint32_t mxcsr = MXCSR;

	if (have == 0)
		return true;
	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	__asm__ volatile("xsave64 (%0)" : : "r"(place), "a"(XSAVE_MASK), "d"(0) : "memory");
	return saved_mxcsr(place);
}

/* From zeros: everything becomes its initial value, and nothing faults. */
static bool xrstor(uint8_t *place)
{
	if (have == 0)
		return true;
	__asm__ volatile("xrstor64 (%0)" : : "r"(place), "a"(XSAVE_MASK), "d"(0) : "memory");
	vector_store(scratch);
	return scratch[0] == 0;
}

static const struct {
	const char *name;
	bool (*touch)(uint8_t *place);
} kinds[] = {
	{"vector-read", vector_read},
	{"vector-write", vector_write},
	{"straddle-read", straddle_read},
	{"straddle-write", straddle_write},
	{"fxsave", fxsave},
	{"xsave", xsave},
	{"xrstor", xrstor},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Returns what is wrong, or NULL; the number of places in *ret_count. */
static const char *try_holes(const char *request, size_t request_len, uint64_t *ret_count)
{
	uint64_t hole = 0, stride = PLACE_PAGES;
	const char *name;
	size_t only = KINDS, len;

	*ret_count = 0;
	if (!stub_number(request, request_len, "hole", &hole) ||
	    !stub_number(request, request_len, "stride", &stride) || stride < PLACE_PAGES)
		return "bad-request";
	if (args_find(request, request_len, "kind", &name, &len)) {
		for (only = 0; only < KINDS && !args_is(name, len, kinds[only].name); only++)
			;
		if (only == KINDS)
			return "bad-kind";
	}
	for (; *ret_count < hole; (*ret_count)++) {
		size_t kind = only < KINDS ? only : *ret_count % KINDS;
		uint64_t index = stub_populated_pages + places_used;

		if (index + PLACE_PAGES > stub_free_pages() || index + PLACE_PAGES < index)
			return "no-hole-left";
		places_used += stride;
		if (!kinds[kind].touch(stub_free_page(index)))
			return kinds[kind].name;
	}
	return NULL;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);
	const char *reason;
	uint64_t holes;

	if (!fresh)
		fpu_store(have, &got);
	fresh = false;
	if (have != 0)
		got.xcr0 = xcr0_read();

	for (size_t i = 0; i < vector_count(); i++)
		difference(&answer, vector_name(), i, want.vector[i], got.vector[i], vector_size());
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

	reason = try_holes(request, request_len, &holes);
	if (answer.len == 0 && reason != NULL)
		text_printf(&answer, "FAIL reason=%s\n", reason);
	if (answer.len == 0) {
		text_printf(&answer, "ok x87 sse%s%s", have & HAVE_AVX ? " avx" : "",
			    have & HAVE_AVX512F ? " avx512 opmask" : "");
		if (holes > 0)
			text_printf(&answer, " hole=%lu", holes);
		text_char(&answer, '\n');
	}

	memset(&got, 0xee, sizeof(got));
	fpu_load(have, &want);
	return answer.len;
}

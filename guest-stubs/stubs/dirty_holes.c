/* SPDX-License-Identifier: MIT */
/*
 * Touching RAM that was never populated: see dirty_holes.h.
 *
 * Each kind touches the two pages of an untouched place in its own way first, and returns false
 * when what it found was not zero, or what it wrote is not there. Then both pages are written and
 * verified in full.
 */
#include "guest-stubs/stubs/dirty_holes.h"

#include "guest-stubs/runtime/stub.h"

#define PAGE_WORDS (STUB_PAGE_SIZE / sizeof(uint64_t))
#define FOUR_GIB   (1ull << 32)
#define RETURN	   0xc3 /* the instruction */

static uint64_t low_used, high_used; /* in pages beyond the populated ones */
static uint64_t source[PAGE_WORDS] __attribute__((aligned(STUB_PAGE_SIZE)));

static bool read_byte(volatile uint8_t *place)
{
	return place[STUB_PAGE_SIZE - 1] == 0 && place[STUB_PAGE_SIZE] == 0;
}

static bool read_word(volatile uint8_t *place)
{
	return *(volatile uint64_t *)place == 0;
}

static bool write_byte(volatile uint8_t *place)
{
	place[100] = 0x5a;
	return place[100] == 0x5a && place[99] == 0 && place[101] == 0;
}

static bool write_word(volatile uint8_t *place)
{
	volatile uint64_t *words = (volatile uint64_t *)place;

	words[7] = 0x123456789abcdef0;
	return words[7] == 0x123456789abcdef0 && words[6] == 0 && words[8] == 0;
}

static bool straddle_read(volatile uint8_t *place)
{
	uint64_t value;

	__asm__ volatile("mov (%1), %0" : "=r"(value) : "r"(place + STUB_PAGE_SIZE - 3) : "memory");
	return value == 0;
}

static bool straddle_write(volatile uint8_t *place)
{
	uint64_t value = 0x1122334455667788, back;
	volatile uint8_t *at = place + STUB_PAGE_SIZE - 5;

	__asm__ volatile("mov %1, (%0)" : : "r"(at), "r"(value) : "memory");
	__asm__ volatile("mov (%1), %0" : "=r"(back) : "r"(at) : "memory");
	return back == value && at[-1] == 0 && at[8] == 0;
}

static bool add(volatile uint8_t *place)
{
	volatile uint64_t *words = (volatile uint64_t *)place;

	__asm__ volatile("addq $5, %0" : "+m"(words[3]) : : "cc");
	return words[3] == 5;
}

static bool exchange_add(volatile uint8_t *place)
{
	volatile uint64_t *words = (volatile uint64_t *)place;
	uint64_t value = 9;

	__asm__ volatile("lock xaddq %0, %1" : "+r"(value), "+m"(words[5]) : : "cc");
	return value == 0 && words[5] == 9;
}

static bool compare_exchange(volatile uint8_t *place)
{
	volatile uint64_t *words = (volatile uint64_t *)place;
	uint64_t expected = 0;

	__asm__ volatile("lock cmpxchgq %2, %1"
			 : "+a"(expected), "+m"(words[511])
			 : "r"(0x77ull)
			 : "cc");
	return expected == 0 && words[511] == 0x77;
}

static bool push_pop(volatile uint8_t *place)
{
	volatile uint8_t *stack = place + STUB_PAGE_SIZE + 16;
	uint64_t first, second, third;

	__asm__ volatile("mov %%rsp, %%r8\n"
			 "mov %3, %%rsp\n"
			 "push $1\n"
			 "push $2\n"
			 "push $3\n"
			 "pop %0\n"
			 "pop %1\n"
			 "pop %2\n"
			 "mov %%r8, %%rsp\n"
			 : "=&r"(first), "=&r"(second), "=&r"(third)
			 : "r"(stack)
			 : "r8", "memory");
	return first == 3 && second == 2 && third == 1;
}

static bool string_store(volatile uint8_t *place)
{
	uint64_t count = PAGE_WORDS;
	void *to = (void *)(place + STUB_PAGE_SIZE / 2);

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0x4242ull) : "memory");
	return place[STUB_PAGE_SIZE / 2] == 0x42 && place[STUB_PAGE_SIZE / 2 - 1] == 0 &&
	       place[STUB_PAGE_SIZE + STUB_PAGE_SIZE / 2 - 7] == 0x42 &&
	       place[STUB_PAGE_SIZE + STUB_PAGE_SIZE / 2] == 0;
}

/* Out of a hole, into known memory; then from there into the second hole page. */
static bool string_copy(volatile uint8_t *place)
{
	const void *from = (const void *)place;
	void *to = source;
	uint64_t count = STUB_PAGE_SIZE;

	source[0] = 1;
	source[PAGE_WORDS - 1] = 1;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	if (source[0] != 0 || source[PAGE_WORDS - 1] != 0)
		return false;
	for (size_t i = 0; i < PAGE_WORDS; i++)
		source[i] = i + 1;
	from = source;
	to = (void *)(place + STUB_PAGE_SIZE);
	count = STUB_PAGE_SIZE;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	return memcmp((const void *)(place + STUB_PAGE_SIZE), source, STUB_PAGE_SIZE) == 0;
}

/* From one hole straight into another. */
static bool string_between(volatile uint8_t *place)
{
	const void *from = (const void *)place;
	void *to = (void *)(place + STUB_PAGE_SIZE);
	uint64_t count = PAGE_WORDS;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	return place[0] == 0 && place[2 * STUB_PAGE_SIZE - 1] == 0;
}

static bool string_scan(volatile uint8_t *place)
{
	const void *at = (const void *)place;
	uint64_t count = STUB_PAGE_SIZE + 1;

	__asm__ volatile("repe scasb" : "+D"(at), "+c"(count) : "a"(0) : "memory", "cc");
	return count == 0;
}

/* No clobbers: compiled code here uses no vector registers. */
static bool vector_read(volatile uint8_t *place)
{
	uint64_t low = 1;

	__asm__ volatile("movdqu (%1), %%xmm0\n"
			 "movq %%xmm0, %0"
			 : "+r"(low)
			 : "r"(place + STUB_PAGE_SIZE - 8)
			 : "memory");
	return low == 0;
}

static bool vector_write(volatile uint8_t *place)
{
	volatile uint64_t *words = (volatile uint64_t *)place;

	__asm__ volatile("movq %0, %%xmm0\n"
			 "punpcklqdq %%xmm0, %%xmm0\n"
			 "movaps %%xmm0, (%1)"
			 :
			 : "r"(0x3344ull), "r"(place)
			 : "memory");
	return words[0] == 0x3344 && words[1] == 0x3344 && words[2] == 0;
}

/*
 * Fetch from a page that was never touched: zeros are "add %al, (%rax)". Enter at its last two
 * bytes, and have a return as the first byte of the next page.
 */
static bool execute(volatile uint8_t *place)
{
	uint64_t scratch = 0;
	uint64_t target = (uint64_t)&scratch & ~0xffull; /* AL is zero: nothing is added */
	uint64_t entry = (uint64_t)(place + STUB_PAGE_SIZE - 2);

	place[STUB_PAGE_SIZE] = RETURN;
	__asm__ volatile("call *%0" : "+r"(entry) : "a"(target) : "memory", "cc");
	return true;
}

/* Write code into the hole and run it at once. */
static bool write_execute(volatile uint8_t *place)
{
	uint64_t value = 1;

	place[0] = 0x31; /* xor %eax, %eax */
	place[1] = 0xc0;
	place[2] = RETURN;
	__asm__ volatile("call *%1" : "+a"(value) : "r"(place) : "memory", "cc");
	return value == 0;
}

static const struct {
	const char *name;
	bool (*touch)(volatile uint8_t *place);
} kinds[] = {
	{"read-byte", read_byte},
	{"write-byte", write_byte},
	{"read-word", read_word},
	{"write-word", write_word},
	{"straddle-read", straddle_read},
	{"straddle-write", straddle_write},
	{"add", add},
	{"exchange-add", exchange_add},
	{"compare-exchange", compare_exchange},
	{"push-pop", push_pop},
	{"string-store", string_store},
	{"string-copy", string_copy},
	{"string-between", string_between},
	{"string-scan", string_scan},
	{"vector-read", vector_read},
	{"vector-write", vector_write},
	{"execute", execute},
	{"write-execute", write_execute},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static uint64_t low_free_pages(void)
{
	return (stub_boot->low_ram_end - stub_boot->free_start) / STUB_PAGE_SIZE;
}

/* The next unused place, below 4 GiB or above; NULL when there is none. */
static uint8_t *next_place(bool high, uint64_t stride)
{
	uint64_t *used = high ? &high_used : &low_used;
	uint64_t start = stub_populated_pages, end = low_free_pages(), at;

	if (high) {
		if (start < low_free_pages())
			start = low_free_pages();
		end = stub_free_pages();
	}
	at = start + *used;
	if (at + HOLE_PLACE_PAGES > end || at + HOLE_PLACE_PAGES < at)
		return NULL;
	*used += stride;
	return stub_free_page(at);
}

/* After the first touch, however it was done: a page holds what is written, all of it. */
static bool page_works(void *page)
{
	volatile uint64_t *words = page;
	uint64_t differences = 0;

	for (size_t i = 0; i < PAGE_WORDS; i++)
		words[i] = stub_mix((uintptr_t)page + i);
	for (size_t i = 0; i < PAGE_WORDS; i++)
		differences |= words[i] ^ stub_mix((uintptr_t)page + i);
	return differences == 0;
}

void holes_setup(void)
{
	memset(source, 0, sizeof(source));
}

bool hole_kind_find(const char *name, size_t len, size_t *ret_kind)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (args_is(name, len, kinds[i].name)) {
			*ret_kind = i;
			return true;
		}
	}
	return false;
}

void holes_touch(uint64_t count, uint64_t stride, size_t kind, struct hole_result *ret)
{
	bool have_high = stub_boot->high_ram_end > FOUR_GIB;

	*ret = (struct hole_result){.reason = NULL};
	for (; ret->count < count; ret->count++) {
		bool high = have_high && ret->count % 2 == 1;
		/* With high RAM, every kind on both sides in turn. */
		size_t turn = (have_high ? ret->count / 2 : ret->count) % KINDS;
		size_t which = kind == HOLE_KINDS_ALL ? turn : kind;
		uint8_t *place = next_place(high, stride);

		if (place == NULL && have_high) {
			high = !high;
			place = next_place(high, stride);
		}
		ret->at = (uintptr_t)place;
		if (place == NULL)
			ret->reason = "no-hole-left";
		else if (!kinds[which].touch(place))
			ret->reason = kinds[which].name;
		else if (!page_works(place) || !page_works(place + STUB_PAGE_SIZE))
			ret->reason = "hole-does-not-hold";
		if (ret->reason != NULL)
			return;
		ret->high += high;
	}
}

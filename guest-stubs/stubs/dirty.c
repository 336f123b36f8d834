/* SPDX-License-Identifier: MIT */
/*
 * dirty: a clone sees what the template left, keeps what it writes, and sees nobody else's writes;
 * RAM that was never populated reads as zeros and works in every way of touching it.
 *
 * Boot arguments: region=MIB (default 1): pages of patterned RAM to write to; more when populate=
 *                 says more. The request's numbers, too, as defaults.
 * Request: pages=N    write N pages of the region (default 16)
 *          seed=S     which ones, and with what (default 0); decimal or 0x...
 *          check=N    also verify N pages that this clone never wrote (default: pages)
 *          hole=N     touch N places in RAM that was never populated (default 0), below and, where
 *                     there is RAM, above 4 GiB; every place costs two pages of RAM
 *          stride=N   distance between places in pages (default 2)
 *          kind=NAME  only this way of touching (default: all in turn; see dirty_holes.c)
 * Answer:  ok clone=ID pages=N again=N check=N hole=N high=N
 *          FAIL clone=ID reason=WORD ...
 *          "again" is how many pages of earlier requests were verified, "high" how many holes were
 *          above 4 GiB.
 *
 * Theory of operation
 *   A page of the region is either as the template left it or as this clone wrote it last. A
 *   written page is filled with words that depend on clone id, seed and address, so that another
 *   clone's page, another page, or an older version of it cannot pass. What was written is kept in
 *   a log of (seed, first page, count), newest last; a page belongs to the last entry that covers
 *   it. Each request verifies all of that before it writes.
 *
 *   Holes are used from the end of populated RAM upwards, each place once in a clone's life. A
 *   place is two pages, since some accesses straddle the boundary between them. A host may fill
 *   more than the page that was touched: for the certainty that one kind meets a hole, ask for one
 *   place and that kind. AVX and the FPU's save areas in holes are the fpu stub's.
 */
#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/dirty_holes.h"

STUB_NEEDS(0);

#define MIB_PAGES   256
#define PAGE_WORDS  (STUB_PAGE_SIZE / sizeof(uint64_t))
#define LOG_ENTRIES 64

struct entry {
	uint64_t seed;
	uint64_t first;
	uint64_t count;
};

static struct entry log[LOG_ENTRIES];
static size_t log_count;
static uint64_t region_pages;
static uint64_t source[PAGE_WORDS] __attribute__((aligned(STUB_PAGE_SIZE)));

static uint64_t own_word(uint64_t seed, const void *page, size_t i)
{
	return stub_mix(stub_mix(stub_mailbox.identity.clone_id + 1) ^ stub_mix(seed + 2) ^
			((uintptr_t)page + 8 * i));
}

/* Three ways of writing the same words; plain stores, string store, string copy. */
static void own_write(uint64_t seed, uint64_t index)
{
	void *page = stub_free_page(index);
	uint64_t *words = page;
	size_t count = PAGE_WORDS;
	void *to = page, *from = source;

	switch (index % 3) {
	case 0:
		for (size_t i = 0; i < PAGE_WORDS; i++)
			((volatile uint64_t *)words)[i] = own_word(seed, page, i);
		break;
	case 1:
		/* A whole page of one value first, then the words that differ: every one. */
		__asm__ volatile("rep stosq"
				 : "+D"(to), "+c"(count)
				 : "a"(own_word(seed, page, 0))
				 : "memory");
		for (size_t i = 1; i < PAGE_WORDS; i++)
			((volatile uint64_t *)words)[i] = own_word(seed, page, i);
		break;
	default:
		for (size_t i = 0; i < PAGE_WORDS; i++)
			source[i] = own_word(seed, page, i);
		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	}
}

static bool own_intact(uint64_t seed, uint64_t index)
{
	const uint64_t *words = stub_free_page(index);
	uint64_t differences = 0;

	for (size_t i = 0; i < PAGE_WORDS; i++)
		differences |= words[i] ^ own_word(seed, words, i);
	return differences == 0;
}

static bool covers(const struct entry *entry, uint64_t index)
{
	return (index + region_pages - entry->first) % region_pages < entry->count;
}

/* The entry that wrote a page last, or NULL for the template. */
static const struct entry *owner(uint64_t index)
{
	for (size_t i = log_count; i > 0; i--) {
		if (covers(&log[i - 1], index))
			return &log[i - 1];
	}
	return NULL;
}

static bool intact(uint64_t index)
{
	const struct entry *entry = owner(index);

	if (entry == NULL)
		return stub_populated_page_intact(stub_free_page(index));
	return own_intact(entry->seed, index);
}

/* Make a page what the template left. */
static void restore(uint64_t index)
{
	memset(stub_free_page(index), 0, STUB_PAGE_SIZE);
	stub_populate_page(stub_free_page(index));
}

/* The log is full: begin again, as far as the template's content goes. */
static void log_reset(void)
{
	for (size_t i = 0; i < log_count; i++) {
		for (uint64_t j = 0; j < log[i].count; j++)
			restore((log[i].first + j) % region_pages);
	}
	log_count = 0;
}

static void log_add(const struct entry *entry)
{
	for (size_t i = 0; i < log_count; i++) {
		if (memcmp(&log[i], entry, sizeof(*entry)) == 0) {
			memmove(&log[i], &log[i + 1], (log_count - i - 1) * sizeof(*entry));
			log_count--;
			break;
		}
	}
	log[log_count++] = *entry;
}

/* ---- Requests ---- */

struct request {
	uint64_t pages, seed, check, hole, stride;
	size_t kind;
};

void stub_setup(void)
{
	uint64_t region_mib = 1;

	if (!stub_number(NULL, 0, "region", &region_mib) || region_mib > 1u << 30)
		stub_fail("dirty: region= wants MiB");
	stub_populate(region_mib * MIB_PAGES);
	region_pages = stub_populated_pages;
	if (region_pages == 0)
		stub_fail("dirty: no RAM for a region");
	/* Part of the template, as what a clone needs besides the region. */
	memset(log, 0, sizeof(log));
	memset(source, 0, sizeof(source));
	holes_setup();
}

static const char *parse(const char *text, size_t len, struct request *ret)
{
	const char *value;
	size_t value_len;

	*ret = (struct request){.pages = 16, .stride = HOLE_PLACE_PAGES, .kind = HOLE_KINDS_ALL};
	if (ret->pages > region_pages)
		ret->pages = region_pages;
	if (!stub_number(text, len, "pages", &ret->pages) || ret->pages > region_pages)
		return "bad-pages";
	ret->check = ret->pages;
	if (!stub_number(text, len, "seed", &ret->seed))
		return "bad-seed";
	if (!stub_number(text, len, "check", &ret->check))
		return "bad-check";
	if (!stub_number(text, len, "hole", &ret->hole))
		return "bad-hole";
	if (!stub_number(text, len, "stride", &ret->stride) || ret->stride < HOLE_PLACE_PAGES ||
	    ret->stride > 1u << 30)
		return "bad-stride";
	if (args_find(text, len, "kind", &value, &value_len) &&
	    !hole_kind_find(value, value_len, &ret->kind))
		return "bad-kind";
	return NULL;
}

static size_t fail(struct text *answer, const char *reason, const char *name, uint64_t value)
{
	text_printf(answer, "FAIL clone=%lu reason=%s %s=0x%lx\n", stub_mailbox.identity.clone_id,
		    reason, name, value);
	return answer->len;
}

/* Everything earlier requests wrote; the page that is not as it should be, or NULL. */
static const void *verify_log(uint64_t *ret_count)
{
	*ret_count = 0;
	for (size_t i = 0; i < log_count; i++) {
		for (uint64_t j = 0; j < log[i].count; j++) {
			uint64_t index = (log[i].first + j) % region_pages;

			/* Once a page: for the entry that wrote it last. */
			if (owner(index) != &log[i])
				continue;
			if (!intact(index))
				return stub_free_page(index);
			(*ret_count)++;
		}
	}
	return NULL;
}

static const void *write_and_verify(const struct entry *entry)
{
	for (uint64_t i = 0; i < entry->count; i++) {
		uint64_t index = (entry->first + i) % region_pages;

		if (!intact(index))
			return stub_free_page(index);
	}
	for (uint64_t i = 0; i < entry->count; i++)
		own_write(entry->seed, (entry->first + i) % region_pages);
	if (log_count == LOG_ENTRIES) {
		log_reset();
		for (uint64_t i = 0; i < entry->count; i++)
			own_write(entry->seed, (entry->first + i) % region_pages);
	}
	if (entry->count > 0)
		log_add(entry);
	for (uint64_t i = 0; i < entry->count; i++) {
		uint64_t index = (entry->first + i) % region_pages;

		if (!own_intact(entry->seed, index))
			return stub_free_page(index);
	}
	return NULL;
}

/* Pages of the template behind those just written, and if need be all the way round. */
static const void *verify_untouched(uint64_t first, uint64_t wanted, uint64_t *ret_count)
{
	*ret_count = 0;
	for (uint64_t i = 0; i < region_pages && *ret_count < wanted; i++) {
		uint64_t index = (first + i) % region_pages;

		if (owner(index) != NULL)
			continue;
		if (!intact(index))
			return stub_free_page(index);
		(*ret_count)++;
	}
	return NULL;
}

size_t stub_serve(const char *text, size_t len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);
	uint64_t again = 0, checked = 0;
	struct hole_result holes;
	struct request request;
	struct entry entry;
	const char *reason = parse(text, len, &request);
	const void *bad;

	if (reason != NULL)
		return fail(&answer, reason, "region_pages", region_pages);

	entry = (struct entry){
		.seed = request.seed,
		.first = stub_mix(request.seed + 1) % region_pages,
		.count = request.pages,
	};
	bad = verify_log(&again);
	if (bad != NULL)
		return fail(&answer, "earlier-write-lost", "gpa", (uintptr_t)bad);
	bad = write_and_verify(&entry);
	if (bad != NULL)
		return fail(&answer, "page-not-as-left", "gpa", (uintptr_t)bad);
	bad = verify_untouched(entry.first + entry.count, request.check, &checked);
	if (bad != NULL)
		return fail(&answer, "template-page-changed", "gpa", (uintptr_t)bad);

	holes_touch(request.hole, request.stride, request.kind, &holes);
	if (holes.reason != NULL)
		return fail(&answer, holes.reason, "gpa", holes.at);

	text_printf(&answer, "ok clone=%lu pages=%lu again=%lu check=%lu hole=%lu high=%lu\n",
		    stub_mailbox.identity.clone_id, request.pages, again, checked, holes.count,
		    holes.high);
	return answer.len;
}

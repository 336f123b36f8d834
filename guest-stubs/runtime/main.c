/* SPDX-License-Identifier: MIT */
/*
 * The life of a stub, from the first instruction in ring 3 to the last request.
 *
 * What runs in a clone is the tail of stub_main(): from the TEMPLATE doorbell to READY it touches
 * one page of code (.text.hot) and one of data (stub_hot), if the stub does not do more.
 */
#include "guest-stubs/runtime/stub.h"

#define MIB_PAGES	 256
#define FOUR_GIB	 (1ull << 32)
#define PATTERN_INTERVAL 64 /* words between two that populate writes: 512 bytes */
#define PAGE_WORDS	 (STUB_PAGE_SIZE / sizeof(uint64_t))

STUB_HOT_DATA _Alignas(STUB_PAGE_SIZE) struct stub_hot stub_hot;
const struct forkvm_boot_info *stub_boot;
uint64_t stub_populated_pages;

static char console[1024];

void stub_done(uint32_t status)
{
	for (;;)
		stub_doorbell(FORKVM_PORT_DONE, status);
}

void stub_console(const char *format, ...)
{
	struct text text = text_on(console, sizeof(console));
	va_list arguments;

	va_start(arguments, format);
	text_vprintf(&text, format, arguments);
	va_end(arguments);
	stub_doorbell(FORKVM_PORT_CONSOLE, (uint32_t)text.len);
}

void stub_fail(const char *format, ...)
{
	struct text text = text_on(console, sizeof(console));
	va_list arguments;

	text_string(&text, "FAIL ");
	va_start(arguments, format);
	text_vprintf(&text, format, arguments);
	va_end(arguments);
	text_char(&text, '\n');
	stub_doorbell(FORKVM_PORT_CONSOLE, (uint32_t)text.len);
	stub_done(1);
}

bool stub_number(const char *request, size_t request_len, const char *key, uint64_t *ret_value)
{
	const char *value;
	size_t len;

	if (!args_find(request, request_len, key, &value, &len) &&
	    !args_find(stub_boot->args, stub_boot->args_len, key, &value, &len))
		return true;
	return args_parse_u64(value, len, ret_value);
}

static uint64_t low_free_pages(void)
{
	return (stub_boot->low_ram_end - stub_boot->free_start) / STUB_PAGE_SIZE;
}

uint64_t stub_free_pages(void)
{
	uint64_t high = 0;

	if (stub_boot->high_ram_end > FOUR_GIB)
		high = (stub_boot->high_ram_end - FOUR_GIB) / STUB_PAGE_SIZE;
	return low_free_pages() + high;
}

void *stub_free_page(uint64_t index)
{
	uint64_t gpa = stub_boot->free_start + index * STUB_PAGE_SIZE;

	if (index >= low_free_pages())
		gpa = FOUR_GIB + (index - low_free_pages()) * STUB_PAGE_SIZE;
	return (void *)gpa;
}

static uint64_t pattern(const uint64_t *word)
{
	return stub_mix((uintptr_t)word ^ 0x74656d706c617465);
}

void stub_populate_page(void *page)
{
	volatile uint64_t *words = page;

	for (size_t i = 0; i < PAGE_WORDS; i += PATTERN_INTERVAL)
		words[i] = pattern((const uint64_t *)page + i);
}

bool stub_populated_page_intact(const void *page)
{
	const uint64_t *words = page;
	uint64_t differences = 0;

	for (size_t i = 0; i < PAGE_WORDS; i += PATTERN_INTERVAL) {
		differences |= words[i] ^ pattern(words + i);
		for (size_t j = 1; j < PATTERN_INTERVAL; j++)
			differences |= words[i + j];
	}
	return differences == 0;
}

void stub_populate(uint64_t count)
{
	if (count > stub_free_pages())
		count = stub_free_pages();
	for (; stub_populated_pages < count; stub_populated_pages++)
		stub_populate_page(stub_free_page(stub_populated_pages));
}

/* Write a byte of each page, so that it is part of the template and no clone finds a hole there. */
static void touch(void *start, size_t size)
{
	volatile char *at = start;

	for (size_t i = 0; i < size; i += STUB_PAGE_SIZE)
		at[i] = at[i];
}

__attribute__((weak)) void stub_booted(void)
{
	stub_doorbell(FORKVM_PORT_BOOTED, (uint32_t)(uintptr_t)&stub_mailbox);
}

/* Inlined by hand into stub_main's page: the first code that a clone runs. */
__attribute__((weak)) STUB_HOT_TEXT void stub_template(void)
{
	stub_doorbell(FORKVM_PORT_TEMPLATE, 0);
}

static void boot(const struct forkvm_boot_info *boot_info)
{
	uint64_t populate_mib = 0;

	stub_boot = boot_info;
	stub_exceptions_init();
	/* Said before anything else, so that the next lines can complain. */
	stub_mailbox.magic = FORKVM_ABI_MAGIC;
	stub_mailbox.version = FORKVM_ABI_VERSION;
	stub_mailbox.request_gpa = (uintptr_t)stub_buffers.request;
	stub_mailbox.response_gpa = (uintptr_t)stub_buffers.response;
	stub_mailbox.console_gpa = (uintptr_t)console;
	stub_mailbox.request_capacity = stub_buffers.request_capacity;
	stub_mailbox.response_capacity = stub_buffers.response_capacity;
	stub_mailbox.console_capacity = sizeof(console);
	stub_booted();

	if (boot_info->magic != FORKVM_ABI_MAGIC || boot_info->version != FORKVM_ABI_VERSION)
		stub_fail("boot info: magic 0x%x version %u", boot_info->magic, boot_info->version);

	touch(stub_hot.stack, sizeof(stub_hot.stack));
	touch(stub_buffers.request, 1);
	touch(stub_buffers.response, 1);

	if (!stub_number(NULL, 0, "populate", &populate_mib) || populate_mib > 1u << 30)
		stub_fail("populate= wants MiB");
	stub_populate(populate_mib * MIB_PAGES);
}

/*
 * A spare waits for its first request. What it will touch then it touches now, so that neither the
 * host's memory nor KVM's page tables have anything left to do: both buffers, and the code that
 * answers.
 */
static STUB_HOT_TEXT void wait_for_first_request(void)
{
	const struct forkvm_mailbox *m = &stub_mailbox;
	volatile char *request = (char *)m->request_gpa, *response = (char *)m->response_gpa;

	*request = *request;
	*response = *response;
	(void)*(const volatile char *)(uintptr_t)stub_serve;
	(void)*(const volatile char *)(uintptr_t)memcpy;
	stub_doorbell(FORKVM_PORT_PARK, 0);
}

STUB_HOT_TEXT void stub_main(const struct forkvm_boot_info *boot_info, uint32_t index)
{
	if (index != 0)
		stub_secondary(index);
	boot(boot_info);
	stub_setup();
	stub_template();
	if (stub_mailbox.request_seq == 0)
		wait_for_first_request();
	for (;;) {
		const struct forkvm_mailbox *m = &stub_mailbox;
		size_t len = stub_serve((const char *)m->request_gpa, m->request_len,
					(char *)m->response_gpa, m->response_capacity);

		stub_doorbell(FORKVM_PORT_READY, (uint32_t)len);
		stub_doorbell(FORKVM_PORT_PARK, 0);
	}
}

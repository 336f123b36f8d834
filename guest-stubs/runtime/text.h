/* SPDX-License-Identifier: MIT */
/*
 * Text in and out: a bounded buffer that is appended to, and "key=value" arguments.
 */
#ifndef FORKVM_STUB_TEXT_H
#define FORKVM_STUB_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What does not fit is cut off, silently. Never terminated: len counts. */
struct text {
	char *buffer;
	size_t capacity;
	size_t len;
};

static inline struct text text_on(char *buffer, size_t capacity)
{
	return (struct text){.buffer = buffer, .capacity = capacity};
}

void text_char(struct text *text, char c);
void text_string(struct text *text, const char *string);
void text_u64(struct text *text, uint64_t value);

/* Lower-case, at least digits of them (0: no leading zeros). */
void text_hex(struct text *text, uint64_t value, unsigned int digits);
/* Two digits a byte, in memory order. */
void text_bytes(struct text *text, const void *bytes, size_t count);

/* %s %c %d %u %x %%, each number also with l or ll, %x also with 0 and a width. */
__attribute__((format(printf, 2, 3))) void text_printf(struct text *text, const char *format, ...);
__attribute__((format(printf, 2, 0))) void text_vprintf(struct text *text, const char *format,
							va_list arguments);

/*
 * Find key in words of the form key=value, separated by white space; the last one counts. A word
 * without "=" has an empty value. Returns whether it is there.
 */
bool args_find(const char *text, size_t len, const char *key, const char **ret_value,
	       size_t *ret_len);

/* Decimal, or hexadecimal after 0x. False, and *ret untouched, for anything else or more than 64
 * bits. */
bool args_parse_u64(const char *value, size_t len, uint64_t *ret);

size_t text_length(const char *string);

/* Whether a value found above is exactly this word. */
bool args_is(const char *value, size_t len, const char *word);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Text in buffers of fixed size: see text.h.
 */
#include "guest-stubs/agent/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct text text_on(char *buffer, size_t capacity)
{
	buffer[0] = '\0';
	return (struct text){.at = buffer, .capacity = capacity};
}

void text_printf(struct text *text, const char *format, ...)
{
	size_t room = text->capacity - text->len;
	va_list args;
	int wanted;

	va_start(args, format);
	wanted = vsnprintf(text->at + text->len, room, format, args);
	va_end(args);
	if (wanted < 0)
		return;
	if ((size_t)wanted >= room) {
		text->cut = true;
		text->len = text->capacity - 1;
	} else {
		text->len += (size_t)wanted;
	}
}

static void put(struct text *text, char c)
{
	if (text->len + 1 >= text->capacity) {
		text->cut = true;
		return;
	}
	text->at[text->len++] = c;
	text->at[text->len] = '\0';
}

void text_hex(struct text *text, const void *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *at = bytes;

	for (size_t i = 0; i < size; i++) {
		put(text, digits[at[i] >> 4]);
		put(text, digits[at[i] & 15]);
	}
}

void text_json(struct text *text, const char *string)
{
	put(text, '"');
	for (; *string; string++) {
		unsigned char c = (unsigned char)*string;

		if (c == '"' || c == '\\') {
			put(text, '\\');
			put(text, (char)c);
		} else if (c < 0x20 || c == 0x7f) {
			text_printf(text, "\\u%04x", c);
		} else {
			put(text, (char)c);
		}
	}
	put(text, '"');
}

void text_trim(char *string)
{
	size_t len = strlen(string);

	while (len > 0 && isspace((unsigned char)string[len - 1]))
		string[--len] = '\0';
}

/* SPDX-License-Identifier: MIT */
/*
 * Building text piece by piece in a buffer of fixed size.
 */
#include "forkserver/proto/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void text_init(struct text *text, char *data, size_t capacity)
{
	*text = (struct text){.data = data, .capacity = capacity};
}

void text_append(struct text *text, const void *data, size_t len)
{
	if (text->overflow || len > text->capacity - text->len) {
		text->overflow = true;
		return;
	}
	memcpy(text->data + text->len, data, len);
	text->len += len;
}

void text_printf(struct text *text, const char *format, ...)
{
	size_t room = text->capacity - text->len;
	va_list args;
	int len;

	if (text->overflow)
		return;
	va_start(args, format);
	len = vsnprintf(text->data + text->len, room, format, args);
	va_end(args);
	/* vsnprintf needs a byte for its zero, which is not kept. */
	if (len < 0 || (size_t)len >= room)
		text->overflow = true;
	else
		text->len += (size_t)len;
}

void text_json_string(struct text *text, const char *string, size_t len)
{
	text_append(text, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)string[i];

		if (c == '"' || c == '\\')
			text_printf(text, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			text_printf(text, "\\u%04x", c);
		else
			text_append(text, c < 0x80 ? string + i : "?", 1);
	}
	text_append(text, "\"", 1);
}

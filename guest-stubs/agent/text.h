/* SPDX-License-Identifier: MIT */
/*
 * Text that grows in a buffer of fixed size: answers, environments, log lines. What does not fit is
 * cut, and that it was is remembered.
 */
#ifndef FORKVM_AGENT_TEXT_H
#define FORKVM_AGENT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *at;	 /* not the text's own; always ends in a zero byte */
	size_t len;	 /* without that byte */
	size_t capacity; /* with it; at least 1 */
	bool cut;
};

/* An empty text on buffer. */
struct text text_on(char *buffer, size_t capacity);

void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append bytes as lower-case hexadecimal digits. */
void text_hex(struct text *text, const void *bytes, size_t size);

/* Append a JSON string, quotes included. Bytes beyond ASCII are taken for UTF-8 and left alone. */
void text_json(struct text *text, const char *string);

/* Take line ends and blanks off the end of string. */
void text_trim(char *string);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Building text piece by piece in a buffer of fixed size that somebody else owns, with JSON strings
 * escaped. What does not fit sets a flag instead of being cut unnoticed.
 */
#ifndef FORKVM_FORKSERVER_PROTO_TEXT_H
#define FORKVM_FORKSERVER_PROTO_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *data; /* not owned; not terminated */
	size_t capacity;
	size_t len;
	bool overflow; /* something did not fit; nothing was added since */
};

/* Begin empty, in data, which has room for capacity bytes. */
void text_init(struct text *text, char *data, size_t capacity);

/* Append len bytes, all or none. */
void text_append(struct text *text, const void *data, size_t len);

/* Append what printf would print, all or none. */
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Append len bytes as a JSON string with its quotes. Control characters, quotes and backslashes are
 * escaped; bytes that are not ASCII become '?' (texts of errors are ASCII; anything may be in
 * them).
 */
void text_json_string(struct text *text, const char *string, size_t len);

#endif

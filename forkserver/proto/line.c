/* SPDX-License-Identifier: MIT */
/*
 * Cutting a stream of bytes into lines.
 */
#include "forkserver/proto/line.h"

#include <assert.h>
#include <string.h>

void line_buffer_init(struct line_buffer *buffer, char *data, size_t capacity)
{
	*buffer = (struct line_buffer){.data = data, .capacity = capacity};
}

char *line_buffer_space(struct line_buffer *buffer, size_t *ret_room)
{
	size_t pending = line_buffer_pending(buffer);

	if (buffer->start) {
		memmove(buffer->data, buffer->data + buffer->start, pending);
		buffer->scanned -= buffer->start;
		buffer->start = 0;
		buffer->end = pending;
	}
	*ret_room = buffer->capacity - buffer->end;
	return buffer->data + buffer->end;
}

void line_buffer_received(struct line_buffer *buffer, size_t len)
{
	assert(len <= buffer->capacity - buffer->end);
	buffer->end += len;
}

/* The newline that ends the first pending line, or NULL. Bytes once searched are not searched
 * again. */
static char *find_newline(struct line_buffer *buffer)
{
	char *newline = memchr(buffer->data + buffer->scanned, '\n', buffer->end - buffer->scanned);

	buffer->scanned = newline ? (size_t)(newline - buffer->data) : buffer->end;
	return newline;
}

bool line_buffer_has_line(struct line_buffer *buffer)
{
	return find_newline(buffer) != NULL;
}

bool line_buffer_next(struct line_buffer *buffer, char **ret_line, size_t *ret_len)
{
	char *line = buffer->data + buffer->start;
	char *newline = find_newline(buffer);

	if (!newline)
		return false;
	*ret_line = line;
	*ret_len = (size_t)(newline - line);
	buffer->start = (size_t)(newline - buffer->data) + 1;
	buffer->scanned = buffer->start;
	return true;
}

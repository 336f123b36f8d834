/* SPDX-License-Identifier: MIT */
/*
 * Cutting a stream of bytes into lines, in a buffer that somebody else owns and that never grows.
 */
#ifndef FORKVM_FORKSERVER_PROTO_LINE_H
#define FORKVM_FORKSERVER_PROTO_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct line_buffer {
	char *data; /* not owned */
	size_t capacity;
	size_t start;	/* first byte not yet handed out          */
	size_t end;	/* one past the last byte received        */
	size_t scanned; /* no newline between start and this one  */
};

/* Begin with no bytes in data, which has room for capacity. */
void line_buffer_init(struct line_buffer *buffer, char *data, size_t capacity);

/*
 * Where to receive more bytes, and in *ret_room how many: 0 when a line fills all there is. Moves
 * what is unread to the front first, so lines handed out before are gone.
 */
char *line_buffer_space(struct line_buffer *buffer, size_t *ret_room);

/* len bytes were received into the space. */
void line_buffer_received(struct line_buffer *buffer, size_t len);

/*
 * Take the next line: true, with its first byte in *ret_line and its length, newline excluded, in
 * *ret_len. It stays valid until line_buffer_space is called. False: no whole line is there.
 */
bool line_buffer_next(struct line_buffer *buffer, char **ret_line, size_t *ret_len);

/* Is there a whole line to take? */
bool line_buffer_has_line(struct line_buffer *buffer);

/* Bytes received and not taken. */
static inline size_t line_buffer_pending(const struct line_buffer *buffer)
{
	return buffer->end - buffer->start;
}

#endif

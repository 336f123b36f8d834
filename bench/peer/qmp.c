/* SPDX-License-Identifier: MIT */
/* QEMU's control connection: one JSON object a line, both ways. See qemu.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "bench/peer/qemu.h"

int qmp_send(int qmp, const char *text, int fd)
{
	struct iovec bytes = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	ssize_t sent;

	if (fd >= 0) {
		struct cmsghdr *header;

		message.msg_control = control.room;
		message.msg_controllen = sizeof(control.room);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	do
		sent = sendmsg(qmp, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == bytes.iov_len ? 0 : -EIO;
}

/* Cut a line off the buffer; NULL when there is no whole one. */
static json_t *cut_line(struct qmp_buffer *buffer, int *ret_error)
{
	char *end = memchr(buffer->bytes, '\n', buffer->used);
	json_t *message;

	*ret_error = 0;
	if (!end) {
		if (buffer->used == sizeof(buffer->bytes))
			*ret_error = -EMSGSIZE;
		return NULL;
	}
	message = json_loadb(buffer->bytes, (size_t)(end - buffer->bytes), 0, NULL);
	if (!message)
		*ret_error = -EBADMSG;
	buffer->used -= (size_t)(end + 1 - buffer->bytes);
	memmove(buffer->bytes, end + 1, buffer->used);
	return message;
}

json_t *qmp_next(int qmp, struct qmp_buffer *buffer, int *ret_error)
{
	json_t *message = cut_line(buffer, ret_error);
	ssize_t got;

	if (message || *ret_error)
		return message;
	got = recv(qmp, buffer->bytes + buffer->used, sizeof(buffer->bytes) - buffer->used,
		   MSG_DONTWAIT);
	if (got > 0) {
		buffer->used += (size_t)got;
		return cut_line(buffer, ret_error);
	}
	if (got == 0)
		*ret_error = -ECONNRESET;
	else if (errno != EAGAIN && errno != EINTR)
		*ret_error = -errno;
	return NULL;
}

bool qmp_is_event(const json_t *message, const char *name)
{
	const char *event = json_string_value(json_object_get(message, "event"));

	return event && strcmp(event, name) == 0;
}

const char *qmp_error(const json_t *message)
{
	return json_string_value(json_object_get(json_object_get(message, "error"), "desc"));
}

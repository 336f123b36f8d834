/* SPDX-License-Identifier: MIT */
/*
 * The client's connection: sending without ever deadlocking with the server, and taking lines in.
 */
#include "forkserver/client/client.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "forkserver/proto/base64.h"
#include "forkserver/proto/fdpass.h"
#include "forkserver/proto/text.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* What a server may take to greet: it may have thousands of clients to greet first. */
#define GREETING_MS 10000

/* Bytes of received lines at first; grows while replies come faster than they are taken. */
#define IN_SIZE	    (64 * KIB)

/* The tag of forkvm_client_call: beyond what a caller's may be by habit, within JSON's range. */
#define CALL_TAG    INT64_MAX

static int lost(struct error *error, int code)
{
	return error_set_errno(error, code, "the connection to the server was lost");
}

static int connect_to(const char *path, int fd, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int code;

	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(error, ENAMETOOLONG,
				 "the socket path %.120s is too long: at most %zu bytes", path,
				 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return 0;
	code = errno;
	if (code == ENOENT || code == ECONNREFUSED)
		return error_set(error, code,
				 "no server is at %s: start one with \"forkvm serve\", or name "
				 "another by --name or --socket",
				 path);
	return error_set_errno(error, code, "cannot connect to %s", path);
}

/* Grow or compact the buffer so that there is room to receive. */
static int make_room(struct forkvm_client *client, char **ret_space, size_t *ret_room)
{
	struct line_buffer *in = &client->in;
	char *data;

	*ret_space = line_buffer_space(in, ret_room);
	if (*ret_room)
		return 0;
	data = realloc(in->data, in->capacity * 2);
	if (!data)
		return -ENOMEM;
	in->data = data;
	in->capacity *= 2;
	*ret_space = line_buffer_space(in, ret_room);
	return 0;
}

/* Receive what is there, once. 1: something came, 0: nothing is there now. */
static int take_in(struct forkvm_client *client, struct error *error)
{
	union fdpass_control control;
	struct iovec iov;
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	size_t count;
	char *space;
	ssize_t len;
	int rc = make_room(client, &space, &iov.iov_len);

	if (rc < 0)
		return error_set_errno(error, -rc, "replies of the server");
	iov.iov_base = space;
	fdpass_prepare(&message, &control);
	len = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (len <= 0)
		return lost(error, len < 0 ? errno : EPIPE);
	rc = fdpass_take(&message, client->fds + client->fd_count,
			 FORKVM_PROTOCOL_MAX_DESCRIPTORS - client->fd_count, &count);
	client->fd_count += (unsigned int)count;
	if (rc < 0)
		return error_set(
			error, EMFILE,
			"descriptors were lost on their way: raise the limit on open files");
	line_buffer_received(&client->in, (size_t)len);
	return 1;
}

/* The server's socket is full: wait until it is not, and take in what it has to say meanwhile. */
static int wait_to_send(struct forkvm_client *client, struct error *error)
{
	struct pollfd pollfd = {.fd = client->fd, .events = POLLIN | POLLOUT};
	int rc;

	if (poll(&pollfd, 1, -1) < 0)
		return errno == EINTR ? 0 : error_set_errno(error, errno, "poll");
	if (!(pollfd.revents & POLLIN))
		return 0;
	rc = take_in(client, error);
	return rc < 0 ? rc : 0;
}

int client_send(struct forkvm_client *client, const char *line, size_t len, const int *fds,
		size_t fd_count, struct error *error)
{
	union fdpass_control control;
	size_t sent = 0;

	while (sent < len) {
		struct iovec iov = {.iov_base = (char *)(uintptr_t)line + sent,
				    .iov_len = len - sent};
		struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
		ssize_t count;
		int rc = 0;

		/* The descriptors go with the line's first bytes. */
		if (!sent)
			fdpass_attach(&message, &control, fds, fd_count);
		count = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (count > 0)
			sent += (size_t)count;
		else if (errno == EAGAIN)
			rc = wait_to_send(client, error);
		else if (errno == ETOOMANYREFS)
			rc = error_set(error, ETOOMANYREFS,
				       "too many descriptors are on their way: raise the limit on "
				       "open files");
		else if (errno != EINTR)
			rc = lost(error, errno);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int client_line(struct forkvm_client *client, int timeout_ms, char **ret_line, size_t *ret_len,
		struct error *error)
{
	for (;;) {
		struct pollfd pollfd = {.fd = client->fd, .events = POLLIN};
		int rc;

		if (line_buffer_next(&client->in, ret_line, ret_len))
			return 1;
		rc = take_in(client, error);
		if (rc < 0)
			return rc;
		if (rc > 0)
			continue;
		/* An interrupted wait counts as none: the caller may have been told to stop. */
		rc = timeout_ms ? poll(&pollfd, 1, timeout_ms) : 0;
		if (rc < 0 && errno != EINTR)
			return error_set_errno(error, errno, "poll");
		if (rc <= 0)
			return 0;
	}
}

int forkvm_client_open(const char *path, struct forkvm_client **ret, struct error *error)
{
	struct forkvm_client *client = calloc(1, sizeof(*client));
	int rc;

	if (!client)
		return error_set(error, ENOMEM, "no memory for a connection");
	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	line_buffer_init(&client->in, malloc(IN_SIZE), IN_SIZE);
	if (client->fd < 0 || !client->in.data)
		rc = error_set_errno(error, errno, "socket");
	else
		rc = connect_to(path, client->fd, error);
	if (rc == 0)
		rc = client_read_greeting(client, GREETING_MS, error);
	if (rc < 0) {
		forkvm_client_close(client);
		return rc;
	}
	*ret = client;
	return 0;
}

void forkvm_client_close(struct forkvm_client *client)
{
	if (!client)
		return;
	fd_close(&client->fd);
	for (unsigned int i = 0; i < client->fd_count; i++)
		fd_close(&client->fds[i]);
	free(client->in.data);
	free(client);
}

int forkvm_client_fd(const struct forkvm_client *client)
{
	return client->fd;
}

const struct forkvm_greeting *forkvm_client_greeting(const struct forkvm_client *client)
{
	return &client->greeting;
}

/* Can the bytes stand in a JSON string as they are? */
static bool is_plain(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] < 0x20 || bytes[i] > 0x7e || bytes[i] == '"' || bytes[i] == '\\')
			return false;
	}
	return true;
}

static void append_disks(struct text *text, const struct forkvm_clone_spec *spec, int *fds)
{
	static const char *const modes[] = {
		[FORKVM_DISK_OVERLAY] = "overlay",
		[FORKVM_DISK_READ_ONLY] = "ro",
		[FORKVM_DISK_WRITE] = "rw",
	};

	for (unsigned int i = 0; i < spec->disk_count; i++) {
		const struct forkvm_clone_disk *disk = &spec->disks[i];

		text_printf(text, "%s{\"slot\":%u,\"mode\":\"%s\"}", i ? "," : ",\"disks\":[",
			    disk->slot, modes[disk->mode]);
		fds[i] = disk->fd;
	}
	if (spec->disk_count)
		text_append(text, "]", 1);
}

/* As a JSON string, in base64 or as it is. */
static void append_bytes(struct text *text, const void *bytes, size_t len, bool as_base64)
{
	text_append(text, "\"", 1);
	if (!as_base64 && len)
		text_append(text, bytes, len);
	else if (BASE64_LENGTH(len) > text->capacity - text->len)
		text->overflow = true;
	else if (len) {
		base64_encode(bytes, len, text->data + text->len);
		text->len += BASE64_LENGTH(len);
	}
	text_append(text, "\"", 1);
}

static void append_body(struct text *text, const struct forkvm_clone_spec *spec)
{
	bool plain = is_plain(spec->request, spec->request_len);

	if (!spec->request_len)
		return;
	text_printf(text, plain ? ",\"request\":" : ",\"request_b64\":");
	append_bytes(text, spec->request, spec->request_len, !plain);
}

static void append_batch(struct text *text, const struct forkvm_clone_spec *spec)
{
	bool plain = true;

	if (spec->count)
		text_printf(text, ",\"count\":%" PRIu32, spec->count);
	if (spec->at_once)
		text_printf(text, ",\"at_once\":%" PRIu32, spec->at_once);
	if (!spec->request_count)
		return;
	for (uint32_t i = 0; i < spec->request_count && plain; i++)
		plain = is_plain(spec->requests[i].data, spec->requests[i].len);
	text_printf(text, plain ? ",\"requests\":[" : ",\"requests_b64\":[");
	for (uint32_t i = 0; i < spec->request_count; i++) {
		if (i)
			text_append(text, ",", 1);
		append_bytes(text, spec->requests[i].data, spec->requests[i].len, !plain);
	}
	text_append(text, "]", 1);
}

static const char *const spare_names[] = {
	[FORKVM_SPARE_ANY] = "any",
	[FORKVM_SPARE_NEVER] = "never",
	[FORKVM_SPARE_ONLY] = "only",
	[FORKVM_SPARE_WAIT] = "wait",
};

/* Can it be sent at all? */
static int check_spec(const struct forkvm_clone_spec *spec, struct error *error)
{
	size_t together = 0;

	if (spec->disk_count > FORKVM_PROTOCOL_MAX_DISKS)
		return error_set(error, EINVAL, "a guest has at most %d disks",
				 FORKVM_PROTOCOL_MAX_DISKS);
	if (spec->request_len > FORKVM_PROTOCOL_MAX_REQUEST)
		return error_set(error, EMSGSIZE,
				 "the request has %zu bytes: a guest takes at most %d",
				 spec->request_len, FORKVM_PROTOCOL_MAX_REQUEST);
	if ((unsigned int)spec->spare >= sizeof(spare_names) / sizeof(spare_names[0]))
		return error_set(error, EINVAL, "%d says nothing about spares", (int)spec->spare);
	for (uint32_t i = 0; i < spec->request_count; i++)
		together += spec->requests[i].len;
	if (together > FORKVM_PROTOCOL_MAX_REQUEST)
		return error_set(error, EMSGSIZE,
				 "the batch's requests have %zu bytes together: one message has at "
				 "most %d",
				 together, FORKVM_PROTOCOL_MAX_REQUEST);
	return 0;
}

int forkvm_client_clone(struct forkvm_client *client, const struct forkvm_clone_spec *spec,
			struct error *error)
{
	char line[FORKVM_PROTOCOL_MAX_LINE];
	size_t fd_count = 0;
	struct text text;
	int fds[2 + FORKVM_PROTOCOL_MAX_DISKS];
	int rc = check_spec(spec, error);

	if (rc < 0)
		return rc;
	text_init(&text, line, sizeof(line));
	text_printf(&text, "{\"op\":\"clone\",\"tag\":%" PRIu64, spec->tag);
	if (spec->answer_fd >= 0) {
		text_printf(&text, ",\"answer\":true");
		fds[fd_count++] = spec->answer_fd;
	}
	if (spec->console_fd >= 0) {
		text_printf(&text, ",\"console\":true");
		fds[fd_count++] = spec->console_fd;
	}
	append_disks(&text, spec, fds + fd_count);
	fd_count += spec->disk_count;
	text_printf(&text, "%s%s%s", spec->session ? ",\"session\":true" : "",
		    spec->detach ? ",\"detach\":true" : "",
		    spec->progress ? ",\"progress\":true" : "");
	if (spec->timeout_ms)
		text_printf(&text, ",\"timeout_ms\":%" PRIu64, spec->timeout_ms);
	if (spec->spare != FORKVM_SPARE_ANY)
		text_printf(&text, ",\"spare\":\"%s\"", spare_names[spec->spare]);
	if (spec->tenant)
		text_printf(&text, ",\"tenant\":\"%s\"", spec->tenant);
	append_body(&text, spec);
	append_batch(&text, spec);
	text_append(&text, "}\n", 2);
	if (text.overflow)
		return error_set(error, EMSGSIZE,
				 "the batch does not fit one message of %d bytes: send several",
				 FORKVM_PROTOCOL_MAX_LINE);
	return client_send(client, line, text.len, fds, fd_count, error);
}

int forkvm_batch_answer(int fd, void *buf, size_t size, struct forkvm_batch_answer *ret,
			struct error *error)
{
	struct forkvm_answer_header header;
	struct iovec iov[] = {
		{.iov_base = &header, .iov_len = sizeof(header)},
		{.iov_base = buf, .iov_len = size},
	};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
	ssize_t len;

	do
		len = recvmsg(fd, &message, 0);
	while (len < 0 && errno == EINTR);
	if (len == 0 || (len < 0 && (errno == EAGAIN || errno == ECONNRESET)))
		return 0;
	if (len < 0)
		return error_set_errno(error, errno, "answers of a batch");
	if ((size_t)len < sizeof(header))
		return error_set(error, EPROTO, "%zd bytes where an answer begins with %zu", len,
				 sizeof(header));
	*ret = (struct forkvm_batch_answer){
		.index = header.index,
		.id = header.id,
		.len = (size_t)len - sizeof(header),
	};
	if (message.msg_flags & MSG_TRUNC)
		return error_set(error, EMSGSIZE, "an answer has more than %zu bytes", size);
	return 1;
}

int forkvm_client_request(struct forkvm_client *client, uint64_t tag, const char *op,
			  const char *members, struct error *error)
{
	struct text text;
	char line[1024];

	text_init(&text, line, sizeof(line));
	text_printf(&text, "{\"op\":\"%s\",\"tag\":%" PRIu64 "%s%s}\n", op, tag, members ? "," : "",
		    members ? members : "");
	if (text.overflow)
		return error_set(error, EMSGSIZE, "the request is too long");
	return client_send(client, line, text.len, NULL, 0, error);
}

/* What is left until then, for poll: rounded up, and -1 for ever. */
static int ms_until(uint64_t deadline_ns)
{
	uint64_t now = now_ns();

	if (deadline_ns == UINT64_MAX)
		return -1;
	return deadline_ns <= now ? 0 : (int)((deadline_ns - now + 999999) / 1000000);
}

int client_call(struct forkvm_client *client, const char *op, const char *members, int timeout_ms,
		const char **ret_json, struct error *error)
{
	uint64_t deadline_ns =
		timeout_ms < 0 ? UINT64_MAX : now_ns() + (uint64_t)timeout_ms * 1000000;
	struct forkvm_event event;
	int rc = forkvm_client_request(client, CALL_TAG, op, members, error);

	if (rc < 0)
		return rc;
	do {
		rc = forkvm_client_next(client, ms_until(deadline_ns), &event, error);
		if (rc < 0)
			return rc;
		if (rc == 0 && now_ns() >= deadline_ns)
			return error_set(error, ETIMEDOUT,
					 "the server did not answer \"%s\" within %d ms", op,
					 timeout_ms);
	} while (rc == 0 || (event.has_tag && event.tag != CALL_TAG));
	if (event.type == FORKVM_EVENT_ERROR)
		return error_set(error, event.code, "%s", event.text);
	if (ret_json)
		*ret_json = event.json;
	return 0;
}

int forkvm_client_call(struct forkvm_client *client, const char *op, const char *members,
		       const char **ret_json, struct error *error)
{
	return client_call(client, op, members, -1, ret_json, error);
}

int forkvm_client_freeze(struct forkvm_client *client, int timeout_ms, struct forkvm_frozen *ret,
			 struct error *error)
{
	const char *json = NULL;
	int rc = client_call(client, "freeze", NULL, timeout_ms, &json, error);

	return rc < 0 ? rc : client_read_frozen(json, ret, error);
}

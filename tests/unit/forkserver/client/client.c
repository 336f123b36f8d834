/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of forkserver/client/: against a server that is a child of the test and says whatever
 * the test has it say, whole or in pieces, and then waits for the client to leave.
 */
#include "forkserver/client/forkvm_client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "vmm/base/util.h"

#define GREETING                                                                                \
	"{\"forkvm\":\"9.9\",\"protocol\":1,\"name\":\"fake\",\"pid\":77,\"max_request\":1024," \
	"\"max_line\":131072}\n"

/* One fake server. */
struct fake {
	char path[HELPER_PATH_SIZE];
	int fd;
	pid_t pid;
};

static struct error error;

/* Send it all, some bytes at a time. */
static void say(int fd, const char *text, size_t piece)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t sent = send(fd, text, min_u64(piece, len), MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		text += sent;
		len -= (size_t)sent;
	}
}

static void fake_start(struct fake *fake, const char *text, size_t piece, bool stay)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char byte;

	helper_path(fake->path, ".sock");
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", fake->path);
	fake->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(fake->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fake->fd, 5), 0);
	fake->pid = fork();
	cr_assert_geq(fake->pid, 0);
	if (fake->pid == 0) {
		int fd = accept(fake->fd, NULL, NULL);

		say(fd, text, piece);
		while (stay && recv(fd, &byte, 1, 0) > 0)
			;
		_exit(0);
	}
}

static void fake_stop(struct fake *fake)
{
	kill(fake->pid, SIGKILL);
	waitpid(fake->pid, NULL, 0);
	close(fake->fd);
	unlink(fake->path);
}

static struct forkvm_client *open_client(const struct fake *fake)
{
	struct forkvm_client *client = NULL;

	cr_assert_eq(forkvm_client_open(fake->path, &client, &error), 0, "%s", error.text);
	return client;
}

Test(client, reads_the_greeting)
{
	static const size_t pieces[] = {1, 7, 10000};

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		const struct forkvm_greeting *greeting;
		struct forkvm_client *client;
		struct fake fake;

		fake_start(&fake, GREETING, pieces[i], true);
		client = open_client(&fake);
		greeting = forkvm_client_greeting(client);
		cr_assert_str_eq(greeting->version, "9.9");
		cr_assert_str_eq(greeting->name, "fake");
		cr_assert_eq(greeting->protocol, 1);
		cr_assert_eq(greeting->pid, 77);
		cr_assert_eq(greeting->max_request, 1024);
		cr_assert_not(greeting->booting, "as of a server that says nothing of it");
		cr_assert_geq(forkvm_client_fd(client), 0);
		forkvm_client_close(client);
		fake_stop(&fake);
	}
}

static void refuse_greeting(const char *text, int code, const char *part)
{
	struct forkvm_client *client = NULL;
	size_t fds;
	struct fake fake;

	fake_start(&fake, text, 10000, false);
	fds = helper_count_fds();
	cr_assert_eq(forkvm_client_open(fake.path, &client, &error), -code, "%s: %s", text,
		     error.text);
	cr_assert_null(client);
	cr_assert_not_null(strstr(error.text, part), "'%s' says nothing of '%s'", error.text, part);
	cr_assert_eq(helper_count_fds(), fds);
	fake_stop(&fake);
}

Test(client, greetings_that_are_none)
{
	refuse_greeting("hello\n", EPROTO, "forkvm server");
	refuse_greeting("{}\n", EPROTO, "forkvm server");
	refuse_greeting("[]\n", EPROTO, "forkvm server");
	refuse_greeting("\n", EPROTO, "forkvm server");
	refuse_greeting("{\"forkvm\":1}\n", EPROTO, "forkvm server");
	refuse_greeting("", EPIPE, "lost");
	refuse_greeting("{\"forkvm\":\"1\"", EPIPE, "lost");
	refuse_greeting("{\"forkvm\":\"2.0\",\"protocol\":2}\n", EPROTONOSUPPORT, "version 2");
	refuse_greeting("{\"error\":{\"code\":\"EBUSY\",\"message\":\"all in use\"}}\n", EBUSY,
			"all in use");
	refuse_greeting("{\"error\":{\"code\":\"EWHATEVER\"}}\n", EIO, "");
	refuse_greeting("{\"error\":5}\n", EIO, "");
}

Test(client, nobody_there)
{
	struct forkvm_client *client = NULL;
	char path[HELPER_PATH_SIZE], longer[200];

	helper_path(path, ".sock");
	cr_assert_eq(forkvm_client_open(path, &client, &error), -ENOENT);
	cr_assert_not_null(strstr(error.text, "forkvm serve"), "%s", error.text);
	cr_assert_eq(forkvm_client_open(path, &client, NULL), -ENOENT);
	helper_file(path, ".sock", "", 0);
	cr_assert_eq(forkvm_client_open(path, &client, &error), -ECONNREFUSED);
	unlink(path);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	cr_assert_eq(forkvm_client_open(longer, &client, &error), -ENAMETOOLONG);
	forkvm_client_close(NULL);
}

/* The next event of a server that said text. */
static int next_of(const char *text, struct forkvm_event *event)
{
	char whole[2048];
	struct forkvm_client *client;
	struct fake fake;
	int rc;

	snprintf(whole, sizeof(whole), "%s%s", GREETING, text);
	fake_start(&fake, whole, 11, true);
	client = open_client(&fake);
	do
		rc = forkvm_client_next(client, 10000, event, &error);
	while (rc == 0);
	event->json = NULL; /* not beyond the connection */
	forkvm_client_close(client);
	fake_stop(&fake);
	return rc;
}

Test(client, events)
{
	struct forkvm_event event;

	cr_assert_eq(next_of("{\"tag\":5,\"started\":{\"id\":12,\"pid\":99}}\n", &event), 1);
	cr_assert_eq(event.type, FORKVM_EVENT_STARTED);
	cr_assert(event.has_tag);
	cr_assert_eq(event.tag, 5);
	cr_assert_eq(event.id, 12);
	cr_assert_eq(event.pid, 99);

	cr_assert_eq(
		next_of("{\"tag\":6,\"ended\":{\"id\":12,\"pid\":99,\"reason\":\"guest-error\","
			"\"status\":4294967295,\"error\":\"why\",\"stages\":{\"fork\":7,"
			"\"ended\":9}}}\n",
			&event),
		1);
	cr_assert_eq(event.type, FORKVM_EVENT_ENDED);
	cr_assert_eq(event.reason, FORKVM_END_GUEST_ERROR);
	cr_assert_eq(event.status, UINT32_MAX);
	cr_assert_str_eq(event.text, "why");
	cr_assert_eq(event.stages_ns[FORKVM_STAGE_FORK], 7);
	cr_assert_eq(event.stages_ns[FORKVM_STAGE_ENDED], 9);
	cr_assert_eq(event.stages_ns[FORKVM_STAGE_RUN], 0);

	cr_assert_eq(next_of("{\"error\":{\"code\":\"EAGAIN\",\"message\":\"later\"}}\n", &event),
		     1);
	cr_assert_eq(event.type, FORKVM_EVENT_ERROR);
	cr_assert_not(event.has_tag);
	cr_assert_eq(event.code, EAGAIN);
	cr_assert_str_eq(event.text, "later");

	cr_assert_eq(next_of("{\"tag\":1,\"ok\":{\"x\":1}}\n", &event), 1);
	cr_assert_eq(event.type, FORKVM_EVENT_OK);
}

Test(client, lines_that_are_no_events)
{
	static const char *const lines[] = {
		"\n",
		"x\n",
		"[]\n",
		"{}\n",
		"{\"tag\":1}\n",
		"{\"ended\":{}}\n",
		"{\"ended\":{\"reason\":\"nonsense\"}}\n",
		"{\"ended\":{\"reason\":5}}\n",
		"{\"ended\":null}\n",
	};
	struct forkvm_event event;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		memset(&event, 0, sizeof(event));
		cr_assert_eq(next_of(lines[i], &event), -EPROTO, "%s", lines[i]);
	}
}

Test(client, text_that_is_too_long_is_cut)
{
	struct forkvm_event event;
	char line[1024], message[600];

	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	snprintf(line, sizeof(line), "{\"error\":{\"code\":\"EIO\",\"message\":\"%s\"}}\n",
		 message);
	cr_assert_eq(next_of(line, &event), 1);
	cr_assert_eq(strlen(event.text), sizeof(event.text) - 1);
}

Test(client, no_event_in_time)
{
	struct forkvm_client *client;
	struct forkvm_event event;
	struct fake fake;

	fake_start(&fake, GREETING "{\"tag\":1,", 10000, true);
	client = open_client(&fake);
	cr_assert_eq(forkvm_client_next(client, 0, &event, &error), 0);
	cr_assert_eq(forkvm_client_next(client, 10, &event, &error), 0);
	forkvm_client_close(client);
	fake_stop(&fake);
}

Test(client, the_server_goes)
{
	struct forkvm_client *client;
	struct forkvm_event event;
	struct fake fake;
	int rc;

	fake_start(&fake, GREETING "{\"tag\":1,\"ok\":{}}\n", 10000, false);
	client = open_client(&fake);
	cr_assert_eq(forkvm_client_next(client, -1, &event, &error), 1, "what it said first");
	rc = forkvm_client_next(client, -1, &event, &error);
	cr_assert(rc == -EPIPE || rc == -ECONNRESET, "%d", rc);
	cr_assert_not_null(strstr(error.text, "lost"), "%s", error.text);
	forkvm_client_close(client);
	fake_stop(&fake);
}

Test(client, a_call_passes_over_what_is_not_its_reply)
{
	static const char text[] = GREETING "{\"tag\":3,\"ended\":{\"reason\":\"done\"}}\n"
					    "{\"tag\":9223372036854775807,\"ok\":{\"n\":4}}\n";
	struct forkvm_client *client;
	const char *json = NULL;
	struct fake fake;

	fake_start(&fake, text, 10000, true);
	client = open_client(&fake);
	cr_assert_eq(forkvm_client_call(client, "stats", NULL, &json, &error), 0, "%s", error.text);
	cr_assert_not_null(strstr(json, "\"n\":4"), "%s", json);
	forkvm_client_close(client);
	fake_stop(&fake);
}

Test(client, a_call_that_is_refused)
{
	static const char text[] =
		GREETING "{\"tag\":9223372036854775807,\"error\":{\"code\":\"ESRCH\",\"message\":"
			 "\"no such\"}}\n";
	struct forkvm_client *client;
	struct fake fake;

	fake_start(&fake, text, 10000, true);
	client = open_client(&fake);
	cr_assert_eq(forkvm_client_call(client, "kill", "\"id\":7", NULL, &error), -ESRCH);
	cr_assert_str_eq(error.text, "no such");
	forkvm_client_close(client);
	fake_stop(&fake);
}

#define CALL_REPLY "{\"tag\":9223372036854775807,"

static int freeze(const char *text, int timeout_ms, struct forkvm_frozen *ret)
{
	struct forkvm_client *client;
	struct fake fake;
	int rc;

	fake_start(&fake, text, 10000, true);
	client = open_client(&fake);
	rc = forkvm_client_freeze(client, timeout_ms, ret, &error);
	forkvm_client_close(client);
	fake_stop(&fake);
	return rc;
}

Test(client, freezes)
{
	struct forkvm_frozen frozen;

	cr_assert_eq(freeze(GREETING CALL_REPLY "\"ok\":{\"booted_us\":1,\"frozen_us\":22,"
						"\"populated_bytes\":4294967296}}\n",
			    -1, &frozen),
		     0, "%s", error.text);
	cr_assert_eq(frozen.booted_us, 1);
	cr_assert_eq(frozen.frozen_us, 22);
	cr_assert_eq(frozen.populated_bytes, 4294967296);
	cr_assert_eq(freeze(GREETING CALL_REPLY "\"error\":{\"code\":\"EALREADY\","
						"\"message\":\"it is\"}}\n",
			    10000, &frozen),
		     -EALREADY);
	cr_assert_str_eq(error.text, "it is");
	cr_assert_eq(freeze(GREETING CALL_REPLY "\"ok\":{\"booted_us\":\"x\"}}\n", -1, &frozen),
		     -EPROTO);
	cr_assert_eq(freeze(GREETING, 30, &frozen), -ETIMEDOUT);
	/* Events of clones do not make it wait for longer. */
	cr_assert_eq(freeze(GREETING "{\"tag\":1,\"started\":{\"id\":1,\"pid\":2}}\n", 30, &frozen),
		     -ETIMEDOUT);
}

Test(client, a_server_that_boots)
{
	struct forkvm_client *client;
	struct fake fake;

	fake_start(&fake,
		   "{\"forkvm\":\"9\",\"protocol\":1,\"name\":\"a\",\"pid\":7,"
		   "\"state\":\"booting\",\"max_request\":0,\"max_line\":131072}\n",
		   10000, true);
	client = open_client(&fake);
	cr_assert(forkvm_client_greeting(client)->booting);
	forkvm_client_close(client);
	fake_stop(&fake);
}

Test(client, requests_that_are_too_long)
{
	struct forkvm_clone_spec spec = {.answer_fd = -1, .console_fd = -1};
	uint8_t *bytes = calloc(1, FORKVM_PROTOCOL_MAX_REQUEST + 1);
	struct forkvm_client *client;
	struct fake fake;
	char members[2000];

	fake_start(&fake, GREETING, 10000, true);
	client = open_client(&fake);
	spec.request = bytes;
	spec.request_len = FORKVM_PROTOCOL_MAX_REQUEST + 1;
	cr_assert_eq(forkvm_client_clone(client, &spec, &error), -EMSGSIZE);
	spec.request_len = FORKVM_PROTOCOL_MAX_REQUEST;
	cr_assert_eq(forkvm_client_clone(client, &spec, &error), 0, "%s", error.text);
	memset(bytes, 'a', FORKVM_PROTOCOL_MAX_REQUEST);
	cr_assert_eq(forkvm_client_clone(client, &spec, &error), 0, "%s", error.text);
	memset(members, ' ', sizeof(members) - 1);
	members[sizeof(members) - 1] = '\0';
	cr_assert_eq(forkvm_client_request(client, 1, "list", members, &error), -EMSGSIZE);
	forkvm_client_close(client);
	fake_stop(&fake);
	free(bytes);
}

Test(client, events_of_a_batch)
{
	struct forkvm_event event;

	cr_assert_eq(
		next_of("{\"tag\":5,\"index\":3,\"started\":{\"id\":12,\"pid\":99}}\n", &event), 1);
	cr_assert_eq(event.type, FORKVM_EVENT_STARTED);
	cr_assert(event.has_index);
	cr_assert_eq(event.index, 3);
	cr_assert_eq(next_of("{\"tag\":5,\"started\":{\"id\":12,\"pid\":99}}\n", &event), 1);
	cr_assert_not(event.has_index);
}

Test(client, batches_that_are_too_long)
{
	static uint8_t bytes[40000];
	struct forkvm_bytes requests[4];
	struct forkvm_clone_spec spec = {
		.answer_fd = -1, .console_fd = -1, .requests = requests, .request_count = 4};
	struct forkvm_client *client;
	struct fake fake;

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		requests[i] = (struct forkvm_bytes){.data = bytes, .len = 16000};
	fake_start(&fake, GREETING, 10000, true);
	client = open_client(&fake);
	cr_assert_eq(forkvm_client_clone(client, &spec, &error), 0, "%s", error.text);
	requests[3].len = sizeof(bytes);
	cr_assert_eq(forkvm_client_clone(client, &spec, &error), -EMSGSIZE);
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		requests[i] = (struct forkvm_bytes){.data = NULL, .len = 0};
	cr_assert_eq(forkvm_client_clone(client, &spec, &error), 0, "%s", error.text);
	forkvm_client_close(client);
	fake_stop(&fake);
}

Test(client, answers_of_a_batch)
{
	struct {
		struct forkvm_answer_header header;
		char text[5];
	} packet = {.header = {.index = 7, .id = 99}, .text = "hello"};
	const size_t len = offsetof(__typeof__(packet), text) + sizeof(packet.text);
	struct forkvm_batch_answer answer;
	char text[8];
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
	cr_assert_eq(forkvm_batch_answer(ends[0], text, sizeof(text), &answer, &error), 0);
	cr_assert_eq(send(ends[1], &packet, len, 0), (ssize_t)len);
	cr_assert_eq(forkvm_batch_answer(ends[0], text, sizeof(text), &answer, &error), 1);
	cr_assert_eq(answer.index, 7);
	cr_assert_eq(answer.id, 99);
	cr_assert_eq(answer.len, 5);
	cr_assert_arr_eq(text, "hello", 5);
	cr_assert_eq(send(ends[1], &packet, sizeof(packet.header), 0), sizeof(packet.header));
	cr_assert_eq(forkvm_batch_answer(ends[0], text, sizeof(text), &answer, &error), 1);
	cr_assert_eq(answer.len, 0);
	cr_assert_eq(send(ends[1], &packet, len, 0), (ssize_t)len);
	cr_assert_eq(forkvm_batch_answer(ends[0], text, 4, &answer, &error), -EMSGSIZE);
	cr_assert_eq(send(ends[1], &packet, 3, 0), 3);
	cr_assert_eq(forkvm_batch_answer(ends[0], text, sizeof(text), &answer, &error), -EPROTO);
	close(ends[1]);
	cr_assert_eq(forkvm_batch_answer(ends[0], text, sizeof(text), &answer, &error), 0);
	cr_assert_eq(forkvm_batch_answer(-1, text, sizeof(text), &answer, &error), -EBADF);
	close(ends[0]);
}

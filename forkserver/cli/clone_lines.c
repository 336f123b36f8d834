/* SPDX-License-Identifier: MIT */
/*
 * A clone for each line of a file.
 *
 * Theory of operation. Lines are gathered until a batch is full, the batch is sent as one message,
 * and its answers come as packets on one socket. A clone's answer was sent before its end is told,
 * so when that comes the socket is emptied and the clone can be printed, whole.
 */
#include "forkserver/cli/clone_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forkserver/cli/clone_print.h"
#include "forkserver/proto/base64.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* Of one batch alive at once: as with --count. */
#define AT_ONCE	   32

/* What the requests of one batch may take in its message, as base64, quotes and commas included. */
#define COST_MAX   (FORKVM_PROTOCOL_MAX_LINE - 1024)

/* The most that one packet can hold, whatever the sender's socket takes. */
#define ANSWER_MAX (1 * MIB)

struct run {
	const struct clone_command *command;
	struct forkvm_client *client;
	FILE *file;   /* the lines */
	char *line;   /* the one that did not fit the last batch, or is just read; owned */
	size_t space; /* of line */
	ssize_t len;  /* of it, without its newline; -1: none */
	uint64_t number;
	bool at_end;

	/* The batch under way. */
	struct forkvm_bytes *requests; /* FORKVM_PROTOCOL_MAX_BATCH of them, in bytes */
	struct clone_job *jobs;	       /* as many */
	char *bytes;		       /* FORKVM_PROTOCOL_MAX_REQUEST */
	char *answer;		       /* ANSWER_MAX */
	uint32_t count;
	uint32_t finished;
	int answers_fd;
	int status; /* the worst so far */
};

static void note_status(struct run *run, int status)
{
	if (status > run->status)
		run->status = status;
}

/* Have a line at hand, if there is one. */
static int read_line(struct run *run, struct error *error)
{
	if (run->len >= 0 || run->at_end)
		return 0;
	errno = 0;
	run->len = getline(&run->line, &run->space, run->file);
	if (run->len < 0 && !feof(run->file))
		return error_set_errno(error, errno, "cannot read %s", run->command->lines);
	run->at_end = run->len < 0;
	if (run->at_end)
		return 0;
	run->number++;
	if (run->line[run->len - 1] == '\n')
		run->len--;
	if (run->len > FORKVM_PROTOCOL_MAX_REQUEST)
		return error_set(error, EMSGSIZE,
				 "line %lu of %s has more than %d bytes, the most a guest takes",
				 run->number, run->command->lines, FORKVM_PROTOCOL_MAX_REQUEST);
	return 0;
}

/* Gather lines for a batch: none at the end. */
static int fill(struct run *run, struct error *error)
{
	size_t used = 0, cost = 0;
	int rc = read_line(run, error);

	run->count = 0;
	run->finished = 0;
	while (rc == 0 && run->len >= 0 && run->count < FORKVM_PROTOCOL_MAX_BATCH) {
		size_t len = (size_t)run->len;

		cost += BASE64_LENGTH(len) + strlen("\"\",");
		if (used + len > FORKVM_PROTOCOL_MAX_REQUEST || cost > COST_MAX)
			break;
		memcpy(run->bytes + used, run->line, len);
		run->requests[run->count] =
			(struct forkvm_bytes){.data = run->bytes + used, .len = len};
		run->jobs[run->count++] = (struct clone_job){.line = run->number};
		used += len;
		run->len = -1;
		rc = read_line(run, error);
	}
	return rc;
}

/* The batch's answers go to the server's end of a pair of sockets, which is the caller's. */
static int open_answers(struct run *run, int *ret_far, struct error *error)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set_errno(error, errno, "socketpair");
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	run->answers_fd = ends[0];
	*ret_far = ends[1];
	return 0;
}

static int send_batch(struct run *run, struct error *error)
{
	struct forkvm_clone_spec spec = run->command->spec;
	_cleanup_close_ int far = -1;
	uint64_t sent_ns = now_ns();
	int rc = spec.detach ? 0 : open_answers(run, &far, error);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < run->count; i++)
		run->jobs[i].sent_ns = sent_ns;
	spec.answer_fd = far;
	spec.requests = run->requests;
	spec.request_count = run->count;
	spec.at_once = spec.detach ? 0 : AT_ONCE;
	return forkvm_client_clone(run->client, &spec, error);
}

static void keep(struct clone_job *job, const char *data, size_t len)
{
	char *grown = realloc(job->data, job->len + len + 1);

	if (!grown)
		return;
	memcpy(grown + job->len, data, len);
	job->data = grown;
	job->len += len;
}

static int take_answers(struct run *run, struct error *error)
{
	struct forkvm_batch_answer answer;
	int rc;

	if (run->answers_fd < 0)
		return 0;
	while ((rc = forkvm_batch_answer(run->answers_fd, run->answer, ANSWER_MAX, &answer,
					 error)) > 0) {
		if (answer.index >= run->count)
			return error_set(error, EPROTO, "an answer of a clone that was not asked");
		keep(&run->jobs[answer.index], run->answer, answer.len);
	}
	return rc;
}

static void finish(struct run *run, struct clone_job *job)
{
	clone_print(run->command, job);
	note_status(run, clone_exit_status(&job->event));
	free(job->data);
	job->data = NULL;
	run->finished++;
}

/* Take in all events that have come. */
static int take_events(struct run *run, struct error *error)
{
	struct forkvm_event event;
	int rc;

	while ((rc = forkvm_client_next(run->client, 0, &event, error)) > 0) {
		struct clone_job *job;

		if (!event.has_index || event.index >= run->count)
			return error_set(error, event.code ? event.code : EPROTO, "%s",
					 event.text[0] ? event.text : "an unexpected reply");
		job = &run->jobs[event.index];
		if (job->told)
			return error_set(error, EPROTO, "a clone's end was told twice");
		job->event = event;
		job->told = true;
		rc = take_answers(run, error);
		if (rc < 0)
			return rc;
		finish(run, job);
	}
	return rc;
}

/* One batch, from its sending to the end of its last clone. */
static int run_batch(struct run *run, struct error *error)
{
	int rc = send_batch(run, error);

	while (rc >= 0 && run->finished < run->count) {
		struct pollfd fds[] = {
			{.fd = forkvm_client_fd(run->client), .events = POLLIN},
			{.fd = run->answers_fd, .events = POLLIN},
		};

		/* With all its clones ended the socket is at its end, too. */
		poll(fds, ARRAY_SIZE(fds), -1);
		rc = take_answers(run, error);
		if (rc >= 0)
			rc = take_events(run, error);
	}
	for (uint32_t i = 0; i < run->count; i++)
		free(run->jobs[i].data);
	fd_close(&run->answers_fd);
	return rc;
}

static int run_all(struct run *run, struct error *error)
{
	int rc = fill(run, error);

	while (rc == 0 && run->count) {
		rc = run_batch(run, error);
		if (rc >= 0)
			rc = fill(run, error);
	}
	return rc;
}

static bool allocate(struct run *run)
{
	run->requests = calloc(FORKVM_PROTOCOL_MAX_BATCH, sizeof(*run->requests));
	run->jobs = calloc(FORKVM_PROTOCOL_MAX_BATCH, sizeof(*run->jobs));
	run->bytes = malloc(FORKVM_PROTOCOL_MAX_REQUEST);
	run->answer = malloc(ANSWER_MAX);
	return run->requests && run->jobs && run->bytes && run->answer;
}

static void release(struct run *run)
{
	free(run->requests);
	free(run->jobs);
	free(run->bytes);
	free(run->answer);
	free(run->line);
	if (run->file && run->file != stdin)
		fclose(run->file);
}

int clone_lines(const struct clone_command *command)
{
	struct run run = {.command = command, .len = -1, .answers_fd = -1};
	bool is_stdin = !strcmp(command->lines, "-");
	struct error error;
	int rc;

	run.file = is_stdin ? stdin : fopen(command->lines, "re");
	if (!run.file)
		return cli_complain(CLI_FAILED, "cannot open %s: %s", command->lines,
				    strerror(errno));
	if (!allocate(&run))
		run.status = cli_complain(CLI_FAILED, "no memory for a batch");
	else
		run.client = cli_connect(&command->target, &run.status);
	if (run.client && run_all(&run, &error) < 0)
		note_status(&run, cli_complain(CLI_FAILED, "%s", error.text));
	forkvm_client_close(run.client);
	release(&run);
	rc = cli_flush();
	return run.status > rc ? run.status : rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Making clones and collecting what they say.
 *
 * Theory of operation. A number of clones are under way at once, each in a job with a pipe for its
 * answer and one for its console. A job is finished when its end was told and its pipes are empty
 * and closed; then it is printed, whole, so that clones' answers never mix.
 */
#include "forkserver/cli/clone_run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/cli/clone_print.h"
#include "forkserver/cli/console.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* Clones under way at once. */
#define JOBS_MAX   32

/* More than any guest may answer: what goes beyond is not kept. */
#define ANSWER_MAX (16 * MIB)

struct run {
	const struct clone_command *command;
	struct forkvm_client *client;
	struct clone_job jobs[JOBS_MAX];
	struct console terminal; /* of --console-file -                 */
	int console_file;	 /* of another --console-file; or -1    */
	bool left;		 /* the user has, by Ctrl-]             */
	uint64_t started;
	uint64_t finished;
	int status; /* the worst so far */
};

static void note_status(struct run *run, int status)
{
	if (status > run->status)
		run->status = status;
}

static int open_pipe(int *ret_read, int *ret_write)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*ret_read = ends[0];
	*ret_write = ends[1];
	return 0;
}

/* Where a clone's console goes: -1 for nowhere. *ret_fd is the caller's. */
static int open_console(struct run *run, struct clone_job *job, int *ret_fd, struct error *error)
{
	const struct clone_command *command = run->command;
	int rc = 0;

	if (command->console_file && !strcmp(command->console_file, "-"))
		return console_open(&run->terminal, ret_fd, error);
	if (command->console_file) {
		*ret_fd = fcntl(run->console_file, F_DUPFD_CLOEXEC, 0);
		return *ret_fd < 0 ? error_set_errno(error, errno, "dup") : 0;
	}
	if (command->console && !command->spec.detach)
		rc = open_pipe(&job->console_fd, ret_fd);
	return rc < 0 ? error_set_errno(error, -rc, "pipe") : 0;
}

static int start(struct run *run, struct clone_job *job, struct error *error)
{
	struct forkvm_clone_spec spec = run->command->spec;
	_cleanup_close_ int answer = -1;
	_cleanup_close_ int console = -1;
	int rc = 0;

	*job = (struct clone_job){.busy = true, .answer_fd = -1, .console_fd = -1};
	if (!spec.detach)
		rc = open_pipe(&job->answer_fd, &answer);
	if (rc < 0)
		return error_set_errno(error, -rc, "pipe");
	rc = open_console(run, job, &console, error);
	if (rc < 0)
		return rc;
	spec.tag = (uint64_t)(job - run->jobs);
	spec.answer_fd = answer;
	spec.console_fd = console;
	job->sent_ns = now_ns();
	run->started++;
	return forkvm_client_clone(run->client, &spec, error);
}

static void keep(struct clone_job *job, const char *data, size_t len)
{
	char *grown;

	if (job->len + len > ANSWER_MAX)
		return;
	grown = realloc(job->data, job->len + len);
	if (!grown)
		return;
	memcpy(grown + job->len, data, len);
	job->data = grown;
	job->len += len;
}

/* Read what is in a pipe, and close it at its end. */
static void drain(struct clone_job *job, int *fd)
{
	char data[16384];
	ssize_t len = 1;

	while (*fd >= 0 && len > 0) {
		len = read(*fd, data, sizeof(data));
		if (len > 0 && fd == &job->answer_fd)
			keep(job, data, (size_t)len);
		else if (len > 0)
			cli_print_guest(stderr, data, (size_t)len);
	}
	if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(fd);
}

static void finish(struct run *run, struct clone_job *job)
{
	console_close(&run->terminal);
	clone_print(run->command, job);
	note_status(run, clone_exit_status(&job->event));
	free(job->data);
	fd_close(&job->answer_fd);
	fd_close(&job->console_fd);
	*job = (struct clone_job){.answer_fd = -1, .console_fd = -1};
	run->finished++;
}

/* Take in all events that have come. */
static int take_events(struct run *run, struct error *error)
{
	struct forkvm_event event;
	int rc;

	while ((rc = forkvm_client_next(run->client, 0, &event, error)) > 0) {
		struct clone_job *job;

		if (!event.has_tag || event.tag >= JOBS_MAX || !run->jobs[event.tag].busy)
			return error_set(error, event.code ? event.code : EPROTO, "%s",
					 event.text[0] ? event.text : "an unexpected reply");
		job = &run->jobs[event.tag];
		job->event = event;
		job->told = true;
	}
	return rc;
}

static void wait_for_more(struct run *run)
{
	struct pollfd fds[1 + CONSOLE_POLL_COUNT + 2 * JOBS_MAX];
	nfds_t count = console_poll(&run->terminal, fds);

	fds[count++] = (struct pollfd){.fd = forkvm_client_fd(run->client), .events = POLLIN};
	for (int i = 0; i < JOBS_MAX; i++) {
		struct clone_job *job = &run->jobs[i];

		if (job->answer_fd >= 0)
			fds[count++] = (struct pollfd){.fd = job->answer_fd, .events = POLLIN};
		if (job->console_fd >= 0)
			fds[count++] = (struct pollfd){.fd = job->console_fd, .events = POLLIN};
	}
	poll(fds, count, -1);
}

/* One round: start what there is room for, wait, take in, finish what is complete. */
static int step(struct run *run, struct error *error)
{
	int rc;

	for (int i = 0; i < JOBS_MAX && run->started < run->command->count; i++) {
		if (run->jobs[i].busy)
			continue;
		rc = start(run, &run->jobs[i], error);
		if (rc < 0)
			return rc;
	}
	wait_for_more(run);
	run->left = !console_relay(&run->terminal);
	rc = take_events(run, error);
	for (int i = 0; i < JOBS_MAX; i++) {
		struct clone_job *job = &run->jobs[i];

		if (!job->busy)
			continue;
		drain(job, &job->answer_fd);
		drain(job, &job->console_fd);
		if (job->told && job->answer_fd < 0 && job->console_fd < 0 && run->terminal.fd < 0)
			finish(run, job);
	}
	return rc;
}

/* The file that all consoles are appended to. The clones write it themselves. */
static int open_console_file(struct run *run)
{
	const char *path = run->command->console_file;

	if (!path || !strcmp(path, "-"))
		return 0;
	run->console_file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0666);
	if (run->console_file < 0)
		run->status = cli_complain(CLI_FAILED, "cannot open %s: %s", path, strerror(errno));
	return run->console_file < 0 ? -1 : 0;
}

int clone_run(const struct clone_command *command)
{
	struct run run = {.command = command, .console_file = -1};
	struct error error;
	int rc = 0;

	console_init(&run.terminal);
	if (open_console_file(&run) < 0)
		return run.status;
	for (int i = 0; i < JOBS_MAX; i++)
		run.jobs[i] = (struct clone_job){.answer_fd = -1, .console_fd = -1};
	run.client = cli_connect(&command->target, &run.status);
	if (!run.client) {
		fd_close(&run.console_file);
		return run.status;
	}
	while (rc >= 0 && !run.left && run.finished < command->count)
		rc = step(&run, &error);
	console_close(&run.terminal);
	fd_close(&run.console_file);
	if (rc < 0)
		note_status(&run, cli_complain(CLI_FAILED, "%s", error.text));
	for (int i = 0; i < JOBS_MAX; i++)
		free(run.jobs[i].data);
	forkvm_client_close(run.client);
	rc = cli_flush();
	return run.status > rc ? run.status : rc;
}

/* SPDX-License-Identifier: MIT */
/* A server of clone_storm's own: started before the storm, stopped after it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/storm/storm.h"

#define BOOT_TIMEOUT	 "280s" /* a template with a lot to populate takes its time */
#define READY_TIMEOUT_MS 300000
#define STOP_TIMEOUT_MS	 30000
#define ARGUMENTS_MAX	 64
#define LOG_LINES	 30 /* a Linux guest says a lot */
#define READY_FD	 10 /* what the server's end of the pipe is called there */

/* The server's last words, for when something went wrong. */
static void show_log(const struct storm_server *server)
{
	FILE *log = fopen(server->log, "re");
	unsigned int lines = 0, number = 0;
	char line[512];

	if (!log)
		return;
	while (fgets(line, sizeof(line), log))
		lines++;
	rewind(log);
	while (fgets(line, sizeof(line), log))
		if (number++ + LOG_LINES >= lines)
			fprintf(stderr, "  server: %s", line);
	fclose(log);
}

/* How it ended, in words. */
static void say_status(const char *what, int status)
{
	if (WIFSIGNALED(status))
		fprintf(stderr, "clone_storm: %s: %s (signal %d)\n", what,
			strsignal(WTERMSIG(status)), WTERMSIG(status));
	else
		fprintf(stderr, "clone_storm: %s: status %d\n", what, WEXITSTATUS(status));
}

static void append(const char **list, size_t *count, const char *const *arguments)
{
	for (; *arguments && *count + 1 < ARGUMENTS_MAX; arguments++)
		list[(*count)++] = *arguments;
	list[*count] = NULL;
}

/* The common arguments, those of the guest, and what more was wanted. */
static void list_arguments(const struct storm_options *options, const char **list,
			   const char *const *common, const char *args, const char *spares)
{
	size_t count = 0;

	append(list, &count, common);
	if (!options->kernel)
		append(list, &count,
		       (const char *const[]){"--stub", options->stub_path, "--args", args, NULL});
	else
		append(list, &count, (const char *const[]){"--kernel", options->kernel, NULL});
	if (options->kernel && options->initrd)
		append(list, &count, (const char *const[]){"--initrd", options->initrd, NULL});
	if (options->kernel && options->cmdline)
		append(list, &count, (const char *const[]){"--cmdline", options->cmdline, NULL});
	if (options->spares)
		append(list, &count, (const char *const[]){"--spares", spares, NULL});
	if (options->reset)
		append(list, &count, (const char *const[]){"--reset", NULL});
	if (options->sleep_after)
		append(list, &count,
		       (const char *const[]){"--sleep-after", options->sleep_after, NULL});
	append(list, &count, options->server_options);
}

/* In the child: become the server. */
static _Noreturn void become_server(const struct storm_options *options,
				    const struct storm_server *server, const char *program,
				    int ready_fd, pid_t parent)
{
	char mem[32], cpus[32], args[64], ready[16], spares[32];
	const char *list[ARGUMENTS_MAX];
	int log = open(server->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	/* A clone_storm that is killed must not leave a server behind. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	setpgid(0, 0); /* an interrupt from the terminal is for us, who then stop it */
	if (getppid() != parent)
		_exit(1);
	snprintf(mem, sizeof(mem), "%llu", (unsigned long long)options->mem_mib);
	snprintf(cpus, sizeof(cpus), "%u", options->cpus);
	snprintf(args, sizeof(args), "populate=%llu", (unsigned long long)options->populate_mib);
	snprintf(ready, sizeof(ready), "%d", READY_FD);
	snprintf(spares, sizeof(spares), "%zu", options->spares);
	if (log < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
	    dup2(ready_fd, READY_FD) < 0)
		_exit(127);
	if (ready_fd == READY_FD)
		fcntl(READY_FD, F_SETFD, 0); /* dup2 onto itself left it close-on-exec */
	list_arguments(options, list,
		       (const char *const[]){program, "serve", "--mem", mem, "--cpus", cpus,
					     "--boot-timeout", BOOT_TIMEOUT, "--socket",
					     server->socket, "--ready-fd", ready, NULL},
		       args, spares);
	execv(program, (char *const *)(uintptr_t)list);
	dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

/* The server writes a line to its end when it serves, or closes it by ending. */
static int await_ready(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	char byte;
	int rc;

	do
		rc = poll(&poll_fd, 1, READY_TIMEOUT_MS);
	while (rc < 0 && errno == EINTR && !storm_interrupted);
	if (rc == 0) {
		fprintf(stderr, "clone_storm: the server is not ready after %d s\n",
			READY_TIMEOUT_MS / 1000);
		return -1;
	}
	return rc > 0 && read(fd, &byte, 1) == 1 ? 0 : -1;
}

static int make_folder(struct storm_server *ret)
{
	snprintf(ret->folder, sizeof(ret->folder), "%s/clone_storm.XXXXXX", temporary_folder());
	if (!mkdtemp(ret->folder)) {
		fprintf(stderr, "clone_storm: %s: %s\n", ret->folder, strerror(errno));
		return -1;
	}
	snprintf(ret->socket, sizeof(ret->socket), "%s/socket", ret->folder);
	snprintf(ret->log, sizeof(ret->log), "%s/log", ret->folder);
	return 0;
}

/* With all that the server may have left in it (the folder is only ours). */
static void remove_folder(const struct storm_server *server)
{
	DIR *folder = opendir(server->folder);
	const struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		unlinkat(dirfd(folder), entry->d_name, 0); /* "." and ".." refuse */
	if (folder)
		closedir(folder);
	rmdir(server->folder);
}

int storm_server_start(const struct storm_options *options, struct storm_server *ret)
{
	char program[STUB_PATH_SIZE];
	pid_t self = getpid();
	int ready[2], rc;

	*ret = (struct storm_server){.pid = -1};
	if (program_find("forkvm", program) < 0) {
		fprintf(stderr, "clone_storm: no program forkvm beside this one; name a running "
				"server with --socket\n");
		return -1;
	}
	if (make_folder(ret) < 0)
		return -1;
	if (pipe2(ready, O_CLOEXEC) < 0) {
		fprintf(stderr, "clone_storm: pipe: %s\n", strerror(errno));
		remove_folder(ret);
		return -1;
	}
	ret->boot_ns = now_ns();
	ret->pid = fork();
	if (ret->pid == 0)
		become_server(options, ret, program, ready[1], self);
	close(ready[1]);
	if (ret->pid < 0)
		fprintf(stderr, "clone_storm: fork: %s\n", strerror(errno));
	rc = ret->pid < 0 ? -1 : await_ready(ready[0]);
	ret->boot_ns = now_ns() - ret->boot_ns;
	close(ready[0]);
	if (rc < 0) {
		if (ret->pid > 0) {
			int status = 0;

			kill(ret->pid, SIGTERM); /* in vain when it has ended by itself */
			waitpid(ret->pid, &status, 0);
			say_status("the server ended before it was ready", status);
		}
		show_log(ret);
		remove_folder(ret);
	}
	return rc;
}

int storm_server_stop(struct storm_server *server)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	int status = 0, waited_ms = 0;
	pid_t ended = 0;

	kill(server->pid, SIGTERM);
	while (ended == 0 && waited_ms < STOP_TIMEOUT_MS) {
		ended = waitpid(server->pid, &status, WNOHANG);
		if (ended == 0)
			nanosleep(&pause, NULL);
		waited_ms += 10;
	}
	if (ended == 0) {
		fprintf(stderr, "clone_storm: the server did not end within %d s: killed\n",
			STOP_TIMEOUT_MS / 1000);
		kill(server->pid, SIGKILL);
		waitpid(server->pid, &status, 0);
	}
	if (status != 0) {
		say_status("the server ended", status);
		show_log(server);
	}
	remove_folder(server);
	return status == 0 ? 0 : -1;
}

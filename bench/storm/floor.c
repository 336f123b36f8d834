/* SPDX-License-Identifier: MIT */
/* The floor's figures for the same template, by running the program floor. */
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/storm/storm.h"

#define FLOOR_COUNT_MAX 2000 /* enough for a p99, and a few seconds */

/* Start program with its standard output in a pipe; returns the pipe's other end. */
static FILE *start(char **arguments, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int fds[2], rc;

	if (pipe(fds) < 0)
		return NULL;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_addclose(&actions, fds[0]);
	rc = posix_spawn(ret_pid, arguments[0], &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (rc != 0) {
		close(fds[0]);
		errno = rc;
		return NULL;
	}
	return fdopen(fds[0], "r");
}

/* Run floor; workers: of its parallel loop alone, 0: its serial one alone. */
static json_t *run(const struct storm_options *options, size_t clones, unsigned int workers)
{
	char program[STUB_PATH_SIZE], mem[32], populate[32], count[32], parallel[16];
	char stub_option[] = "--stub", mem_option[] = "--mem", populate_option[] = "--populate";
	char count_option[] = "--count", json_option[] = "--json", dash[] = "-";
	char parallel_option[] = "--parallel", only[] = "--no-latency";
	char stub[STUB_PATH_SIZE];
	char *arguments[] = {program,  stub_option,  stub,  mem_option,	 mem,  populate_option,
			     populate, count_option, count, json_option, dash, NULL,
			     parallel, only,	     NULL};
	json_error_t error;
	json_t *figures;
	FILE *output;
	pid_t pid;
	int status;

	if (program_find("floor", program) < 0) {
		fprintf(stderr, "clone_storm: no program floor beside this one\n");
		return NULL;
	}
	snprintf(stub, sizeof(stub), "%s", options->stub_path);
	snprintf(mem, sizeof(mem), "%llu", (unsigned long long)options->mem_mib);
	snprintf(populate, sizeof(populate), "%llu", (unsigned long long)options->populate_mib);
	snprintf(count, sizeof(count), "%zu", clones);
	snprintf(parallel, sizeof(parallel), "%u", workers);
	if (workers)
		arguments[sizeof(arguments) / sizeof(arguments[0]) - 4] = parallel_option;
	output = start(arguments, &pid);
	if (!output) {
		fprintf(stderr, "clone_storm: %s: %s\n", program, strerror(errno));
		return NULL;
	}
	figures = json_loadf(output, 0, &error);
	fclose(output);
	if (waitpid(pid, &status, 0) != pid || status != 0 || !figures) {
		fprintf(stderr, "clone_storm: floor ended with status %d%s\n", status,
			figures ? "" : " and no figures");
		json_decref(figures);
		return NULL;
	}
	return figures;
}

json_t *storm_floor_run(const struct storm_options *options)
{
	size_t clones = options->count < FLOOR_COUNT_MAX ? options->count : FLOOR_COUNT_MAX;

	return run(options, clones, 0);
}

json_t *storm_floor_parallel(const struct storm_options *options, unsigned int workers,
			     size_t count)
{
	return run(options, count, workers);
}

double storm_floor_number(const json_t *figures, const char *object, const char *key)
{
	return json_number_value(json_object_get(json_object_get(figures, object), key));
}

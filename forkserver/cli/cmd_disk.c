/* SPDX-License-Identifier: MIT */
/*
 * forkvm disk: what a disk is, as a file of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forkserver/cli/cli.h"
#include "forkserver/cli/disk_file.h"
#include "forkserver/cli/parse.h"
#include "forkserver/storage/qcow2.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/block/export.h"

enum {
	OPT_TIMEOUT = 0x200,
};

static const struct option disk_options[] = {
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	CLI_TARGET_OPTIONS,
	{0},
};

struct disk_command {
	struct cli_target target;
	uint64_t timeout_ms; /* 0: the server's default */
};

/* "7" or "7:1". */
static int parse_clone_disk(const char *text, uint64_t *ret_id, unsigned int *ret_disk,
			    struct error *error)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	char id[24] = "";
	uint64_t disk = 0;
	int rc;

	memcpy(id, text, min_u64(len, sizeof(id) - 1));
	rc = parse_number("a clone's id", id, 0, INT64_MAX, ret_id, error);
	if (rc == 0 && colon)
		rc = parse_number("a disk's number", colon + 1, 0, FORKVM_PROTOCOL_MAX_DISKS - 1,
				  &disk, error);
	*ret_disk = (unsigned int)disk;
	return rc;
}

/* What was made of it, for people or as JSON. */
static int tell(const struct cli_target *target, const char *path, uint64_t size)
{
	struct stat found = {0};
	uint64_t host;

	(void)stat(path, &found);
	host = (uint64_t)found.st_blocks * 512;
	if (target->json)
		printf("{\"size\":%" PRIu64 ",\"host_bytes\":%" PRIu64 "}\n", size, host);
	else
		printf("%s: %" PRIu64 " bytes, of which the host holds %" PRIu64 "\n", path, size,
		       host);
	return cli_flush();
}

struct export_job {
	struct forkvm_client *client;
	uint64_t id;
	struct export_source source;
};

static struct export_source source_of(const struct forkvm_layers *layers)
{
	struct export_source source = {
		.size = layers->size,
		.image_size = layers->image_size,
		.image_fd = layers->image_fd,
		.overlay_count = layers->overlay_count,
	};

	_Static_assert(FORKVM_LAYERS_MAX == DISK_LAYERS_MAX, "every layer finds its place");
	for (unsigned int i = 0; i < layers->overlay_count; i++)
		source.overlays[i] = (struct export_layer){
			.data_fd = layers->overlays[i].data_fd,
			.map_fd = layers->overlays[i].bitmap_fd,
		};
	return source;
}

/* With the clone let go on as soon as all was read; only then is it known to be in one piece. */
static int fill_and_release(void *ctx, int fd, struct error *error)
{
	struct export_job *job = ctx;
	int rc = export_write(&job->source, fd, NULL, NULL, error);

	if (rc < 0)
		return rc;
	return forkvm_client_release(job->client, job->id, error);
}

static int export_to(struct export_job *job, unsigned int disk, uint64_t limit_ms, const char *path,
		     struct error *error)
{
	struct forkvm_layers layers;
	int rc = forkvm_client_export(job->client, job->id, disk, limit_ms, &layers, error);

	if (rc < 0)
		return rc;
	job->source = source_of(&layers);
	rc = disk_file_replace(path, fill_and_release, job, error);
	forkvm_layers_close(&layers);
	return rc;
}

static int run_export(const struct disk_command *command, char **words)
{
	struct export_job job = {0};
	unsigned int disk;
	struct error error;
	int status = CLI_OK;
	int rc;

	if (parse_clone_disk(words[0], &job.id, &disk, &error) < 0)
		return cli_misused("%s", error.text);
	job.client = cli_connect(&command->target, &status);
	if (!job.client)
		return status;
	rc = export_to(&job, disk, command->timeout_ms, words[1], &error);
	/* Closing the connection lets the clone go on, whatever went wrong. */
	forkvm_client_close(job.client);
	if (rc < 0)
		return cli_complain(CLI_FAILED, "%s", error.text);
	return tell(&command->target, words[1], job.source.size);
}

static int fill_from_chain(void *ctx, int fd, struct error *error)
{
	return export_write(ctx, fd, NULL, NULL, error);
}

static int run_commit(const struct disk_command *command, char **words)
{
	/* Open, and so locked, until all is read: nobody may write to it meanwhile. */
	_cleanup_close_ int fd = -1;
	struct export_source source;
	struct error error;
	int rc;

	fd = disk_file_open(words[0], false, &error);
	rc = fd < 0 ? fd : export_open_chain(words[0], &source, &error);
	if (rc == 0) {
		rc = disk_file_replace(words[1], fill_from_chain, &source, &error);
		export_close_chain(&source);
	}
	if (rc < 0)
		return cli_complain(CLI_FAILED, "%s", error.text);
	return tell(&command->target, words[1], source.size);
}

static int print_info(const struct cli_target *target, const char *format, uint64_t size,
		      uint64_t host, unsigned int layers)
{
	if (target->json)
		printf("{\"format\":\"%s\",\"size\":%" PRIu64 ",\"host_bytes\":%" PRIu64
		       ",\"overlays\":%u}\n",
		       format, size, host, layers);
	else
		printf("format      %s\nsize        %" PRIu64 "\nhost_bytes  %" PRIu64
		       "\noverlays    %u\n",
		       format, size, host, layers);
	return cli_flush();
}

/* What is no overlay is an image. */
static int info_of_image(const struct cli_target *target, const char *path, int fd,
			 const struct stat *found)
{
	uint8_t bytes[QCOW2_HEADER_SIZE];
	ssize_t len = pread(fd, bytes, sizeof(bytes), 0);
	uint64_t host = (uint64_t)found->st_blocks * 512;
	struct qcow2_header header;
	struct error error;
	off_t size = lseek(fd, 0, SEEK_END);

	if (len < 0 || size < 0)
		return cli_complain(CLI_FAILED, "cannot read %s: %s", path, strerror(errno));
	if (!qcow2_is(bytes, (size_t)len))
		return print_info(target, "raw", (uint64_t)size, host, 0);
	if (qcow2_parse(bytes, (size_t)len, &header, &error) < 0)
		return cli_complain(CLI_FAILED, "%s: %s", path, error.text);
	return print_info(target, "qcow2", header.size, host, 0);
}

static int run_info(const struct disk_command *command, char **words)
{
	struct export_source source;
	_cleanup_close_ int fd = -1;
	struct error error;
	struct stat found;
	int status, rc;

	fd = disk_file_open(words[0], false, &error);
	if (fd < 0 || fstat(fd, &found) < 0)
		return cli_complain(CLI_FAILED, "%s", error.text);
	rc = export_open_chain(words[0], &source, &error);
	if (rc == -EUCLEAN)
		return info_of_image(&command->target, words[0], fd, &found);
	if (rc < 0)
		return cli_complain(CLI_FAILED, "%s", error.text);
	status = print_info(&command->target, "overlay", source.size,
			    (uint64_t)found.st_blocks * 512, source.overlay_count);
	export_close_chain(&source);
	return status;
}

static const struct {
	const char *name;
	int words;
	int (*run)(const struct disk_command *command, char **words);
	const char *usage;
} actions[] = {
	{"export", 2, run_export, "export takes a clone's id (ID or ID:DISK) and a file"},
	{"commit", 2, run_commit, "commit takes an overlay and a file for the new base"},
	{"info", 1, run_info, "info takes a file"},
};

int cmd_disk(int argc, char **argv)
{
	struct disk_command command = {0};
	struct error error;
	int option, status;

	while ((option = cli_option(argc, argv, disk_options, &command.target, &status)) != -1) {
		if (option == CLI_OPTION_EXIT)
			return status;
		if (parse_duration("--timeout", optarg, &command.timeout_ms, &error) < 0)
			return cli_misused("%s", error.text);
	}
	for (size_t i = 0; optind < argc && i < ARRAY_SIZE(actions); i++) {
		if (strcmp(argv[optind], actions[i].name) != 0)
			continue;
		if (argc - optind - 1 != actions[i].words)
			return cli_misused("%s", actions[i].usage);
		return actions[i].run(&command, argv + optind + 1);
	}
	return cli_misused("what is to be done with the disk: export, commit or info?");
}

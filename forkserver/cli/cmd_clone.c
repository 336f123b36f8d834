/* SPDX-License-Identifier: MIT */
/*
 * forkvm clone: options, and the request's bytes. What happens then is in clone_run.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/cli/clone_lines.h"
#include "forkserver/cli/clone_run.h"
#include "forkserver/cli/disk_file.h"
#include "forkserver/cli/disk_options.h"
#include "forkserver/cli/parse.h"
#include "forkserver/proto/request.h"
#include "vmm/base/cleanup.h"

enum {
	OPT_COUNT = 0x200,
	OPT_REQUEST,
	OPT_REQUEST_FILE,
	OPT_LINES,
	OPT_TIMEOUT,
	OPT_DETACH,
	OPT_CONSOLE,
	OPT_CONSOLE_FILE,
	OPT_SPARE,
	OPT_TENANT,
	OPT_DISK,
};

static const struct option clone_options[] = {
	{"count", required_argument, NULL, OPT_COUNT},
	{"request", required_argument, NULL, OPT_REQUEST},
	{"request-file", required_argument, NULL, OPT_REQUEST_FILE},
	{"lines", required_argument, NULL, OPT_LINES},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"detach", no_argument, NULL, OPT_DETACH},
	{"console", no_argument, NULL, OPT_CONSOLE},
	{"console-file", required_argument, NULL, OPT_CONSOLE_FILE},
	{"spare", required_argument, NULL, OPT_SPARE},
	{"tenant", required_argument, NULL, OPT_TENANT},
	{"disk", required_argument, NULL, OPT_DISK},
	CLI_TARGET_OPTIONS,
	{0},
};

/* The files of --disk. */
struct clone_disks {
	struct disk_given given[FORKVM_PROTOCOL_MAX_DISKS];
	unsigned int count;
};

static int too_long(struct error *error, const char *where)
{
	return error_set(error, EMSGSIZE,
			 "the request %s has more than %d bytes, the most a guest "
			 "takes",
			 where, FORKVM_PROTOCOL_MAX_REQUEST);
}

/* Read path ("-": standard input) into a buffer that is the caller's. */
static int read_request(const char *path, char **ret_data, size_t *ret_len, struct error *error)
{
	bool is_stdin = !strcmp(path, "-");
	_cleanup_close_ int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *data = malloc(FORKVM_PROTOCOL_MAX_REQUEST + 1);
	size_t len = 0;
	ssize_t count = 1;

	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %s", path);
	if (!data)
		return error_set(error, ENOMEM, "no memory for the request");
	while (count > 0 && len <= FORKVM_PROTOCOL_MAX_REQUEST) {
		count = read(fd, data + len, FORKVM_PROTOCOL_MAX_REQUEST + 1 - len);
		if (count < 0 && errno == EINTR)
			count = 1;
		else if (count < 0)
			return error_set_errno(error, errno, "cannot read %s", path);
		else
			len += (size_t)count;
	}
	if (len > FORKVM_PROTOCOL_MAX_REQUEST)
		return too_long(error, is_stdin ? "from standard input" : "in the file");
	*ret_data = ptr_steal(data);
	*ret_len = len;
	return 0;
}

static int set_tenant(struct forkvm_clone_spec *spec, const char *text, struct error *error)
{
	size_t len = strlen(text);

	spec->tenant = text;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' || text[i] == '\\')
			len = 0; /* whatever it is: not one */
	}
	if (!len || len >= REQUEST_TENANT_SIZE)
		return error_set(
			error, EINVAL,
			"--tenant is 1 to %d printable ASCII characters without quotes and "
			"backslashes",
			REQUEST_TENANT_SIZE - 1);
	return 0;
}

static int set_spare(struct forkvm_clone_spec *spec, const char *text, struct error *error)
{
	if (!strcmp(text, "any"))
		spec->spare = FORKVM_SPARE_ANY;
	else if (!strcmp(text, "never"))
		spec->spare = FORKVM_SPARE_NEVER;
	else if (!strcmp(text, "only"))
		spec->spare = FORKVM_SPARE_ONLY;
	else if (!strcmp(text, "wait"))
		spec->spare = FORKVM_SPARE_WAIT;
	else
		return error_set(error, EINVAL,
				 "--spare is any, never, only or wait, not \"%.40s\"", text);
	return 0;
}

/* Note a disk; its file is opened later. */
static int add_disk(struct clone_disks *disks, const char *value, struct error *error)
{
	int rc;

	if (disks->count == FORKVM_PROTOCOL_MAX_DISKS)
		return error_set(error, E2BIG, "--disk can be given %d times at most",
				 FORKVM_PROTOCOL_MAX_DISKS);
	rc = disk_options_parse_given(value, &disks->given[disks->count], error);
	for (unsigned int i = 0; rc == 0 && i < disks->count; i++) {
		if (disks->given[i].slot == disks->given[disks->count].slot)
			return error_set(error, EINVAL, "two of --disk are for slot %u",
					 disks->given[i].slot);
	}
	if (rc == 0)
		disks->count++;
	return rc;
}

/* Open their files, to be closed by the caller, on errors too. */
static int open_disks(const struct clone_disks *disks, struct forkvm_clone_spec *spec,
		      struct error *error)
{
	static const enum forkvm_disk_mode modes[] = {
		[DISK_GIVEN_OVERLAY] = FORKVM_DISK_OVERLAY,
		[DISK_GIVEN_READ_ONLY] = FORKVM_DISK_READ_ONLY,
		[DISK_GIVEN_WRITE] = FORKVM_DISK_WRITE,
	};

	for (unsigned int i = 0; i < disks->count; i++) {
		const struct disk_given *given = &disks->given[i];
		int fd = disk_file_open(given->path, given->mode == DISK_GIVEN_WRITE, error);

		if (fd < 0)
			return fd;
		spec->disks[spec->disk_count++] = (struct forkvm_clone_disk){
			.slot = given->slot,
			.fd = fd,
			.mode = modes[given->mode],
		};
	}
	return 0;
}

static int check_disks(const struct clone_disks *disks, uint64_t count, struct error *error)
{
	for (unsigned int i = 0; i < disks->count; i++) {
		if (disks->given[i].mode == DISK_GIVEN_WRITE && count > 1)
			return error_set(error, EINVAL,
					 "a file that is written to (--disk N=FILE,rw) is for one "
					 "clone: it cannot go with --count");
	}
	return 0;
}

static int set_option(struct clone_command *command, int option, const char *value,
		      const char **file, struct clone_disks *disks, struct error *error)
{
	switch (option) {
	case OPT_COUNT:
		return parse_number("--count", value, 1, UINT32_MAX, &command->count, error);
	case OPT_REQUEST:
		command->spec.request = value;
		command->spec.request_len = strlen(value);
		if (command->spec.request_len > FORKVM_PROTOCOL_MAX_REQUEST)
			return too_long(error, "of --request");
		return 0;
	case OPT_REQUEST_FILE:
		*file = value;
		return 0;
	case OPT_LINES:
		command->lines = value;
		return 0;
	case OPT_TIMEOUT:
		return parse_duration("--timeout", value, &command->spec.timeout_ms, error);
	case OPT_DETACH:
		command->spec.detach = true;
		return 0;
	case OPT_CONSOLE_FILE:
		command->console_file = value;
		return 0;
	case OPT_SPARE:
		return set_spare(&command->spec, value, error);
	case OPT_TENANT:
		return set_tenant(&command->spec, value, error);
	case OPT_DISK:
		return add_disk(disks, value, error);
	default:
		command->console = true;
		return 0;
	}
}

/* Do the options go together? */
static int check_console(const struct clone_command *command, const char *file, struct error *error)
{
	if (!command->console_file)
		return 0;
	if (command->console)
		return error_set(error, EINVAL, "give --console or --console-file, not both");
	if (strcmp(command->console_file, "-") != 0)
		return 0;
	if (command->count != 1 || command->spec.detach)
		return error_set(error, EINVAL,
				 "--console-file - is for one clone that is waited for: it cannot "
				 "go with --count or --detach");
	if (command->target.json || (file && !strcmp(file, "-")))
		return error_set(error, EINVAL,
				 "--console-file - takes standard input and output: it cannot go "
				 "with --json or --request-file -");
	return 0;
}

/* --lines tells how many there are, and what each is asked. */
static int check_lines(const struct clone_command *command, const char *file,
		       const struct clone_disks *disks, struct error *error)
{
	if (!command->lines)
		return 0;
	if (file || command->spec.request || command->count != 1)
		return error_set(error, EINVAL,
				 "--lines cannot go with --count, --request or --request-file");
	if (command->console || command->console_file || disks->count)
		return error_set(error, EINVAL,
				 "--lines cannot go with --console, --console-file or --disk");
	return 0;
}

int cmd_clone(int argc, char **argv)
{
	struct clone_command command = {
		.count = 1,
		.spec = {.answer_fd = -1, .console_fd = -1},
	};
	_cleanup_free_ char *data = NULL;
	struct clone_disks disks = {.count = 0};
	const char *file = NULL;
	struct error error;
	int option;
	int status;

	while ((option = cli_option(argc, argv, clone_options, &command.target, &status)) != -1) {
		if (option == CLI_OPTION_EXIT)
			return status;
		if (set_option(&command, option, optarg, &file, &disks, &error) < 0)
			return cli_misused("%s", error.text);
	}
	if (optind < argc)
		return cli_misused("\"%.40s\" is one word too many", argv[optind]);
	if (file && command.spec.request)
		return cli_misused("give --request or --request-file, not both");
	if (check_console(&command, file, &error) < 0 ||
	    check_lines(&command, file, &disks, &error) < 0 ||
	    check_disks(&disks, command.count, &error) < 0)
		return cli_misused("%s", error.text);
	if (file && read_request(file, &data, &command.spec.request_len, &error) < 0)
		return cli_complain(CLI_FAILED, "%s", error.text);
	if (file)
		command.spec.request = data;
	if (command.lines)
		return clone_lines(&command);
	status = open_disks(&disks, &command.spec, &error) < 0
			 ? cli_complain(CLI_FAILED, "%s", error.text)
			 : clone_run(&command);
	for (unsigned int i = 0; i < command.spec.disk_count; i++)
		close(command.spec.disks[i].fd);
	return status;
}

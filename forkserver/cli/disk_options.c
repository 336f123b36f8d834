/* SPDX-License-Identifier: MIT */
/*
 * The options that are about disks: from words to structures.
 */
#include "forkserver/cli/disk_options.h"

#include <errno.h>
#include <string.h>

#include "forkserver/cli/parse.h"
#include "vmm/base/util.h"

/* One of the words behind a file's name: at and len within the option's value. */
struct word {
	const char *at;
	size_t len;
};

/* Copy the file's name, up to a comma that stands alone; *ret_rest is behind it, or NULL. */
static int take_path(const char *option, const char *value, char path[SERVE_DISK_PATH_SIZE],
		     const char **ret_rest, struct error *error)
{
	size_t len = 0;

	for (; *value && (*value != ',' || value[1] == ','); value++) {
		if (len == SERVE_DISK_PATH_SIZE - 1)
			return error_set(error, ENAMETOOLONG,
					 "%s: the file's name has more than %u bytes", option,
					 SERVE_DISK_PATH_SIZE - 1);
		path[len++] = *value;
		value += *value == ',';
	}
	path[len] = '\0';
	if (!len)
		return error_set(error, EINVAL, "%s: the file's name is missing", option);
	*ret_rest = *value ? value + 1 : NULL;
	return 0;
}

/* The next word up to a comma. False: there is none. */
static bool take_word(const char **rest, struct word *ret)
{
	if (!*rest)
		return false;
	*ret = (struct word){*rest, strcspn(*rest, ",")};
	*rest = ret->at[ret->len] ? ret->at + ret->len + 1 : NULL;
	return true;
}

static bool is_word(const struct word *word, const char *text)
{
	return word->len == strlen(text) && !memcmp(word->at, text, word->len);
}

/* The word is NAME=..., and *ret what stands behind it. */
static bool has_value(const struct word *word, const char *name, struct word *ret)
{
	size_t len = strlen(name);

	if (word->len < len || memcmp(word->at, name, len) != 0)
		return false;
	*ret = (struct word){word->at + len, word->len - len};
	return true;
}

static int bad_word(const struct word *word, const char *words, struct error *error)
{
	return error_set(error, EINVAL, "--disk: \"%.*s\" is not known: it takes %s",
			 (int)min_u64(word->len, 40), word->at, words);
}

static int set_format(struct serve_disk *disk, const struct word *value, struct error *error)
{
	if (is_word(value, "raw"))
		disk->format = SERVE_DISK_RAW;
	else if (is_word(value, "qcow2"))
		disk->format = SERVE_DISK_QCOW2;
	else
		return bad_word(value, "format=raw or format=qcow2", error);
	return 0;
}

static int set_direct(struct serve_disk *disk, const struct word *value, struct error *error)
{
	if (is_word(value, "on"))
		disk->direct = DISK_DIRECT_ON;
	else if (is_word(value, "off"))
		disk->direct = DISK_DIRECT_OFF;
	else
		return bad_word(value, "direct=on or direct=off", error);
	return 0;
}

static int set_serial(struct serve_disk *disk, const struct word *value, struct error *error)
{
	bool good = value->len && value->len < SERVE_DISK_SERIAL_SIZE;

	for (size_t i = 0; good && i < value->len; i++)
		good = value->at[i] > ' ' && value->at[i] <= '~';
	if (!good)
		return error_set(error, EINVAL,
				 "--disk: serial= takes 1 to %u printable ASCII characters without "
				 "spaces and commas",
				 SERVE_DISK_SERIAL_SIZE - 1);
	memcpy(disk->serial, value->at, value->len);
	disk->serial[value->len] = '\0';
	return 0;
}

static int set_word(struct serve_disk *disk, const struct word *word, struct error *error)
{
	struct word value;

	if (has_value(word, "serial=", &value))
		return set_serial(disk, &value, error);
	if (disk->is_empty)
		return bad_word(word, "none,serial=TEXT where the slot is empty", error);
	if (has_value(word, "format=", &value))
		return set_format(disk, &value, error);
	if (has_value(word, "direct=", &value))
		return set_direct(disk, &value, error);
	if (is_word(word, "ro"))
		disk->read_only = true;
	else if (is_word(word, "durable"))
		disk->durable = true;
	else
		return bad_word(word,
				"ro, durable, format=raw|qcow2, direct=on|off and serial=TEXT "
				"behind the file's name, in which a comma is written twice",
				error);
	return 0;
}

int disk_options_add(struct serve_disks *disks, const char *value, struct error *error)
{
	struct serve_disk disk = {.format = SERVE_DISK_AUTO};
	struct word word;
	const char *rest;
	int rc;

	if (disks->count == MACHINE_DISKS_MAX)
		return error_set(error, E2BIG, "--disk can be given %u times at most",
				 MACHINE_DISKS_MAX);
	rc = take_path("--disk", value, disk.path, &rest, error);
	if (rc < 0)
		return rc;
	disk.is_empty = !strcmp(disk.path, "none");
	while (rc == 0 && take_word(&rest, &word))
		rc = set_word(&disk, &word, error);
	if (rc < 0)
		return rc;
	if (disk.read_only && disk.durable)
		return error_set(error, EINVAL,
				 "--disk: a disk that is never written to (ro) cannot be durable");
	disks->disk[disks->count++] = disk;
	return 0;
}

int disk_options_set_overlay(struct serve_disks *disks, const char *value, struct error *error)
{
	if (!value[0])
		return error_set(error, EINVAL, "--overlay is memory or a folder, and not empty");
	disks->overlay_dir = strcmp(value, "memory") != 0 ? value : NULL;
	return 0;
}

int disk_options_set_limit(struct serve_disks *disks, const char *value, struct error *error)
{
	int rc = parse_size("--overlay-limit", value, &disks->overlay_limit, error);

	if (rc == 0 && disks->overlay_limit < DISK_BLOCK)
		return error_set(error, ERANGE, "--overlay-limit is less than a block of %u bytes",
				 DISK_BLOCK);
	return rc;
}

int disk_options_finish(const struct serve_disks *disks, struct error *error)
{
	for (unsigned int i = 0; i < disks->count; i++) {
		if (disks->disk[i].durable && !disks->overlay_dir)
			return error_set(error, EINVAL,
					 "--disk %.80s: a durable disk keeps what is written in "
					 "files: name their folder with --overlay",
					 disks->disk[i].path);
	}
	return 0;
}

int disk_options_parse_given(const char *value, struct disk_given *ret, struct error *error)
{
	static const char words[] = "ro or rw behind the file's name, in which a comma is written "
				    "twice";
	const char *equals = strchr(value, '=');
	char number[8] = "";
	const char *rest = NULL;
	uint64_t slot = 0;
	int rc;

	if (!equals || equals == value || equals - value >= (ptrdiff_t)sizeof(number))
		return error_set(
			error, EINVAL,
			"--disk takes N=FILE: an empty slot's number, and the file for it");
	memcpy(number, value, (size_t)(equals - value));
	rc = parse_number("--disk", number, 0, MACHINE_DISKS_MAX - 1, &slot, error);
	if (rc == 0)
		rc = take_path("--disk", equals + 1, ret->path, &rest, error);
	if (rc < 0)
		return rc;
	ret->slot = (unsigned int)slot;
	ret->mode = DISK_GIVEN_OVERLAY;
	if (rest && !strcmp(rest, "ro"))
		ret->mode = DISK_GIVEN_READ_ONLY;
	else if (rest && !strcmp(rest, "rw"))
		ret->mode = DISK_GIVEN_WRITE;
	else if (rest)
		return bad_word(&(struct word){rest, strlen(rest)}, words, error);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The member "disks" of a request for a clone: see request_disks.h.
 */
#include "forkserver/proto/request_disks.h"

#include <errno.h>
#include <string.h>

static int store_slot(struct request_disk *disk, const json_t *value, struct error *error)
{
	json_int_t slot = json_integer_value(value);

	if (!json_is_integer(value) || slot < 0 || slot >= FORKVM_PROTOCOL_MAX_DISKS)
		return error_set(error, EINVAL,
				 "member \"slot\" of \"disks\" must be an integer from 0 to %d",
				 FORKVM_PROTOCOL_MAX_DISKS - 1);
	disk->slot = (unsigned int)slot;
	return 0;
}

static int store_disk_mode(struct request_disk *disk, const json_t *value, struct error *error)
{
	static const char *const names[] = {
		[REQUEST_DISK_OVERLAY] = "overlay",
		[REQUEST_DISK_READ_ONLY] = "ro",
		[REQUEST_DISK_WRITE] = "rw",
	};
	const char *name = json_string_value(value);

	for (unsigned int i = 0; name && i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(name, names[i])) {
			disk->mode = (enum request_disk_mode)i;
			return 0;
		}
	}
	return error_set(error, EINVAL,
			 "member \"mode\" of \"disks\" must be \"overlay\", \"ro\" or \"rw\"");
}

static int store_disk(struct request_disk *disk, json_t *object, struct error *error)
{
	const char *name;
	json_t *value;
	int ret = 0;

	if (!json_is_object(object))
		return error_set(error, EINVAL, "member \"disks\" must be an array of objects");
	json_object_foreach(object, name, value)
	{
		if (!strcmp(name, "slot"))
			ret = store_slot(disk, value, error);
		else if (!strcmp(name, "mode"))
			ret = store_disk_mode(disk, value, error);
		else
			ret = error_set(error, EINVAL, "one of \"disks\" has no member \"%.40s\"",
					name);
		if (ret < 0)
			return ret;
	}
	if (!json_object_get(object, "slot"))
		return error_set(error, EINVAL, "one of \"disks\" has no \"slot\"");
	return 0;
}

int request_store_disks(struct request *request, const json_t *value, struct error *error)
{
	size_t count = json_array_size(value);
	unsigned int slots = 0;

	if (!json_is_array(value) || count > FORKVM_PROTOCOL_MAX_DISKS)
		return error_set(error, EINVAL,
				 "member \"disks\" must be an array of at most %d objects",
				 FORKVM_PROTOCOL_MAX_DISKS);
	for (size_t i = 0; i < count; i++) {
		struct request_disk *disk = &request->disks[i];
		int ret = store_disk(disk, json_array_get(value, i), error);

		if (ret < 0)
			return ret;
		if (slots >> disk->slot & 1)
			return error_set(error, EINVAL, "two of \"disks\" are for slot %u",
					 disk->slot);
		slots |= 1u << disk->slot;
		request->disk_count++;
	}
	return 0;
}

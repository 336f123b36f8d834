/* SPDX-License-Identifier: MIT */
/*
 * The members of a request for many clones at once: see request_batch.h.
 */
#include "forkserver/proto/request_batch.h"

#include <errno.h>
#include <string.h>

#include "forkserver/proto/base64.h"

static int store_count(uint32_t *ret, const json_t *value, const char *name, struct error *error)
{
	json_int_t count = json_integer_value(value);

	if (!json_is_integer(value) || count < 1 || count > FORKVM_PROTOCOL_MAX_BATCH)
		return error_set(error, EINVAL, "member \"%s\" must be an integer from 1 to %d",
				 name, FORKVM_PROTOCOL_MAX_BATCH);
	*ret = (uint32_t)count;
	return 0;
}

int request_store_count(struct request *request, const json_t *value, struct error *error)
{
	return store_count(&request->count, value, "count", error);
}

int request_store_at_once(struct request *request, const json_t *value, struct error *error)
{
	return store_count(&request->at_once, value, "at_once", error);
}

/* Put one more request's bytes behind those that are there. */
static int store_part(struct request *request, const json_t *value, bool is_base64,
		      struct error *error)
{
	const char *name = is_base64 ? "requests_b64" : "requests";
	size_t room = sizeof(request->body) - request->body_len;
	size_t len = json_string_length(value);
	int rc = 0;

	if (!json_is_string(value))
		return error_set(error, EINVAL, "member \"%s\" must be an array of strings", name);
	if (is_base64)
		rc = base64_decode(json_string_value(value), len, request->body + request->body_len,
				   room, &len);
	else if (len > room)
		rc = -EMSGSIZE;
	else
		memcpy(request->body + request->body_len, json_string_value(value), len);
	if (rc == -EMSGSIZE)
		return error_set(error, EMSGSIZE,
				 "member \"%s\" is too long: a batch's requests have at most %d "
				 "bytes together",
				 name, FORKVM_PROTOCOL_MAX_REQUEST);
	if (rc < 0)
		return error_set(error, EINVAL,
				 "member \"%s\" must hold canonical base64 with padding", name);
	request->body_len += len;
	request->part_ends[request->count++] = (uint32_t)request->body_len;
	return 0;
}

static int store_parts(struct request *request, const json_t *value, bool is_base64,
		       struct error *error)
{
	size_t count = json_array_size(value);

	if (!json_is_array(value) || !count || count > FORKVM_PROTOCOL_MAX_BATCH)
		return error_set(error, EINVAL, "member \"%s\" must be an array of 1 to %d strings",
				 is_base64 ? "requests_b64" : "requests",
				 FORKVM_PROTOCOL_MAX_BATCH);
	/* What else may have been stored is found out by request_check_batch. */
	request->count = 0;
	request->body_len = 0;
	request->has_parts = true;
	for (size_t i = 0; i < count; i++) {
		int rc = store_part(request, json_array_get(value, i), is_base64, error);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int request_store_requests(struct request *request, const json_t *value, struct error *error)
{
	return store_parts(request, value, false, error);
}

int request_store_requests_b64(struct request *request, const json_t *value, struct error *error)
{
	return store_parts(request, value, true, error);
}

int request_check_batch(const struct request *request, const json_t *object, struct error *error)
{
	static const char *const sources[] = {"request", "request_b64", "requests", "requests_b64"};
	unsigned int given = 0;

	for (unsigned int i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		given += json_object_get(object, sources[i]) != NULL;
	if (given > 1)
		return error_set(error, EINVAL,
				 "give one of \"request\", \"request_b64\", \"requests\" and "
				 "\"requests_b64\"");
	if (request->has_parts && json_object_get(object, "count"))
		return error_set(error, EINVAL,
				 "\"requests\" tells how many clones there are to be: leave "
				 "\"count\" out");
	if (!request->count && request->at_once)
		return error_set(error, EINVAL, "\"at_once\" needs \"count\" or \"requests\"");
	if (request->at_once && request->detach)
		return error_set(error, EINVAL,
				 "\"at_once\" needs clones whose ends are told: leave it or "
				 "\"detach\" out");
	if (request->count && request->spare == REQUEST_SPARE_WAIT)
		return error_set(
			error, EINVAL,
			"a batch does not wait for spares: leave it or \"spare\": \"wait\" "
			"out");
	if (request->count && (request->session || request->console || request->disk_count))
		return error_set(error, EINVAL,
				 "a batch has no \"session\", \"console\" or \"disks\": ask for "
				 "such clones one by one");
	return 0;
}

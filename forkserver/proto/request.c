/* SPDX-License-Identifier: MIT */
/*
 * One request of the control protocol, from a line of bytes to a struct.
 *
 * Theory of operation. jansson turns the line into a value (it bounds the depth itself, and the
 * length of a line bounds the size). Each op has the list of members it may have; each member has
 * one function that checks its type and range and stores it. What is not in the list is an error:
 * a client that misspells "timeout_ms" must not find out by a clone that never ends.
 */
#include "forkserver/proto/request.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "forkserver/proto/base64.h"
#include "forkserver/proto/request_batch.h"
#include "forkserver/proto/request_disks.h"

/* The longest timeout that still is one: about 31 years. */
#define TIMEOUT_MAX_MS 1000000000000ll

typedef int member_fn(struct request *request, const json_t *value, struct error *error);

struct member {
	const char *name;
	member_fn *store;
};

static int bad_type(struct error *error, const char *name, const char *wanted)
{
	return error_set(error, EINVAL, "member \"%s\" must be %s", name, wanted);
}

static int store_flag(bool *flag, const json_t *value, const char *name, struct error *error)
{
	if (!json_is_boolean(value))
		return bad_type(error, name, "true or false");
	*flag = json_is_true(value);
	return 0;
}

static int store_number(uint64_t *number, const json_t *value, json_int_t max, const char *name,
			struct error *error)
{
	json_int_t integer = json_integer_value(value);

	if (!json_is_integer(value) || integer < 0 || integer > max)
		return error_set(error, EINVAL,
				 "member \"%s\" must be an integer from 0 to %" JSON_INTEGER_FORMAT,
				 name, max);
	*number = (uint64_t)integer;
	return 0;
}

static int store_tag(struct request *request, const json_t *value, struct error *error)
{
	const char *string = json_string_value(value);
	size_t len = json_string_length(value);

	if (json_is_integer(value)) {
		snprintf(request->tag, sizeof(request->tag), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
		return 0;
	}
	if (!string || !len || len > REQUEST_TAG_SIZE - 4)
		return error_set(error, EINVAL,
				 "member \"tag\" must be an integer or a string of 1 to %d bytes",
				 REQUEST_TAG_SIZE - 4);
	for (size_t i = 0; i < len; i++) {
		/* What needs no escaping can be echoed as it came. */
		if (string[i] < 0x20 || string[i] > 0x7e || string[i] == '"' || string[i] == '\\')
			return error_set(error, EINVAL,
					 "member \"tag\" may hold printable ASCII only, without "
					 "quotes and backslashes");
	}
	snprintf(request->tag, sizeof(request->tag), "\"%s\"", string);
	return 0;
}

static int store_answer(struct request *request, const json_t *value, struct error *error)
{
	return store_flag(&request->answer, value, "answer", error);
}

static int store_console(struct request *request, const json_t *value, struct error *error)
{
	return store_flag(&request->console, value, "console", error);
}

static int store_session(struct request *request, const json_t *value, struct error *error)
{
	return store_flag(&request->session, value, "session", error);
}

static int store_detach(struct request *request, const json_t *value, struct error *error)
{
	return store_flag(&request->detach, value, "detach", error);
}

static int store_progress(struct request *request, const json_t *value, struct error *error)
{
	return store_flag(&request->progress, value, "progress", error);
}

static int store_all(struct request *request, const json_t *value, struct error *error)
{
	return store_flag(&request->all, value, "all", error);
}

static int store_timeout(struct request *request, const json_t *value, struct error *error)
{
	request->has_timeout = true;
	return store_number(&request->timeout_ms, value, TIMEOUT_MAX_MS, "timeout_ms", error);
}

static int store_spare(struct request *request, const json_t *value, struct error *error)
{
	static const char *const words[] = {
		[REQUEST_SPARE_ANY] = "any",
		[REQUEST_SPARE_NEVER] = "never",
		[REQUEST_SPARE_ONLY] = "only",
		[REQUEST_SPARE_WAIT] = "wait",
	};
	const char *word = json_string_value(value);

	for (unsigned int i = 0; word && i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(word, words[i]) && json_string_length(value) == strlen(word)) {
			request->spare = (enum request_spare)i;
			return 0;
		}
	}
	return bad_type(error, "spare", "\"any\", \"never\", \"only\" or \"wait\"");
}

static int store_tenant(struct request *request, const json_t *value, struct error *error)
{
	const char *string = json_string_value(value);
	size_t len = json_string_length(value);

	if (!string || !len || len >= sizeof(request->tenant))
		return error_set(error, EINVAL,
				 "member \"tenant\" must be a string of 1 to %zu bytes",
				 sizeof(request->tenant) - 1);
	for (size_t i = 0; i < len; i++) {
		if (string[i] < 0x20 || string[i] > 0x7e)
			return error_set(error, EINVAL,
					 "member \"tenant\" may hold printable ASCII only");
	}
	memcpy(request->tenant, string, len + 1);
	return 0;
}

static int store_id(struct request *request, const json_t *value, struct error *error)
{
	request->has_id = true;
	return store_number(&request->id, value, INT64_MAX, "id", error);
}

static int store_after(struct request *request, const json_t *value, struct error *error)
{
	return store_number(&request->after, value, INT64_MAX, "after", error);
}

static int too_long(struct error *error, const char *name)
{
	return error_set(error, EMSGSIZE,
			 "member \"%s\" is too long: a request to a guest has at most %d bytes",
			 name, FORKVM_PROTOCOL_MAX_REQUEST);
}

static int store_body(struct request *request, const json_t *value, struct error *error)
{
	size_t len = json_string_length(value);

	if (!json_is_string(value))
		return bad_type(error, "request", "a string");
	if (len > sizeof(request->body))
		return too_long(error, "request");
	memcpy(request->body, json_string_value(value), len);
	request->body_len = len;
	return 0;
}

static int store_body_b64(struct request *request, const json_t *value, struct error *error)
{
	int ret;

	if (!json_is_string(value))
		return bad_type(error, "request_b64", "a string");
	ret = base64_decode(json_string_value(value), json_string_length(value), request->body,
			    sizeof(request->body), &request->body_len);
	if (ret == -EMSGSIZE)
		return too_long(error, "request_b64");
	if (ret < 0)
		return bad_type(error, "request_b64", "canonical base64 with padding");
	return 0;
}

static int store_disk_number(struct request *request, const json_t *value, struct error *error)
{
	return store_number(&request->disk, value, FORKVM_PROTOCOL_MAX_DISKS - 1, "disk", error);
}

static int store_protocol(struct request *request, const json_t *value, struct error *error)
{
	uint64_t version = 0;
	int ret;

	(void)request;
	ret = store_number(&version, value, INT32_MAX, "protocol", error);
	if (ret < 0)
		return ret;
	if (version != FORKVM_PROTOCOL_VERSION)
		return error_set(error, EPROTONOSUPPORT,
				 "this server speaks version %d of the protocol, not %" PRIu64,
				 FORKVM_PROTOCOL_VERSION, version);
	return 0;
}

/* Members known before the op is looked at; NULL store: handled there. */
static const struct member common_members[] = {
	{"op", NULL},
	{"tag", NULL},
	{NULL, NULL},
};

static const struct member hello_members[] = {
	{"protocol", store_protocol},
	{NULL, NULL},
};

static const struct member clone_members[] = {
	{"answer", store_answer},
	{"console", store_console},
	{"disks", request_store_disks},
	{"request", store_body},
	{"session", store_session},
	{"detach", store_detach},
	{"request_b64", store_body_b64},
	{"progress", store_progress},
	{"timeout_ms", store_timeout},
	{"spare", store_spare},
	{"tenant", store_tenant},
	{"count", request_store_count},
	{"at_once", request_store_at_once},
	{"requests", request_store_requests},
	{"requests_b64", request_store_requests_b64},
	{NULL, NULL},
};

static const struct member list_members[] = {
	{"after", store_after},
	{NULL, NULL},
};

static const struct member inspect_members[] = {
	{"id", store_id},
	{NULL, NULL},
};

static const struct member kill_members[] = {
	{"id", store_id},
	{"all", store_all},
	{NULL, NULL},
};

static const struct member export_members[] = {
	{"id", store_id},
	{"disk", store_disk_number},
	{"timeout_ms", store_timeout},
	{NULL, NULL},
};

static const struct member release_members[] = {
	{"id", store_id},
	{NULL, NULL},
};

static const struct member no_members[] = {
	{NULL, NULL},
};

static const struct {
	const char *name;
	const struct member *members;
} ops[] = {
	[REQUEST_HELLO] = {"hello", hello_members},
	[REQUEST_CLONE] = {"clone", clone_members},
	[REQUEST_LIST] = {"list", list_members},
	[REQUEST_INSPECT] = {"inspect", inspect_members},
	[REQUEST_KILL] = {"kill", kill_members},
	[REQUEST_STATS] = {"stats", no_members},
	[REQUEST_STOP] = {"stop", no_members},
	[REQUEST_FREEZE] = {"freeze", no_members},
	[REQUEST_EXPORT] = {"export", export_members},
	[REQUEST_RELEASE] = {"release", release_members},
};

static_assert(sizeof(ops) / sizeof(ops[0]) == REQUEST_OP_COUNT_, "a row for each op");

const char *request_op_name(enum request_op op)
{
	return (unsigned int)op < REQUEST_OP_COUNT_ ? ops[op].name : "unknown";
}

static const struct member *find_member(const struct member *members, const char *name)
{
	for (; members->name; members++) {
		if (!strcmp(members->name, name))
			return members;
	}
	return NULL;
}

/* Store every member of the object, which must be in one of the two lists. */
static int store_members(struct request *request, json_t *object, struct error *error)
{
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value)
	{
		const struct member *member;
		int ret;

		if (find_member(common_members, name))
			continue;
		member = find_member(ops[request->op].members, name);
		if (!member)
			return error_set(error, EINVAL, "op \"%s\" has no member \"%.40s\"",
					 ops[request->op].name, name);
		ret = member->store(request, value, error);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int find_op(struct request *request, const json_t *object, struct error *error)
{
	const json_t *member = json_object_get(object, "op");
	const char *name = json_string_value(member);

	if (!name)
		return error_set(error, EINVAL, "member \"op\" is missing or not a string");
	for (int op = 0; op < REQUEST_OP_COUNT_; op++) {
		/* The length, too: a name may go on behind a zero. */
		if (!strcmp(name, ops[op].name) && json_string_length(member) == strlen(name)) {
			request->op = (enum request_op)op;
			return 0;
		}
	}
	return error_set(error, ENOSYS,
			 "there is no op \"%.40s\": use hello, clone, list, inspect, kill, stats, "
			 "freeze, export, release or stop",
			 name);
}

/* What no single member can tell. */
static int check_whole(const struct request *request, const json_t *object, struct error *error)
{
	if (request->op == REQUEST_CLONE) {
		if (request->session && !request->answer)
			return error_set(error, EINVAL,
					 "a \"session\" needs \"answer\": true and its descriptor");
		return request_check_batch(request, object, error);
	}
	if ((request->op == REQUEST_EXPORT || request->op == REQUEST_RELEASE) && !request->has_id)
		return error_set(error, EINVAL, "\"%s\" needs \"id\"", ops[request->op].name);
	if (request->op == REQUEST_KILL && request->has_id == request->all)
		return error_set(error, EINVAL,
				 "\"kill\" needs either \"id\" or \"all\": true, and not both");
	return 0;
}

/* How many descriptors come with it, by what it announces. */
static unsigned int count_descriptors(const json_t *object)
{
	size_t disks = json_array_size(json_object_get(object, "disks"));

	if (disks > FORKVM_PROTOCOL_MAX_DESCRIPTORS)
		disks = FORKVM_PROTOCOL_MAX_DESCRIPTORS;
	return (unsigned int)(json_is_true(json_object_get(object, "answer")) +
			      json_is_true(json_object_get(object, "console")) + (int)disks);
}

static int parse_object(struct request *request, json_t *object, struct error *error)
{
	json_t *tag = json_object_get(object, "tag");
	int ret;

	/* First, so that even a refused request drops exactly the descriptors that came with it. */
	request->descriptors = count_descriptors(object);
	if (tag) {
		ret = store_tag(request, tag, error);
		if (ret < 0)
			return ret;
	}
	ret = find_op(request, object, error);
	if (ret < 0)
		return ret;
	ret = store_members(request, object, error);
	if (ret < 0)
		return ret;
	return check_whole(request, object, error);
}

int request_parse(const char *line, size_t len, struct request *ret, struct error *error)
{
	json_error_t json_error;
	json_t *object;
	int status;

	memset(ret, 0, offsetof(struct request, body));
	object = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &json_error);
	if (!object)
		return error_set(error, EBADMSG, "not JSON: %s at byte %d", json_error.text,
				 json_error.position);
	if (json_is_object(object))
		status = parse_object(ret, object, error);
	else
		status = error_set(error, EBADMSG, "a request must be a JSON object");
	json_decref(object);
	return status;
}

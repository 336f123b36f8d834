/* SPDX-License-Identifier: MIT */
/*
 * From the server's lines to events.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "forkserver/client/client.h"

int client_not_understood(struct error *error)
{
	return error_set(error, EPROTO,
			 "the server's words were not understood: is it a forkvm server?");
}

static void copy_text(char *out, size_t size, const json_t *value)
{
	const char *text = json_string_value(value);

	snprintf(out, size, "%s", text ? text : "");
}

/* The errno of a name such as "EINVAL"; EIO for one that is not known here. */
static int errno_from_name(const char *name)
{
	for (int code = 1; name && code < 4096; code++) {
		const char *known = strerrorname_np(code);

		if (known && !strcmp(known, name))
			return code;
	}
	return EIO;
}

static void read_error(const json_t *value, struct forkvm_event *event)
{
	event->type = FORKVM_EVENT_ERROR;
	event->code = errno_from_name(json_string_value(json_object_get(value, "code")));
	copy_text(event->text, sizeof(event->text), json_object_get(value, "message"));
}

static void read_clone(const json_t *value, struct forkvm_event *event)
{
	event->id = (uint64_t)json_integer_value(json_object_get(value, "id"));
	event->pid = (pid_t)json_integer_value(json_object_get(value, "pid"));
}

static int read_ended(const json_t *value, struct forkvm_event *event)
{
	const char *reason = json_string_value(json_object_get(value, "reason"));
	const json_t *stages = json_object_get(value, "stages");
	int end = reason ? forkvm_end_from_name(reason) : -1;

	if (end < 0)
		return -EPROTO;
	event->type = FORKVM_EVENT_ENDED;
	event->reason = (enum forkvm_end)end;
	event->status = (uint32_t)json_integer_value(json_object_get(value, "status"));
	event->sleeps = (uint32_t)json_integer_value(json_object_get(value, "sleeps"));
	copy_text(event->text, sizeof(event->text), json_object_get(value, "error"));
	read_clone(value, event);
	for (int i = 0; i < FORKVM_STAGE_COUNT_; i++) {
		const char *name = forkvm_stage_name((enum forkvm_stage)i);

		event->stages_ns[i] = (uint64_t)json_integer_value(json_object_get(stages, name));
	}
	return 0;
}

static int read_event(const json_t *object, struct forkvm_event *event)
{
	const json_t *tag = json_object_get(object, "tag");
	const json_t *index = json_object_get(object, "index");
	const json_t *value;

	event->has_index = json_is_integer(index);
	event->index = (uint32_t)json_integer_value(index);
	event->has_tag = json_is_integer(tag);
	event->tag = (uint64_t)json_integer_value(tag);
	value = json_object_get(object, "ended");
	if (value)
		return read_ended(value, event);
	value = json_object_get(object, "started");
	if (value) {
		event->type = FORKVM_EVENT_STARTED;
		read_clone(value, event);
		return 0;
	}
	value = json_object_get(object, "error");
	if (value) {
		read_error(value, event);
		return 0;
	}
	event->type = FORKVM_EVENT_OK;
	return json_object_get(object, "ok") ? 0 : -EPROTO;
}

int forkvm_client_next(struct forkvm_client *client, int timeout_ms, struct forkvm_event *ret,
		       struct error *error)
{
	struct forkvm_event event = {0};
	json_t *object;
	size_t len;
	char *line;
	int rc = client_line(client, timeout_ms, &line, &len, error);

	if (rc <= 0)
		return rc;
	line[len] = '\0'; /* in place of the newline */
	object = json_loadb(line, len, 0, NULL);
	rc = object ? read_event(object, &event) : -EPROTO;
	json_decref(object);
	if (rc < 0)
		return client_not_understood(error);
	event.json = line;
	*ret = event;
	return 1;
}

static int read_greeting(const json_t *object, struct forkvm_greeting *greeting,
			 struct error *error)
{
	const json_t *version = json_object_get(object, "forkvm");
	struct forkvm_event event = {0};
	char state[16];

	if (json_object_get(object, "error")) {
		/* It has no room for us, or we may not. */
		read_error(json_object_get(object, "error"), &event);
		return error_set(error, event.code, "%s", event.text);
	}
	if (!json_is_string(version))
		return client_not_understood(error);
	copy_text(greeting->version, sizeof(greeting->version), version);
	copy_text(greeting->name, sizeof(greeting->name), json_object_get(object, "name"));
	greeting->protocol = (int)json_integer_value(json_object_get(object, "protocol"));
	greeting->pid = (pid_t)json_integer_value(json_object_get(object, "pid"));
	copy_text(state, sizeof(state), json_object_get(object, "state"));
	greeting->booting = !strcmp(state, "booting");
	greeting->max_request = (size_t)json_integer_value(json_object_get(object, "max_request"));
	if (greeting->protocol != FORKVM_PROTOCOL_VERSION)
		return error_set(error, EPROTONOSUPPORT,
				 "the server (forkvm %s) speaks version %d of the protocol, this "
				 "program version %d",
				 greeting->version, greeting->protocol, FORKVM_PROTOCOL_VERSION);
	return 0;
}

int client_read_greeting(struct forkvm_client *client, int timeout_ms, struct error *error)
{
	json_t *object;
	size_t len;
	char *line;
	int rc = client_line(client, timeout_ms, &line, &len, error);

	if (rc < 0)
		return rc;
	if (rc == 0)
		return error_set(error, ETIMEDOUT, "the server did not greet within %d s",
				 timeout_ms / 1000);
	object = json_loadb(line, len, 0, NULL);
	rc = object ? read_greeting(object, &client->greeting, error)
		    : client_not_understood(error);
	json_decref(object);
	return rc;
}

int client_read_frozen(const char *json, struct forkvm_frozen *ret, struct error *error)
{
	json_t *object = json_loads(json, 0, NULL);
	json_int_t booted = 0, frozen = 0, populated = 0;
	int rc = object ? json_unpack(object, "{s:{s:I,s:I,s:I}}", "ok", "booted_us", &booted,
				      "frozen_us", &frozen, "populated_bytes", &populated)
			: -1;

	json_decref(object);
	if (rc < 0)
		return client_not_understood(error);
	*ret = (struct forkvm_frozen){
		.booted_us = (uint64_t)booted,
		.frozen_us = (uint64_t)frozen,
		.populated_bytes = (uint64_t)populated,
	};
	return 0;
}

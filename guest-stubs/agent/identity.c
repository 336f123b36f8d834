/* SPDX-License-Identifier: MIT */
/*
 * A clone's identity in words: see identity.h.
 */
#include "guest-stubs/agent/identity.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *truth(bool value)
{
	return value ? "true" : "false";
}

static void hex_member(struct text *text, const char *name, const void *bytes, size_t size)
{
	text_printf(text, ",\"%s\":\"", name);
	text_hex(text, bytes, size);
	text_printf(text, "\"");
}

void identity_json(struct text *text, const struct identity *identity, uint64_t request_seq,
		   const struct identity_times *times)
{
	text_printf(text, "{\"clone_id\":%" PRIu64, identity->given.clone_id);
	hex_member(text, "generation_id", identity->given.generation_id, FORKVM_GENERATION_ID_SIZE);
	text_printf(text, ",\"request_seq\":%" PRIu64 ",\"hostname\":", request_seq);
	text_json(text, identity->hostname);
	text_printf(text, ",\"machine_id\":");
	text_json(text, identity->machine_id);
	hex_member(text, "urandom", identity->from_urandom, IDENTITY_DRAW_SIZE);
	hex_member(text, "getrandom", identity->from_getrandom, IDENTITY_DRAW_SIZE);
	text_printf(text,
		    ",\"wall_clock_ns\":%" PRIu64 ",\"monotonic_ns\":%" PRIu64
		    ",\"boottime_ns\":%" PRIu64,
		    times->realtime_ns, times->monotonic_ns, times->boottime_ns);
	text_printf(text, ",\"reseeded\":%s,\"clock_set\":%s", truth(identity->reseeded),
		    truth(identity->clock_set));
	text_printf(text, ",\"hostname_set\":%s,\"machine_id_set\":%s",
		    truth(identity->hostname_set), truth(identity->machine_id_set));
	text_printf(text, ",\"hooks_run\":%u,\"hooks_failed\":%u}\n", identity->hooks_run,
		    identity->hooks_failed);
}

void identity_hostname(char hostname[IDENTITY_HOSTNAME_SIZE], const char *prefix, uint64_t clone_id)
{
	char number[24];
	int digits = snprintf(number, sizeof(number), "-%" PRIu64, clone_id);

	/* The number is what tells clones apart, so it is the prefix that is cut. */
	snprintf(hostname, IDENTITY_HOSTNAME_SIZE, "%.*s%s", IDENTITY_HOSTNAME_SIZE - 1 - digits,
		 prefix, number);
}

void identity_machine_id(char machine_id[IDENTITY_MACHINE_ID_SIZE], const uint8_t random[16])
{
	struct text text = text_on(machine_id, IDENTITY_MACHINE_ID_SIZE);
	uint8_t bytes[16];

	memcpy(bytes, random, sizeof(bytes));
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	text_hex(&text, bytes, sizeof(bytes));
}

void environment_init(struct environment *environment, char *const *inherited)
{
	bool has_path = false;

	environment->count = 0;
	environment->used = 0;
	environment->variables[0] = NULL;
	for (; *inherited; inherited++) {
		/* Half of the room, at most. */
		if (strncmp(*inherited, "FORKVM_", 7) == 0 ||
		    environment->count >= ENVIRONMENT_MAX / 2)
			continue;
		has_path = has_path || strncmp(*inherited, "PATH=", 5) == 0;
		environment->variables[environment->count++] = *inherited;
	}
	if (!has_path)
		environment->variables[environment->count++] = default_path;
	environment->variables[environment->count] = NULL;
}

bool environment_add(struct environment *environment, const char *format, ...)
{
	char *at = environment->buffer + environment->used;
	size_t room = ENVIRONMENT_SIZE - environment->used;
	va_list args;
	int length;

	if (environment->count + 1 >= ENVIRONMENT_MAX)
		return false;
	va_start(args, format);
	length = vsnprintf(at, room, format, args);
	va_end(args);
	if (length < 0 || (size_t)length >= room)
		return false;
	environment->used += (size_t)length + 1;
	environment->variables[environment->count++] = at;
	environment->variables[environment->count] = NULL;
	return true;
}

void environment_add_identity(struct environment *environment, const struct identity *identity,
			      uint64_t request_seq)
{
	char digits[2 * FORKVM_GENERATION_ID_SIZE + 1];
	struct text generation = text_on(digits, sizeof(digits));

	text_hex(&generation, identity->given.generation_id, FORKVM_GENERATION_ID_SIZE);
	environment_add(environment, "FORKVM_CLONE_ID=%" PRIu64, identity->given.clone_id);
	environment_add(environment, "FORKVM_GENERATION_ID=%s", digits);
	environment_add(environment, "FORKVM_HOSTNAME=%s", identity->hostname);
	environment_add(environment, "FORKVM_MACHINE_ID=%s", identity->machine_id);
	environment_add(environment, "FORKVM_WALL_CLOCK_NS=%" PRIu64,
			identity->given.wall_clock_ns);
	environment_add(environment, "FORKVM_REQUEST_SEQ=%" PRIu64, request_seq);
	environment_add(environment, "FORKVM_HOOKS_FAILED=%u", identity->hooks_failed);
}

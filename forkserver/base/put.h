/* SPDX-License-Identifier: MIT */
/*
 * Putting members into replies. For functions that build JSON in the arena of private.h.
 */
#ifndef FORKVM_FORKSERVER_BASE_PUT_H
#define FORKVM_FORKSERVER_BASE_PUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

static inline void put_number(json_t *object, const char *name, uint64_t value)
{
	/* JSON integers are signed here; no figure comes near. */
	json_object_set_new(object, name,
			    json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

static inline void put_flag(json_t *object, const char *name, bool value)
{
	json_object_set_new(object, name, json_boolean(value));
}

/* Nothing for NULL. */
static inline void put_text(json_t *object, const char *name, const char *value)
{
	if (value)
		json_object_set_new(object, name, json_string(value));
}

#endif

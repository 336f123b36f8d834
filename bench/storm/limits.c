/* SPDX-License-Identifier: MIT */
/* How many clones the host allows; see limits.h. */
#include "bench/storm/limits.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "forkserver/client/forkvm_client.h"

static const char *text(const json_t *limits, const char *key)
{
	const char *value = json_string_value(json_object_get(limits, key));

	return value ? value : "unknown";
}

uint64_t limits_tell(struct forkvm_client *client, size_t count)
{
	const json_t *limits, *clones;
	uint64_t allowed = UINT64_MAX;
	const char *line;
	json_t *reply;

	if (forkvm_client_call(client, "inspect", NULL, &line, NULL) < 0)
		return allowed;
	reply = json_loads(line, 0, NULL);
	limits = json_object_get(json_object_get(reply, "ok"), "limits");
	clones = json_object_get(limits, "clones");
	if (json_is_integer(clones)) {
		allowed = (uint64_t)json_integer_value(clones);
		fprintf(stderr,
			"clone_storm: %sthis host allows about %" PRIu64
			" clones at once: %s is %s; to raise it: %s\n",
			allowed < count ? "warning: too few: " : "", allowed,
			text(limits, "tightest"), text(limits, "because"),
			text(limits, "to_raise"));
	}
	json_decref(reply);
	return allowed;
}

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

bool limits_ask(struct forkvm_client *client, struct limits *ret)
{
	const json_t *limits, *clones;
	const char *line;
	json_t *reply;
	bool known;

	if (forkvm_client_call(client, "inspect", NULL, &line, NULL) < 0)
		return false;
	reply = json_loads(line, 0, NULL);
	limits = json_object_get(json_object_get(reply, "ok"), "limits");
	clones = json_object_get(limits, "clones");
	known = json_is_integer(clones);
	if (known) {
		ret->clones = (uint64_t)json_integer_value(clones);
		snprintf(ret->text, sizeof(ret->text),
			 "about %" PRIu64 " clones at once: %s is %s; to raise it: %s", ret->clones,
			 text(limits, "tightest"), text(limits, "because"),
			 text(limits, "to_raise"));
	}
	json_decref(reply);
	return known;
}

void limits_tell(struct forkvm_client *client, size_t count)
{
	struct limits limits;

	if (limits_ask(client, &limits))
		fprintf(stderr, "clone_storm: %sthis host allows %s\n",
			limits.clones < count ? "warning: too few: " : "", limits.text);
}

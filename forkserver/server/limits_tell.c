/* SPDX-License-Identifier: MIT */
/* The host's limits as a server tells of them: see limits_tell.h. */
#include "forkserver/server/limits_tell.h"

#include <inttypes.h>
#include <jansson.h>

#include "forkserver/base/log.h"
#include "forkserver/base/put.h"
#include "forkserver/policy/limits_read.h"
#include "forkserver/server/descriptors.h"
#include "forkserver/server/ops.h"
#include "forkserver/server/server.h"

/*
 * Estimates of the host's memory that a clone takes, rounded up; bench/NOTES.md has what they are
 * made of. A Linux guest writes more before it answers than a stub ever does.
 */
#define SHADOW_KIB	  600u	/* one vCPU, page tables shadowed                    */
#define DIRECT_KIB	  450u	/* one vCPU, EPT or NPT                              */
#define VCPU_KIB	  350u	/* each further one                                  */
#define LINUX_KIB	  1500u /* more, for what a Linux guest writes               */
#define REVERSE_MAP_BYTES 2560u /* for each MiB of memslot, where KVM shadows        */

/* What a clone of this server's template is made of. */
static void describe_clone(const struct server *server, struct limits_clone *ret)
{
	const struct machine_info *info = &server->info;
	const bool shadow = server->host->shadows_page_tables;
	/* With controllers a stub gets the timer chip, too; Linux guests have none. */
	const bool timer = info->irqchip && server->options->stub;

	*ret = (struct limits_clone){
		.vcpus = info->vcpus,
		.further_threads = machine_extra_threads(server->machine),
		/* A worker against huge executable pages, and the timer chip's. */
		.kernel_tasks = (unsigned int)limits_read_has_worker("") + timer,
		.ram_size = info->ram_size,
		.slot_bytes = info->slot_bytes,
		.reverse_map_bytes = shadow ? REVERSE_MAP_BYTES : 0,
		.base_kib = (shadow ? SHADOW_KIB : DIRECT_KIB) + (info->vcpus - 1) * VCPU_KIB +
			    (server->options->stub ? 0 : LINUX_KIB),
	};
}

static void announce(const struct server *server)
{
	const struct limits *limits = &server->limits;
	const enum limits_kind tightest = limits->verdict.tightest;
	const uint64_t allowed = limits_clones(&limits->verdict);
	const unsigned int wanted = server->options->max_clones;
	char why[LIMITS_TEXT_SIZE], remedy[LIMITS_TEXT_SIZE];

	limits_describe(&limits->readings, &limits->verdict, tightest, why);
	limits_remedy(&limits->readings, tightest, remedy);
	if (wanted > allowed)
		log_warning("this host allows about %" PRIu64
			    " clones, fewer than --max-clones %u: "
			    "%s is %s; to raise it: %s",
			    allowed, wanted, limits_name(tightest), why, remedy);
	else if (!wanted)
		log_info("this host allows about %" PRIu64 " clones: %s is %s; to raise it: %s",
			 allowed, limits_name(tightest), why, remedy);
}

void limits_take(struct server *server)
{
	struct limits_pool *files = &server->limits.readings.pools[LIMITS_OPEN_FILES];
	struct limits_clone clone;

	limits_read("", &server->limits.readings);
	/* Part of them is not for clones. */
	files->used = files->limit - (descriptors_to_share() - server->options->max_connections);
	describe_clone(server, &clone);
	limits_judge(&server->limits.readings, &clone, &server->limits.verdict);
	announce(server);
}

json_t *ops_limits(const struct server *server)
{
	const struct limits *limits = &server->limits;
	const enum limits_kind tightest = limits->verdict.tightest;
	json_t *object = json_object(), *all = json_object();
	char text[LIMITS_TEXT_SIZE];

	put_number(object, "clones", limits_clones(&limits->verdict));
	put_text(object, "tightest", limits_name(tightest));
	limits_describe(&limits->readings, &limits->verdict, tightest, text);
	put_text(object, "because", text);
	limits_remedy(&limits->readings, tightest, text);
	put_text(object, "to_raise", text);
	for (unsigned int kind = 0; kind < LIMITS_COUNT_; kind++)
		if (limits->verdict.clones[kind] != UINT64_MAX)
			put_number(all, limits_key((enum limits_kind)kind),
				   limits->verdict.clones[kind]);
	json_object_set_new(object, "each", all);
	return object;
}

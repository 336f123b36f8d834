/* SPDX-License-Identifier: MIT */
/* Which CPUs are used for what: see spare_cpus.h. */
#include "forkserver/server/spare_cpus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "forkserver/base/log.h"
#include "forkserver/policy/cpu_split_read.h"
#include "forkserver/server/server.h"
#include "vmm/base/util.h"

static int refuse(const cpu_set_t *all, const cpu_set_t *wanted, struct error *error)
{
	char these[CPU_LIST_SIZE], those[CPU_LIST_SIZE];

	return error_set(error, EINVAL,
			 "--spare-cpus %s: this server may use the CPUs %s, and needs one of them "
			 "to serve by: name some of those, not all",
			 cpu_list_print(wanted, those, sizeof(those)),
			 cpu_list_print(all, these, sizeof(these)));
}

/* 1: done; 0: there is nothing to divide. */
static int divide(const struct spare_cpus_options *options, struct cpu_split *split,
		  struct error *error)
{
	unsigned int core_of[CPU_SETSIZE];
	cpu_set_t all;

	/* EINVAL: there are more than a cpu_set_t has room for. */
	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		return error_set_errno(error, errno, "sched_getaffinity");
	if (options->how == CPU_SPLIT_GIVEN)
		return cpu_split_as_given(&all, &options->cpus, split)
			       ? 1
			       : refuse(&all, &options->cpus, error);
	cpu_split_read_cores("", &all, core_of);
	return cpu_split_by_core(&all, core_of, split);
}

int spare_cpus_init(struct server *server, struct error *error)
{
	const struct serve_options *options = server->options;
	int rc;

	/* Spares that are reset are seldom made, and gain by a server that can be anywhere. */
	if (!options->spares.high || options->spare_cpus.how == CPU_SPLIT_NONE ||
	    (options->spare_cpus.how == CPU_SPLIT_AUTO && options->reset))
		return 0;
	/* Not private memory: clones look at it. */
	server->cpus = calloc(1, sizeof(*server->cpus));
	if (!server->cpus)
		return error_set(error, ENOMEM, "no memory for the sets of CPUs");
	rc = divide(&options->spare_cpus, server->cpus, error);
	if (rc > 0)
		return 0;
	spare_cpus_done(server);
	if (rc < 0 && options->spare_cpus.how == CPU_SPLIT_AUTO) {
		log_warning("any CPU makes spares: %s", error->text);
		*error = (struct error){0};
		rc = 0;
	}
	return rc;
}

void spare_cpus_done(struct server *server)
{
	free(server->cpus);
	server->cpus = NULL;
}

void spare_cpus_leave_making(struct server *server)
{
	char serving[CPU_LIST_SIZE], making[CPU_LIST_SIZE];

	if (!server->cpus)
		return;
	if (sched_setaffinity(0, sizeof(server->cpus->serving), &server->cpus->serving) < 0) {
		log_warning("any CPU makes spares: sched_setaffinity: %s", strerror(errno));
		spare_cpus_done(server);
		return;
	}
	log_info("spares are made on the CPUs %s, the server's thread has %s",
		 cpu_list_print(&server->cpus->making, making, sizeof(making)),
		 cpu_list_print(&server->cpus->serving, serving, sizeof(serving)));
}

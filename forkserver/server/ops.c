/* SPDX-License-Identifier: MIT */
/*
 * What each operation of the protocol does.
 */
#include "forkserver/server/ops.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/server/batch.h"
#include "forkserver/server/export.h"
#include "forkserver/server/pool.h"

static void send_ok(struct server *server, struct conn *conn, const struct request *request,
		    const char *name, uint64_t value)
{
	struct text *text = conn_begin(conn, request->tag, NO_INDEX);

	text_printf(text, "\"ok\":{\"%s\":%" PRIu64 "}}\n", name, value);
	conn_finish(server, conn);
}

static void op_hello(struct server *server, struct conn *conn, const struct request *request)
{
	send_ok(server, conn, request, "protocol", FORKVM_PROTOCOL_VERSION);
}

static void op_clone(struct server *server, struct conn *conn, const struct request *request)
{
	struct error error;
	int rc = request->count ? batch_begin(server, conn, request, &error)
				: clone_start(server, conn, request, &error);

	if (rc < 0)
		conn_send_error(server, conn, request->tag, &error);
}

static void kill_one(struct server *server, struct clone *clone)
{
	if (clone->state == CLONE_SERVING)
		clone_kill(clone, FORKVM_END_KILLED, "killed on request");
	else
		pool_retire(server, clone, SPARE_KILLED);
}

/* All that serve; spares serve nobody, and others would take their place. How many there were. */
static uint64_t kill_all(struct server *server)
{
	struct list *live = &server->clones.live;
	uint64_t count = 0;

	for (struct list *link = live->next; link != live; link = link->next) {
		struct clone *clone = list_entry(link, struct clone, link);

		if (clone->state != CLONE_SERVING)
			continue;
		kill_one(server, clone);
		count++;
	}
	return count;
}

static void op_kill(struct server *server, struct conn *conn, const struct request *request)
{
	struct clones *clones = &server->clones;
	struct clone *clone;
	uint64_t count;
	struct error error;

	if (!server->serving) {
		error_set(&error, EINPROGRESS, "the template is still booting: no clone is alive");
		conn_send_error(server, conn, request->tag, &error);
		return;
	}
	if (request->all) {
		count = kill_all(server);
	} else if ((clone = clones_find(clones, request->id))) {
		kill_one(server, clone);
		count = 1;
	} else {
		error_set(&error, ESRCH, "there is no live clone %" PRIu64, request->id);
		conn_send_error(server, conn, request->tag, &error);
		return;
	}
	send_ok(server, conn, request, "killed", count);
}

static void op_stop(struct server *server, struct conn *conn, const struct request *request)
{
	send_ok(server, conn, request, "clones", server->clones.live_count);
	server_stop(server, "a client asked for it");
}

typedef void op_fn(struct server *server, struct conn *conn, const struct request *request);

static op_fn *const ops[] = {
	[REQUEST_HELLO] = op_hello,	 [REQUEST_CLONE] = op_clone,
	[REQUEST_LIST] = ops_list,	 [REQUEST_INSPECT] = ops_inspect,
	[REQUEST_KILL] = op_kill,	 [REQUEST_STATS] = ops_stats,
	[REQUEST_STOP] = op_stop,	 [REQUEST_FREEZE] = boot_request_freeze,
	[REQUEST_EXPORT] = export_start, [REQUEST_RELEASE] = export_release,
};

static_assert(sizeof(ops) / sizeof(ops[0]) == REQUEST_OP_COUNT_, "a function for each op");

void ops_execute(struct server *server, struct conn *conn, const struct request *request)
{
	ops[request->op](server, conn, request);
	private_json_reset();
}

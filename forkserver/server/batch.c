/* SPDX-License-Identifier: MIT */
/*
 * Batches: see batch.h.
 */
#include "forkserver/server/batch.h"

#include <errno.h>
#include <string.h>

#include "forkserver/base/private.h"
#include "forkserver/base/sys.h"
#include "forkserver/server/clone.h"
#include "forkserver/server/conn.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* Clones of one connection's batches that are started in a row. */
#define STARTS_A_ROUND 16

/* In a mapping of its own, of which only touched pages cost memory. */
struct batch {
	struct list link; /* of its connection's batches, oldest first   */
	int answer_fd;	  /* owned; each clone gets a duplicate; -1: none */
	uint32_t next;	  /* which is to be started next                  */
	uint32_t alive;	  /* started, and not ended                       */
	bool waits;	  /* for one of its own to end                    */
	struct request request;
	struct request one; /* the same, for the next of them */
};

static void copy_request(struct request *to, const struct request *from)
{
	memcpy(to, from, offsetof(struct request, body) + from->body_len);
	if (from->has_parts)
		memcpy(to->part_ends, from->part_ends, from->count * sizeof(from->part_ends[0]));
}

static size_t part_begin(const struct request *request, uint32_t index)
{
	return index ? request->part_ends[index - 1] : 0;
}

static size_t part_len(const struct request *request, uint32_t index)
{
	return request->part_ends[index] - part_begin(request, index);
}

/* Bytes of the longest request in it. */
static size_t longest(const struct request *request)
{
	size_t ret = request->has_parts ? 0 : request->body_len;

	for (uint32_t i = 0; request->has_parts && i < request->count; i++) {
		if (part_len(request, i) > ret)
			ret = part_len(request, i);
	}
	return ret;
}

static void drop(struct batch *batch)
{
	list_remove(&batch->link);
	fd_close(&batch->answer_fd);
	explicit_bzero(batch->request.body, batch->request.body_len);
	explicit_bzero(batch->one.body, batch->one.body_len);
	private_unmap(batch, sizeof(*batch));
}

static struct batch *add(struct conn *conn, const struct request *request)
{
	struct batch *batch = private_map(sizeof(*batch));

	if (!batch)
		return NULL;
	batch->answer_fd = -1;
	copy_request(&batch->request, request);
	copy_request(&batch->one, request);
	batch->one.batch = batch;
	list_append(&conn->batches, &batch->link);
	conn->batch_count++;
	return batch;
}

int batch_begin(struct server *server, struct conn *conn, const struct request *request,
		struct error *error)
{
	struct gift gift = NO_GIFT;
	struct batch *batch = NULL;
	int rc = clone_take_gift(conn, request, &gift, error);

	if (rc == 0)
		rc = clone_check(server, longest(request), error);
	if (rc == 0 && conn->batch_count >= BATCHES_MAX)
		rc = error_set(error, EBUSY,
			       "%d batches of this connection are under way: wait for one of them "
			       "to end",
			       BATCHES_MAX);
	if (rc == 0) {
		batch = add(conn, request);
		rc = batch ? 0 : error_set_errno(error, ENOMEM, "mmap");
	}
	if (rc == 0)
		batch->answer_fd = fd_steal(&gift.answer_fd);
	else
		server->metrics.clones_refused += request->count;
	gift_close(&gift);
	return rc;
}

static bool is_over(const struct batch *batch)
{
	return batch->next == batch->request.count && !batch->alive;
}

static bool may_start(const struct batch *batch)
{
	return batch->next < batch->request.count && !batch->waits &&
	       (!batch->request.at_once || batch->alive < batch->request.at_once);
}

/* The request of the next one, as if it had been sent alone. */
static const struct request *make_request(struct batch *batch)
{
	const struct request *all = &batch->request;
	struct request *one = &batch->one;

	one->index = batch->next;
	if (all->has_parts) {
		one->body_len = part_len(all, batch->next);
		memcpy(one->body, all->body + part_begin(all, batch->next), one->body_len);
	}
	return one;
}

/*
 * -EAGAIN: there is no room at present, and one of its own will make some. When the connection is
 * dead after this, the batch is gone.
 */
static int start(struct server *server, struct conn *conn, struct batch *batch, struct error *error)
{
	const struct request *request = make_request(batch);
	struct gift gift = NO_GIFT;
	int rc = clone_check(server, 0, error);

	if (rc == 0 && batch->answer_fd >= 0) {
		gift.answer_fd = sys_dup_above(batch->answer_fd, 0);
		if (gift.answer_fd < 0)
			rc = error_set_errno(error, -gift.answer_fd, "dup");
	}
	if (rc == 0)
		rc = clone_start_with(server, conn, request, &gift, error);
	if (conn->dead)
		return 0;
	if (rc == -EAGAIN && batch->alive && request->spare != REQUEST_SPARE_ONLY)
		return rc;
	batch->next++;
	if (rc < 0) {
		server->metrics.clones_refused++;
		conn_send_refusal(server, conn, request, error);
	}
	return 0;
}

bool batch_work(struct server *server, struct conn *conn)
{
	struct list *next;
	unsigned int started = 0;

	for (struct list *link = conn->batches.next; link != &conn->batches; link = next) {
		struct batch *batch = list_entry(link, struct batch, link);
		struct error error;

		next = link->next;
		while (started < STARTS_A_ROUND && may_start(batch)) {
			int rc = start(server, conn, batch, &error);

			if (conn->dead)
				return false;
			batch->waits = rc == -EAGAIN;
			started++;
		}
		if (is_over(batch)) {
			conn->batch_count--;
			drop(batch);
		} else if (may_start(batch)) {
			return true;
		}
	}
	return false;
}

void batch_on_begin(struct batch *batch)
{
	batch->alive++;
}

void batch_on_end(struct server *server, struct clone *clone)
{
	struct batch *batch = clone->batch;

	clone->batch = NULL;
	batch->alive--;
	batch->waits = false;
	conn_make_ready(server, clone->owner);
}

void batch_drop_all(struct conn *conn)
{
	while (!list_empty(&conn->batches))
		drop(list_entry(conn->batches.next, struct batch, link));
	conn->batch_count = 0;
}

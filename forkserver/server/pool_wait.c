/* SPDX-License-Identifier: MIT */
/*
 * Requests that wait for a spare ("spare": "wait").
 *
 * They are kept in private memory with their client's descriptors, in the order in which they came.
 * Whenever a spare parks, or a clone that has served is about to be one again, the first that may
 * have it gets it: a claim waits in the spare's socket until it is ready, so no time is lost.
 */
#include <errno.h>
#include <string.h>

#include "forkserver/base/private.h"
#include "forkserver/server/pool.h"
#include "forkserver/server/server.h"
#include "vmm/base/util.h"

static size_t waits_size(void)
{
	return POOL_WAITS * sizeof(struct pool_wait);
}

int pool_waits_init(struct pool *pool)
{
	list_init(&pool->waiting);
	if (!pool->limits.high)
		return 0;
	pool->waits = private_map(waits_size());
	return pool->waits ? 0 : -ENOMEM;
}

void pool_waits_done(struct pool *pool)
{
	private_unmap(pool->waits, waits_size());
	pool->waits = NULL;
}

static struct pool_wait *free_wait(struct pool *pool)
{
	for (unsigned int i = 0; i < POOL_WAITS; i++) {
		if (!pool->waits[i].used)
			return &pool->waits[i];
	}
	return NULL;
}

/* Nothing of it is left here; what it was given has another owner, or is closed. */
static void leave(struct server *server, struct pool_wait *wait)
{
	struct request *request = &wait->request;

	gift_close(&wait->gift);
	timers_disarm(&server->timers, &wait->timer);
	list_remove(&wait->link);
	explicit_bzero(request->body, request->body_len);
	wait->used = false;
	server->pool.waiting_count--;
}

static void refuse(struct server *server, struct pool_wait *wait, const struct error *error)
{
	struct conn *conn = wait->conn;
	char tag[REQUEST_TAG_SIZE];

	/* First: the message may be one too many, and then all that the client has is dropped. */
	memcpy(tag, wait->request.tag, sizeof(tag));
	leave(server, wait);
	server->metrics.clones_refused++;
	if (conn)
		conn_send_error(server, conn, tag, error);
}

static void on_timeout(struct server *server, struct timer *timer)
{
	struct error error;

	error_set(&error, EAGAIN,
		  "no spare has parked within %llu s: try again, or have a clone made (\"spare\": "
		  "\"any\")",
		  POOL_WAIT_NS / NS_PER_SEC);
	refuse(server, list_entry(timer, struct pool_wait, timer), &error);
}

int pool_wait(struct server *server, struct conn *conn, const struct request *request,
	      struct gift *gift, struct error *error)
{
	struct pool *pool = &server->pool;
	struct pool_wait *wait;

	if (!pool->limits.high || request->disk_count)
		return pool_refuse(server, request, error);
	wait = free_wait(pool);
	if (!wait)
		return error_set(error, EAGAIN, "%d requests wait for a spare already: try again",
				 POOL_WAITS);
	wait->used = true;
	wait->conn = conn;
	wait->gift = *gift;
	*gift = (struct gift)NO_GIFT;
	memcpy(&wait->request, request, offsetof(struct request, body) + request->body_len);
	wait->timer = (struct timer){.expire = on_timeout};
	timers_arm(&server->timers, &wait->timer, server->now_ns + POOL_WAIT_NS);
	list_append(&pool->waiting, &wait->link);
	pool->waiting_count++;
	return 0;
}

void pool_serve_waiting(struct server *server)
{
	struct pool *pool = &server->pool;
	struct clone *other = NULL;
	struct list *next;

	for (struct list *link = pool->waiting.next; link != &pool->waiting; link = next) {
		struct pool_wait *wait = list_entry(link, struct pool_wait, link);

		next = link->next;
		if (!pool->parked_count)
			return;
		if (pool_try_claim(server, wait->conn, &wait->request, &wait->gift, &other))
			leave(server, wait);
	}
	/* Nobody who waits may have it: there will be one for them in its place. */
	if (other && other->state == CLONE_PARKED && pool->waiting_count)
		pool_retire(server, other, SPARE_TENANT);
}

void pool_drop_waiting(struct server *server, const struct conn *conn)
{
	struct pool *pool = &server->pool;
	struct list *next;

	for (struct list *link = pool->waiting.next; link != &pool->waiting; link = next) {
		struct pool_wait *wait = list_entry(link, struct pool_wait, link);

		next = link->next;
		if (wait->conn == conn)
			leave(server, wait);
	}
}

void pool_refuse_waiting(struct server *server)
{
	struct pool *pool = &server->pool;
	struct error error;

	error_set(&error, ESHUTDOWN, "the server is stopping");
	while (!list_empty(&pool->waiting))
		refuse(server, list_entry(pool->waiting.next, struct pool_wait, link), &error);
}

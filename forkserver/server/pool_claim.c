/* SPDX-License-Identifier: MIT */
/*
 * Claims: a request goes to a spare.
 *
 * Theory of operation. From the moment that the request has come to the one at which the spare has
 * it, somebody waits: so the claim is sent first, by one system call, and everything else is done
 * after it, or later still.
 *
 * A spare may die in the very moment in which it is claimed, and its socket lives on until the
 * kernel has taken its process apart. So the server keeps a copy of the request, and the client's
 * descriptors, until it sees that the claim was taken: that the socket holds nothing unread. A
 * socket that is closed with unread bytes tells its other end (ECONNRESET), so what was not taken
 * stays known as such (unix(7); net/unix/af_unix.c, unix_release_sock).
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/sys.h"
#include "forkserver/launch/claim.h"
#include "forkserver/proto/fdpass.h"
#include "forkserver/server/pool.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* How long nothing is made beside a claim whose clone has not ended. */
#define QUIET_NS (5 * NS_PER_MS)

/* How long a reset takes, as a rule, until the next claim would be taken at once. */
#define RESET_NS 50000u

static struct pool_stash *free_stash(struct pool *pool)
{
	for (unsigned int i = 0; i < POOL_STASHES; i++) {
		if (!pool->stashes[i].used)
			return &pool->stashes[i];
	}
	return NULL;
}

static void fill_stash(struct pool_stash *stash, const struct request *request)
{
	stash->used = true;
	memcpy(&stash->request, request, offsetof(struct request, body) + request->body_len);
}

static void empty_stash(struct pool_stash *stash)
{
	explicit_bzero(stash->request.body, stash->request.body_len);
	stash->used = false;
}

/* -errno: the spare has not got it, and will not. */
static int send_claim(const struct clone *clone, const struct request *request,
		      const struct gift *gift)
{
	struct claim claim = {
		.flags = (gift->answer_fd >= 0 ? CLAIM_ANSWER : 0) |
			 (gift->console_fd >= 0 ? CLAIM_CONSOLE : 0) |
			 (request->session ? CLAIM_SESSION : 0) |
			 (clone->spare.may_reset ? CLAIM_RESET : 0) |
			 (request->batch ? CLAIM_FRAMED : 0),
		.request_len = (uint32_t)request->body_len,
		.next_id = clone->spare.next_id,
		.index = request->index,
	};
	struct iovec iov[] = {
		{.iov_base = &claim, .iov_len = sizeof(claim)},
		{.iov_base = (void *)(uintptr_t)request->body, .iov_len = request->body_len},
	};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov)};
	union fdpass_control control;
	int fds[CLAIM_FDS_MAX];
	size_t count = 0;
	ssize_t sent;

	if (gift->answer_fd >= 0)
		fds[count++] = gift->answer_fd;
	if (gift->console_fd >= 0)
		fds[count++] = gift->console_fd;
	fdpass_attach(&message, &control, fds, count);
	sent = sys_sendmsg(clone->spare.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? (int)sent : 0;
}

/* May the request have this one, which may have been reset after it had served somebody? */
static bool is_for(const struct clone *clone, const struct request *request)
{
	const struct spare *spare = &clone->spare;

	return !spare->is_bound ||
	       (spare->uid == request->uid && !strcmp(spare->tenant, request->tenant));
}

static struct clone *clone_of(struct list *link)
{
	return list_entry(list_entry(link, struct spare, link), struct clone, spare);
}

/*
 * The youngest that the request may have, as its memory is the likeliest to be at hand; but rather
 * one that is not just being reset. *ret_other: one that it may not have, if there is any.
 */
static struct clone *take_youngest(struct server *server, const struct request *request,
				   struct clone **ret_other)
{
	struct pool *pool = &server->pool;
	struct clone *found = NULL;
	struct list *link;

	for (link = pool->parked.prev; link != &pool->parked; link = link->prev) {
		struct clone *clone = clone_of(link);

		if (!is_for(clone, request)) {
			*ret_other = clone;
			continue;
		}
		if (!found)
			found = clone;
		if (!clone->spare.is_bound || server->now_ns - clone->spare.parked_ns > RESET_NS) {
			found = clone;
			break;
		}
	}
	if (found) {
		list_remove(&found->spare.link);
		pool->parked_count--;
	}
	return found;
}

/* May it be reset when it has served this one? Then it will have another id, of which it is told.
 */
static void allow_reset(struct server *server, struct clone *clone, const struct request *request)
{
	struct spare *spare = &clone->spare;

	spare->may_reset = server->pool.reset && spare->resets < server->pool.reset_max;
	if (!spare->may_reset)
		return;
	spare->next_id = ++server->clones.last_id;
	spare->uid = request->uid;
	memcpy(spare->tenant, request->tenant, sizeof(spare->tenant));
}

/* It has the request: from here on it is a clone like any other. */
static void begin(struct server *server, struct conn *conn, struct clone *clone,
		  const struct request *request, struct gift *gift, struct pool_stash *stash)
{
	struct pool *pool = &server->pool;

	clone->state = CLONE_SERVING;
	clone->spare.stash = stash;
	fill_stash(stash, request);
	clone_begin(server, conn, clone, request);
	clone_lend(server, clone, gift);
	clone->spare.owes_started = conn && (request->detach || request->progress);
	if (clone->spare.owes_started && !clone->owner) {
		clone->owner = conn;
		list_append(&conn->clones, &clone->owner_link);
	}
	pool->last_claimed = clone->id;
	pool->claimed_ns = server->now_ns;
	pool->quiet_until_ns = server->now_ns + QUIET_NS;
	pool->metrics.claims++;
	histogram_add(&pool->metrics.claim_ns, clone->spare.claim_ns - server->now_ns);
}

bool pool_try_claim(struct server *server, struct conn *conn, const struct request *request,
		    struct gift *gift, struct clone **ret_other)
{
	struct pool *pool = &server->pool;
	struct pool_stash *stash = free_stash(pool);
	struct clone *clone;

	while (stash && (clone = take_youngest(server, request, ret_other))) {
		uint64_t sent_ns = now_ns();

		allow_reset(server, clone, request);
		if (send_claim(clone, request, gift) == 0) {
			clone->spare.claim_ns = sent_ns;
			begin(server, conn, clone, request, gift, stash);
			return true;
		}
		/* Dead, and not reaped yet. If it is not, it is of no use either. */
		clone->state = CLONE_RETIRED;
		clone->spare.loss = SPARE_DIED;
		pool->retired_count++;
		clone_kill(clone, FORKVM_END_KILLED, "the spare could not be claimed");
	}
	return false;
}

bool pool_claim(struct server *server, struct conn *conn, const struct request *request,
		struct gift *gift)
{
	struct pool *pool = &server->pool;
	struct clone *other = NULL;
	bool claimed;

	/* A spare has no disk of the client's. */
	if (!pool->limits.high || request->disk_count)
		return false;
	claimed = pool_try_claim(server, conn, request, gift, &other);
	/* Other tenants' must not keep this one from ever having any, nor this one theirs. */
	if (!claimed && other && server->now_ns - pool->displaced_ns >= POOL_DISPLACE_NS) {
		pool->displaced_ns = server->now_ns;
		pool_retire(server, other, SPARE_TENANT);
	}
	pool_note_demand(&pool->history, server->now_ns);
	pool->metrics.misses += !claimed;
	return claimed;
}

int pool_refuse(const struct server *server, const struct request *request, struct error *error)
{
	if (!server->pool.limits.high)
		return error_set(error, EOPNOTSUPP,
				 "this server keeps no spares (--spares): leave \"spare\" out");
	if (request->disk_count)
		return error_set(error, EOPNOTSUPP,
				 "a spare cannot be given disks: leave \"spare\" or \"disks\" out");
	return error_set(
		error, EAGAIN,
		"no spare is parked: try again, or have a clone made (\"spare\": \"any\")");
}

static bool has_taken(struct clone *clone)
{
	socklen_t len = sizeof(int);
	int unread = 0, code = 0;

	/* In this order: a socket is marked first, and emptied then. The mark is told once. */
	if (sys_unsent(clone->spare.fd, &unread) < 0 || unread > 0)
		return false;
	if (sys_getsockopt(clone->spare.fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code)
		clone->spare.lost_claim = true;
	return !clone->spare.lost_claim;
}

void pool_forget_claim(struct server *server, struct clone *clone)
{
	struct conn *conn = clone->owner;

	empty_stash(clone->spare.stash);
	clone->spare.stash = NULL;
	/* By that the next claim comes, if there will be one. */
	if (!clone->spare.may_reset)
		fd_close(&clone->spare.fd);
	if (clone->spare.owes_started && conn)
		clone_tell_started(server, conn, clone);
	clone->spare.owes_started = false;
	if (clone->detached) {
		clone->owner = NULL;
		list_remove(&clone->owner_link);
	}
}

bool pool_settle(struct server *server, struct clone *clone)
{
	/* Not in the round of the claim itself: it would only delay it. */
	if (clone->received_ns == server->now_ns || !has_taken(clone))
		return false;
	pool_forget_claim(server, clone);
	return true;
}

bool pool_lost_claim(struct server *server, struct clone *clone, struct pool_again *ret)
{
	struct pool_stash *stash = clone->spare.stash;

	if (clone->id == server->pool.last_claimed)
		server->pool.quiet_until_ns = 0;
	if (!stash)
		return false;
	if (clone->was_killed || has_taken(clone)) {
		pool_forget_claim(server, clone);
		return false;
	}
	*ret = (struct pool_again){
		.stash = stash,
		.gift = NO_GIFT,
		.conn = clone->owner,
	};
	stash->request.batch = clone->batch;
	ret->gift.answer_fd = fd_steal(&clone->loaned_fds[0]);
	ret->gift.console_fd = fd_steal(&clone->loaned_fds[1]);
	clone->spare.stash = NULL;
	return true;
}

void pool_resend(struct server *server, struct pool_again *again)
{
	const struct request *request = &again->stash->request;
	struct error error;

	server->pool.metrics.resent++;
	/* Nothing had started: the clone that serves it instead is counted. */
	server->metrics.clones_started--;
	if (clone_start_with(server, again->conn, request, &again->gift, &error) < 0) {
		server->metrics.clones_refused++;
		if (again->conn)
			conn_send_refusal(server, again->conn, request, &error);
	}
	empty_stash(again->stash);
}

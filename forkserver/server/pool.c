/* SPDX-License-Identifier: MIT */
/*
 * Spares from their making to their end: see pool.h. Claims are in pool_claim.c.
 */
#include "forkserver/server/pool.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/base/procfs.h"
#include "forkserver/base/sys.h"
#include "forkserver/launch/claim.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* How long a spare may take until it parks. */
#define MAKING_NS     (60 * NS_PER_SEC)

/* After a round that was busy: how soon to look again. */
#define LOOK_AGAIN_NS (5 * NS_PER_MS)

static void on_timer(struct server *server, struct timer *timer)
{
	/* That the loop woke up is all that it is for: pool_work comes at the end of each round. */
	(void)server;
	(void)timer;
}

static size_t stashes_size(void)
{
	return POOL_STASHES * sizeof(struct pool_stash);
}

/* One CPU in two may make spares at once: the others are for who is served meanwhile. */
static uint32_t at_once(const struct cpu_split *cpus)
{
	long count = cpus ? CPU_COUNT(&cpus->making) : sysconf(_SC_NPROCESSORS_ONLN) / 2;

	return count > 1 ? (uint32_t)count : 1;
}

int pool_init(struct pool *pool, const struct serve_options *options, const struct cpu_split *cpus)
{

	*pool = (struct pool){
		.limits = options->spares,
		.timer.expire = on_timer,
		.reset = options->reset,
		.reset_max = options->reset_max,
	};
	pool->limits.at_once = at_once(cpus);
	list_init(&pool->parked);
	list_init(&pool->making);
	if (pool->limits.high)
		pool->stashes = private_map(stashes_size());
	if (pool->limits.high && !pool->stashes)
		return -ENOMEM;
	return pool_waits_init(pool);
}

void pool_done(struct pool *pool)
{
	private_unmap(pool->stashes, stashes_size());
	pool->stashes = NULL;
	pool_waits_done(pool);
}

/* As many as there may be may be ending, while as many others have taken their places. */
static uint32_t spares_most(const struct pool *pool)
{
	return 2 * pool->limits.high + 1;
}

uint32_t pool_further_records(const struct pool *pool)
{
	return pool->limits.high ? spares_most(pool) : 0;
}

uint32_t pool_count(const struct pool *pool)
{
	return pool->parked_count + pool->making_count + pool->retired_count;
}

/* Take it off the list of those that may be claimed. */
static void leave_lists(struct pool *pool, struct clone *clone)
{
	list_remove(&clone->spare.link);
	if (clone->state == CLONE_PARKED)
		pool->parked_count--;
	else if (clone->state == CLONE_MAKING)
		pool->making_count--;
	else if (clone->state == CLONE_RETIRED)
		pool->retired_count--;
}

static void enter(struct pool *pool, struct clone *clone, enum clone_state state)
{
	clone->state = state;
	if (state == CLONE_PARKED) {
		list_append(&pool->parked, &clone->spare.link);
		pool->parked_count++;
	} else if (state == CLONE_MAKING) {
		list_append(&pool->making, &clone->spare.link);
		pool->making_count++;
	} else if (state == CLONE_RETIRED) {
		pool->retired_count++;
	}
}

void pool_retire(struct server *server, struct clone *clone, enum spare_loss loss)
{
	if (clone->state == CLONE_RETIRED)
		return;
	leave_lists(&server->pool, clone);
	enter(&server->pool, clone, CLONE_RETIRED);
	clone->spare.loss = loss;
	clone_kill(clone, FORKVM_END_KILLED, "the spare was given up");
}

static void on_making_timeout(struct server *server, struct timer *timer)
{
	struct clone *clone = list_entry(timer, struct clone, timer);

	log_warning(
		"spare %lu has not parked within %llu s: is its guest one that parks before its "
		"first request (stub_abi.h)?",
		clone->id, MAKING_NS / NS_PER_SEC);
	pool_note_failed(&server->pool.history, server->now_ns);
	pool_retire(server, clone, SPARE_FAILED);
}

/* A pair of sockets: one for the server, which no clone copies, one that the child takes. */
static int make_socket(int *ret_own, int *ret_child)
{
	int fds[2];
	int moved;
	int rc = sys_packet_pair(fds);

	if (rc < 0)
		return rc;
	moved = sys_dup_above(fds[0], FD_HIGH);
	close(fds[0]);
	if (moved < 0)
		close(fds[1]);
	*ret_own = moved;
	*ret_child = fds[1];
	return moved < 0 ? moved : 0;
}

static int fork_spare(struct server *server, int *own_fd, int *child_fd, struct error *error)
{
	struct pool *pool = &server->pool;
	struct launch launch = {
		.answer_fd = -1,
		.console_fd = -1,
		.claim_fd = *child_fd,
		.resets = pool->reset,
		.reset_check = server->options->reset_check,
	};
	struct gift gift = NO_GIFT;
	struct clone *clone = NULL;
	int rc;

	for (unsigned int i = 0; i < MACHINE_DISKS_MAX; i++)
		launch.given[i].fd = -1;
	rc = clone_fork(server, &launch, NULL, 0, &clone, error);
	if (rc < 0)
		return rc;
	enter(pool, clone, CLONE_MAKING);
	clone->spare.fd = fd_steal(own_fd);
	clone->spare.watch.kind = WATCH_SPARE;
	if (launch.share_files) {
		gift.answer_fd = fd_steal(child_fd); /* that it has another name is all the same */
		clone_lend(server, clone, &gift);
	}
	clone->timer.expire = on_making_timeout;
	timers_arm(&server->timers, &clone->timer, server->now_ns + MAKING_NS);
	clone_watch(server, clone);
	/*
	 * Once: after that only its end is of interest, which the pidfd tells. One that is reset
	 * tells when it has finished, each time.
	 */
	rc = watch_add(server->epoll_fd, clone->spare.fd, &clone->spare.watch,
		       EPOLLIN | (pool->reset ? EPOLLET : EPOLLONESHOT));
	if (rc < 0) {
		pool_retire(server, clone, SPARE_FAILED);
		return error_set_errno(error, -rc, "epoll_ctl");
	}
	return 0;
}

static void make_one(struct server *server)
{
	struct pool *pool = &server->pool;
	_cleanup_close_ int own_fd = -1;
	_cleanup_close_ int child_fd = -1;
	struct error error;
	int rc = make_socket(&own_fd, &child_fd);

	pool->metrics.made++;
	pool_note_made(&pool->history, server->now_ns);
	if (rc < 0)
		error_set_errno(&error, -rc, "socketpair");
	else
		rc = fork_spare(server, &own_fd, &child_fd, &error);
	if (rc == 0)
		return;
	pool_note_failed(&pool->history, server->now_ns);
	log_warning("cannot make a spare: %s", error.text);
}

static uint32_t room(const struct server *server)
{
	const struct pool *pool = &server->pool;
	uint32_t taken = server->clones.live_count + pool->parked_count + pool->making_count;

	if (taken >= server->clones.capacity || pool_count(pool) >= spares_most(pool))
		return 0;
	return server->clones.capacity - taken;
}

static struct clone *oldest(const struct pool *pool)
{
	const struct list *from = list_empty(&pool->parked) ? &pool->making : &pool->parked;

	return list_empty(from) ? NULL
				: list_entry(list_entry(from->next, struct spare, link),
					     struct clone, spare);
}

static struct pool_decision decide(struct server *server)
{
	struct pool *pool = &server->pool;
	const struct pool_view view = {
		.now_ns = server->now_ns,
		.parked = pool->parked_count,
		.making = pool->making_count,
		.room = room(server),
		.oldest_ns = pool->parked_count ? oldest(pool)->spare.parked_ns : 0,
		.each = pool->each,
		.quiet_until_ns = pool->quiet_until_ns,
	};

	return pool_decide(&pool->limits, &pool->history, &view);
}

void pool_work(struct server *server, bool busy)
{
	struct pool *pool = &server->pool;
	struct pool_decision decision;

	if (!pool->limits.high || !server->serving || server->stopping)
		return;
	if (busy || pool->claimed_ns == server->now_ns) {
		if (!pool->timer.place)
			timers_arm(&server->timers, &pool->timer, server->now_ns + LOOK_AGAIN_NS);
		return;
	}
	decision = decide(server);
	switch (decision.action) {
	case POOL_WAIT:
		break;
	case POOL_MAKE:
		make_one(server);
		break;
	case POOL_RETIRE_AGE:
		pool_retire(server, oldest(pool), SPARE_TOO_OLD);
		break;
	case POOL_RETIRE_SURPLUS:
		pool_note_surplus(&pool->history, server->now_ns);
		pool_retire(server, oldest(pool), SPARE_SURPLUS);
		break;
	case POOL_RETIRE_MEMORY:
		pool_retire(server, oldest(pool), SPARE_MEMORY);
		break;
	}
	/* One thing a round: who has sent a request meanwhile goes first. */
	if (decision.action != POOL_WAIT)
		decision.next_ns = server->now_ns;
	timers_disarm(&server->timers, &pool->timer);
	if (decision.next_ns != UINT64_MAX)
		timers_arm(&server->timers, &pool->timer, decision.next_ns);
}

/* What one has, as an average that moves slowly. */
static void sample(struct pool *pool, const struct clone *clone)
{
	uint64_t bytes;

	if (!pool->limits.memory || procfs_private_bytes(clone->pid, &bytes) < 0)
		return;
	pool->each = pool->each ? (7 * pool->each + bytes) / 8 : bytes;
}

static void on_parked(struct server *server, struct clone *clone)
{
	struct pool *pool = &server->pool;

	timers_disarm(&server->timers, &clone->timer);
	/* It has its own descriptors by now, and may be claimed, and lent others, in this round. */
	clone_end_loan(clone);
	leave_lists(pool, clone);
	enter(pool, clone, CLONE_PARKED);
	clone->spare.parked_ns = server->now_ns;
	pool_note_parked(&pool->history);
	sample(pool, clone);
	log_debug("spare %lu has parked", clone->id);
	pool_serve_waiting(server);
}

/* It has served, and is being reset. */
static void on_finished(struct server *server, struct clone *clone,
			const struct report_packet *packet, size_t len)
{
	struct pool *pool = &server->pool;

	if (clone->id == pool->last_claimed)
		pool->quiet_until_ns = 0;
	if (clone->spare.stash)
		pool_forget_claim(server, clone);
	if (!clone_end_life(server, clone, packet, len))
		return;
	clone_rename(&server->clones, clone, clone->spare.next_id);
	clone->spare.resets++;
	clone->spare.is_bound = true;
	clone->spare.may_reset = false;
	clone->spare.claim_ns = 0;
	clone->spare.parked_ns = server->now_ns;
	clone->received_ns = server->now_ns;
	enter(pool, clone, CLONE_PARKED);
	/* A signal is on its way to it. */
	if (clone->was_killed)
		pool_retire(server, clone, SPARE_KILLED);
	pool_serve_waiting(server);
}

void pool_on_note(struct server *server, struct clone *clone)
{
	union packet *packet = &server->packet;
	ssize_t len;

	/* Its working set, while it has the id that it told it by. */
	if (clone->learns)
		clones_take_reports(server);
	len = recv(clone->spare.fd, packet, sizeof(*packet), MSG_DONTWAIT);
	/* Told once: it has died, and left unread what was sent to it. */
	if (len < 0 && errno == ECONNRESET)
		clone->spare.lost_claim = true;
	/* Anything else is its end, of which the pidfd tells, or the end of its good manners. */
	if (len <= 0)
		return;
	if (len == 1 && *(const char *)packet == CLAIM_PARKED && clone->state == CLONE_MAKING)
		on_parked(server, clone);
	else if (clone->state == CLONE_SERVING && clone->spare.may_reset)
		on_finished(server, clone, &packet->report, (size_t)len);
}

void pool_make_room(struct server *server)
{
	struct pool *pool = &server->pool;
	uint32_t spares = pool->parked_count + pool->making_count;

	if (spares && server->clones.live_count + spares >= server->clones.capacity)
		pool_retire(server, oldest(pool), SPARE_NO_ROOM);
}

void pool_stop(struct server *server)
{
	struct clone *clone;

	pool_refuse_waiting(server);
	while ((clone = oldest(&server->pool)))
		pool_retire(server, clone, SPARE_SURPLUS);
}

void pool_on_exit(struct server *server, struct clone *clone, const char *text)
{
	struct pool *pool = &server->pool;

	if (clone->state == CLONE_MAKING) {
		clone->spare.loss = SPARE_FAILED;
		pool_note_failed(&pool->history, server->now_ns);
		log_warning("spare %lu came to nothing: %s", clone->id, text);
	} else if (clone->state == CLONE_PARKED) {
		clone->spare.loss = SPARE_DIED;
		log_info("spare %lu is gone: %s", clone->id, text);
	}
	leave_lists(pool, clone);
	pool->metrics.lost[clone->spare.loss]++;
}

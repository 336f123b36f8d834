/* SPDX-License-Identifier: MIT */
/*
 * The server's loop: one thread, one epoll, no waiting anywhere else.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/sys.h"
#include "forkserver/server/server.h"
#include "vmm/base/util.h"

#define EVENTS_MAX   128

/* How long clones that were told to die may take to do so. */
#define STOP_WAIT_NS (10 * NS_PER_SEC)

/* While descriptors are on loan, how soon to look whether they are still needed. */
#define LOAN_LOOK_MS 5

void server_stop(struct server *server, const char *why)
{
	struct clones *clones = &server->clones;

	if (server->stopping)
		return;
	log_info("stopping: %s; %u clones are alive", why, clones->live_count);
	server->stopping = true;
	watch_remove(server->epoll_fd, server->listener.fd);
	pool_stop(server);
	if (server->options->keep_clones)
		return;
	for (struct list *link = clones->live.next; link != &clones->live; link = link->next)
		clone_kill(list_entry(link, struct clone, link), FORKVM_END_KILLED,
			   "the server was stopped");
}

/* How long epoll may wait: until the next deadline, rounded up to its milliseconds. */
static int wait_ms(const struct server *server, bool on_loan)
{
	uint64_t next_ns = timers_next(&server->timers);
	uint64_t ms;

	if (!list_empty(&server->conns.ready))
		return 0;
	if (on_loan)
		return LOAN_LOOK_MS;
	if (next_ns == UINT64_MAX)
		return server->stopping ? 100 : -1;
	if (next_ns <= server->now_ns)
		return 0;
	ms = (next_ns - server->now_ns + 999999) / 1000000;
	if (server->stopping && ms > 100)
		return 100;
	return ms > 60000 ? 60000 : (int)ms;
}

static void on_wake(struct server *server)
{
	uint64_t count;

	if (read(server->wake_fd, &count, sizeof(count)) == sizeof(count))
		server_stop(server, "a signal asked for it");
}

static void dispatch(struct server *server, struct watch *watch, uint32_t events)
{
	switch (watch->kind) {
	case WATCH_WAKE:
		on_wake(server);
		break;
	case WATCH_LISTENER:
		conns_accept(server);
		break;
	case WATCH_CONN:
		conn_on_events(server, list_entry(watch, struct conn, watch), events);
		break;
	case WATCH_CLONE:
		clone_on_exit(server, list_entry(watch, struct clone, watch));
		break;
	case WATCH_SPARE:
		pool_on_note(server, list_entry(list_entry(watch, struct spare, watch),
						struct clone, spare));
		break;
	case WATCH_ANCHOR:
		anchor_on_exit(server);
		break;
	case WATCH_BOOT:
		boot_on_progress(server);
		break;
	case WATCH_RINGS:
		rings_on_request(server);
		break;
	}
}

/*
 * Requests first: somebody waits for each of them. Ends of clones can wait for a moment. True when
 * there were requests.
 */
static bool dispatch_all(struct server *server, const struct epoll_event *events, int count)
{
	bool requests = false;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < count; i++) {
			struct watch *watch = events[i].data.ptr;
			bool is_request = watch->kind == WATCH_CONN;

			requests |= is_request;
			if (is_request == (round == 0))
				dispatch(server, watch, events[i].events);
		}
	}
	return requests;
}

static void expire_timers(struct server *server)
{
	struct timer *timer;

	while ((timer = timers_take_due(&server->timers, server->now_ns)))
		timer->expire(server, timer);
}

static bool is_finished(const struct server *server, uint64_t stop_ns)
{
	if (!server->stopping)
		return !server->serving && server->boot.end != BOOT_NOT_ENDED;
	return list_empty(&server->clones.live) || server->options->keep_clones ||
	       server->now_ns >= stop_ns;
}

int server_loop(struct server *server, struct error *error)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t stop_ns = UINT64_MAX;
	bool on_loan = false;
	bool busy;

	while (!is_finished(server, stop_ns)) {
		int count = sys_epoll_wait(server->epoll_fd, events, EVENTS_MAX,
					   wait_ms(server, on_loan));

		if (count < 0 && count != -EINTR)
			return error_set_errno(error, -count, "epoll_wait");
		server->now_ns = now_ns();
		busy = dispatch_all(server, events, count < 0 ? 0 : count);
		busy |= !list_empty(&server->conns.ready);
		conns_work(server);
		if (busy)
			cpu_latency_on_messages(server);
		expire_timers(server);
		conns_settle(server);
		pool_work(server, busy);
		on_loan = clones_end_loans(server);
		if (server->stopping && stop_ns == UINT64_MAX)
			stop_ns = server->now_ns + STOP_WAIT_NS;
	}
	return 0;
}

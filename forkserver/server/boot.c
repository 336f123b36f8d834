/* SPDX-License-Identifier: MIT */
/*
 * The template's boot as the event loop sees it: see boot.h.
 */
#include "forkserver/server/boot.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/server/server.h"
#include "vmm/base/util.h"

/* The first cause counts. */
static void end_boot(struct server *server, enum boot_end end)
{
	if (server->boot.end == BOOT_NOT_ENDED)
		server->boot.end = end;
}

/* Has the guest done its part? Asked by what would else end the boot, which may be a bit late. */
static void look(struct server *server)
{
	if (machine_get_standing(server->machine, NULL) != MACHINE_RUNNING)
		end_boot(server, BOOT_BY_GUEST);
}

static void on_timeout(struct server *server, struct timer *timer)
{
	(void)timer;
	look(server);
	end_boot(server, BOOT_TIMED_OUT);
}

static void on_freeze_due(struct server *server, struct timer *timer)
{
	(void)timer;
	look(server);
	end_boot(server, BOOT_BY_TIME);
}

void boot_init(struct boot *boot)
{
	*boot = (struct boot){
		.watch.kind = WATCH_BOOT,
		.timeout.expire = on_timeout,
		.freeze.expire = on_freeze_due,
	};
}

int boot_start(struct server *server, struct error *error)
{
	const struct serve_options *options = server->options;
	struct boot *boot = &server->boot;
	int rc = template_start(server, error);

	if (rc < 0)
		return rc;
	rc = watch_add(server->epoll_fd, server->template.progress_fd, &boot->watch, EPOLLIN);
	if (rc < 0)
		return error_set_errno(error, -rc, "epoll_ctl");
	server->now_ns = now_ns();
	if (options->boot_timeout_ns)
		timers_arm(&server->timers, &boot->timeout,
			   server->now_ns + options->boot_timeout_ns);
	if (options->freeze_after_ns)
		timers_arm(&server->timers, &boot->freeze,
			   server->now_ns + options->freeze_after_ns);
	log_debug("booting %s; clients may connect to %s", template_image(options),
		  options->socket);
	return 0;
}

void boot_on_progress(struct server *server)
{
	uint64_t count;

	(void)!read(server->template.progress_fd, &count, sizeof(count));
	look(server);
}

void boot_request_freeze(struct server *server, struct conn *conn, const struct request *request)
{
	struct error error;
	int rc = 0;

	if (server->stopping)
		rc = error_set(&error, ESHUTDOWN, "the server is stopping");
	else if (server->serving)
		rc = error_set(&error, EALREADY,
			       "the template is frozen already: clones can be had");
	else if (conn->awaits_freeze)
		rc = error_set(&error, EBUSY, "this connection waits for the freeze already");
	if (rc < 0) {
		conn_send_error(server, conn, request->tag, &error);
		return;
	}
	conn->awaits_freeze = true;
	memcpy(conn->freeze_tag, request->tag, sizeof(conn->freeze_tag));
	look(server);
	end_boot(server, BOOT_BY_REQUEST);
}

/* Why the boot leads to no template; 0 when it does. */
static int check_end(const struct server *server, struct error *error)
{
	if (server->stopping)
		return error_set(error, EINTR,
				 "interrupted: it was to stop before its template was frozen");
	if (server->boot.end == BOOT_TIMED_OUT)
		return error_set(error, ETIMEDOUT,
				 "the guest did not reach its template point within %" PRIu64
				 " ms: it may hang, or need a longer --boot-timeout",
				 (uint64_t)(server->options->boot_timeout_ns / NS_PER_MS));
	return 0;
}

static void report(const struct server *server, uint64_t frozen_ns)
{
	static const char *const why[] = {
		[BOOT_NOT_ENDED] = "",
		[BOOT_BY_GUEST] = "",
		[BOOT_BY_REQUEST] = " on a client's request",
		[BOOT_BY_TIME] = " as --freeze-after says",
		[BOOT_TIMED_OUT] = "",
	};
	const struct boot *boot = &server->boot;

	static_assert(ARRAY_SIZE(why) == BOOT_END_COUNT_, "words for each end");
	log_info("template of %s: %" PRIu64 " MiB RAM, %" PRIu64
		 " KiB populated, %u vCPUs, %u memslots; booted in %" PRIu64
		 " us, frozen%s in %" PRIu64 " us",
		 template_image(server->options), (uint64_t)(server->info.ram_size / MIB),
		 (uint64_t)(server->info.populated / KIB), server->info.vcpus, server->info.slots,
		 (boot->stopped_ns - boot->started_ns) / 1000, why[boot->end],
		 (frozen_ns - boot->stopped_ns) / 1000);
}

int boot_finish(struct server *server, struct error *error)
{
	struct boot *boot = &server->boot;
	struct error stop_error;
	int rc = check_end(server, error);

	boot->stopped_ns = now_ns();
	timers_disarm(&server->timers, &boot->timeout);
	timers_disarm(&server->timers, &boot->freeze);
	watch_remove(server->epoll_fd, server->template.progress_fd);
	if (rc < 0) {
		/* For the last words on its console. */
		(void)template_stop(server, &stop_error);
		return rc;
	}
	rc = template_stop(server, error);
	if (rc == 0)
		rc = template_freeze(server, error);
	if (rc == 0)
		report(server, now_ns());
	return rc;
}

static void send_frozen(struct server *server, struct conn *conn)
{
	const struct boot *boot = &server->boot;
	struct text *text = conn_begin(conn, conn->freeze_tag, NO_INDEX);

	text_printf(text, "\"ok\":{\"booted_us\":%" PRIu64 ",\"frozen_us\":%" PRIu64,
		    (boot->stopped_ns - boot->started_ns) / 1000,
		    (boot->served_ns - boot->stopped_ns) / 1000);
	text_printf(text, ",\"populated_bytes\":%" PRIu64 "}}\n", server->info.populated);
	conn_finish(server, conn);
}

void boot_tell(struct server *server, int rc, const struct error *error)
{
	struct list *head = &server->conns.all;
	struct list *next;

	for (struct list *link = head->next; link != head; link = next) {
		struct conn *conn = list_entry(link, struct conn, link);

		next = link->next; /* one that has left too much unread is closed here */
		if (!conn->awaits_freeze)
			continue;
		conn->awaits_freeze = false;
		if (rc == 0)
			send_frozen(server, conn);
		else
			conn_send_error(server, conn, conn->freeze_tag, error);
	}
	/* Now: the loop does so after it was woken, and what wakes it may be long in coming. */
	conns_settle(server);
}

const char *boot_end_name(const struct boot *boot)
{
	switch (boot->end) {
	case BOOT_BY_GUEST:
		return "guest";
	case BOOT_BY_REQUEST:
		return "request";
	case BOOT_BY_TIME:
		return "time";
	default:
		return NULL;
	}
}

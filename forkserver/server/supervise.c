/* SPDX-License-Identifier: MIT */
/*
 * How clones end, and how that becomes known.
 *
 * Theory of operation. A clone that reaches its end sends one report and exits. Its pidfd becomes
 * readable when it has; only then are reports taken from their socket, so an end wakes the server
 * once. A report was sent before its sender exited, so it is there by then. What the report says is
 * believed only with an orderly exit; otherwise what the kernel says of the process decides.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/procfs.h"
#include "forkserver/base/sys.h"
#include "forkserver/proto/fdpass.h"
#include "forkserver/server/batch.h"
#include "forkserver/server/clone.h"
#include "forkserver/server/export.h"
#include "forkserver/server/pool.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* What became of a clone. */
struct verdict {
	enum forkvm_end end;
	uint32_t status;
	char text[ERROR_TEXT_SIZE];
};

static struct clone *find_by_pid(struct clones *clones, pid_t pid)
{
	for (struct list *link = clones->live.next; link != &clones->live; link = link->next) {
		struct clone *clone = list_entry(link, struct clone, link);

		if (clone->pid == pid)
			return clone;
	}
	return NULL;
}

static bool report_is_sound(const struct server *server, const struct report *report, size_t len,
			    const struct clone *clone)
{
	const size_t disks_len = server->options->disks.count * sizeof(struct disk_stats);

	return len >= sizeof(*report) && report->magic == REPORT_MAGIC &&
	       len == sizeof(*report) + (report->disks ? disks_len : 0) &&
	       (!report->disks || report->disks == server->options->disks.count) &&
	       report->clone_id == clone->id && report->end < FORKVM_END_COUNT_ &&
	       report->end != FORKVM_END_TIMEOUT && !clone->has_report;
}

/* What a clone has sent of itself. */
static void store_report(struct server *server, struct clone *clone,
			 const struct report_packet *packet, size_t len)
{
	const struct report *report = &packet->report;

	if (!report_is_sound(server, report, len, clone)) {
		log_error("clone %lu (process %d) sent %s: it is killed", clone->id, clone->pid,
			  clone->has_report ? "a second report" : "a report that is none");
		clone->has_report = false;
		clone_kill(clone, FORKVM_END_HOST_ERROR, "it broke the rules of the report");
		return;
	}
	clone->has_report = !clone->was_killed || clone->kill_end != FORKVM_END_HOST_ERROR;
	clone->report = *report;
	clone->report.error.text[ERROR_TEXT_SIZE - 1] = '\0';
	if (report->disks)
		server_disks_count(&server->disks, packet->disks, report->disks);
}

static void take_report(struct server *server, pid_t pid, const struct report_packet *packet,
			size_t len)
{
	const struct report *report = &packet->report;
	struct clones *clones = &server->clones;
	struct clone *clone = NULL;

	/* The place is a hint that saves a search; the kernel's pid decides. */
	if (len >= sizeof(*report) && report->place < clones->used)
		clone = &clones->records[report->place];
	if (!clone || clone->pid != pid || clone->pidfd < 0)
		clone = find_by_pid(clones, pid);
	if (!clone) {
		log_warning("process %d, which is no clone, sent a report", pid);
		return;
	}
	store_report(server, clone, packet, len);
}

/* The pid of the sender, of which the kernel vouches; 0 when it did not say. */
static pid_t sender_of(struct msghdr *message)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
	     header = CMSG_NXTHDR(message, header)) {
		struct ucred creds;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&creds, CMSG_DATA(header), sizeof(creds));
		return creds.pid;
	}
	return 0;
}

static void take_packet(struct server *server, pid_t pid, const union packet *packet, size_t len)
{
	if (len >= sizeof(packet->magic) && packet->magic == LEARNT_MAGIC)
		learning_take(server, pid, &packet->learnt, len);
	else
		take_report(server, pid, &packet->report, len);
}

void clones_take_reports(struct server *server)
{
	union packet *packet = &server->packet;
	union fdpass_control control;
	ssize_t len;

	do {
		struct iovec iov = {.iov_base = packet, .iov_len = sizeof(*packet)};
		struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
		int fds[1];
		size_t count;

		fdpass_prepare(&message, &control);
		len = sys_recvmsg(server->report_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (len < 0)
			continue;
		/* Clones cannot send descriptors; should one manage to, they are not kept. */
		(void)fdpass_take(&message, fds, 0, &count);
		take_packet(server, sender_of(&message), packet,
			    message.msg_flags & MSG_TRUNC ? 0 : (size_t)len);
	} while (len >= 0);
}

/* Did the kernel kill for want of memory since it was last asked? Each of its kills counts once. */
static bool was_oom_kill(struct server *server)
{
	struct clones *clones = &server->clones;
	uint64_t kills;

	if (server->vmstat_fd < 0 || procfs_oom_kills(server->vmstat_fd, &kills) < 0 ||
	    kills <= clones->oom_kills)
		return false;
	clones->oom_kills++;
	return true;
}

static void judge_signal(struct server *server, struct verdict *verdict, int signal)
{
	verdict->end = FORKVM_END_HOST_ERROR;
	switch (signal) {
	case SIGKILL:
		if (was_oom_kill(server)) {
			verdict->end = FORKVM_END_OUT_OF_MEMORY;
			strcpy(verdict->text, "the kernel killed it: the host is out of memory");
			return;
		}
		verdict->end = FORKVM_END_KILLED;
		strcpy(verdict->text, "killed by a signal from outside (9)");
		return;
	case SIGTERM:
	case SIGINT:
	case SIGHUP:
		verdict->end = FORKVM_END_KILLED;
		snprintf(verdict->text, sizeof(verdict->text),
			 "killed by a signal from outside (%d)", signal);
		return;
	case SIGBUS:
		verdict->end = FORKVM_END_OUT_OF_MEMORY;
		strcpy(verdict->text, "guest memory could not be had (SIGBUS): the host is out of "
				      "memory, or the memory file was cut");
		return;
	case SIGSYS:
		strcpy(verdict->text, "it made a system call that clones may not make, and was "
				      "killed");
		return;
	default:
		snprintf(verdict->text, sizeof(verdict->text), "it crashed with signal %d", signal);
		return;
	}
}

static void judge(struct server *server, const struct clone *clone, const siginfo_t *info,
		  struct verdict *verdict)
{
	bool exited = info->si_code == CLD_EXITED;

	*verdict = (struct verdict){.end = FORKVM_END_HOST_ERROR};
	if (clone->has_report && exited && info->si_status == 0) {
		verdict->end = (enum forkvm_end)clone->report.end;
		verdict->status = clone->report.status;
		if (verdict->end != FORKVM_END_DONE)
			memcpy(verdict->text, clone->report.error.text, sizeof(verdict->text));
	} else if (clone->was_killed && !exited && info->si_status == SIGKILL) {
		verdict->end = clone->kill_end;
		strncpy(verdict->text, clone->kill_note, sizeof(verdict->text) - 1);
	} else if (!exited) {
		judge_signal(server, verdict, info->si_status);
	} else {
		snprintf(verdict->text, sizeof(verdict->text),
			 "it exited with status %d and no report", info->si_status);
	}
}

static void append_stages(struct text *text, const struct clone *clone)
{
	static const enum forkvm_stage machine_stages[] = {
		[MACHINE_STAGE_START] = FORKVM_STAGE_START,
		[MACHINE_STAGE_VM] = FORKVM_STAGE_VM,
		[MACHINE_STAGE_POPULATE] = FORKVM_STAGE_POPULATE,
		[MACHINE_STAGE_MEMSLOTS] = FORKVM_STAGE_MEMSLOTS,
		[MACHINE_STAGE_VCPUS] = FORKVM_STAGE_VCPUS,
		[MACHINE_STAGE_STATE] = FORKVM_STAGE_STATE,
		[MACHINE_STAGE_RUN] = FORKVM_STAGE_RUN,
		[MACHINE_STAGE_READY] = FORKVM_STAGE_READY,
	};
	_Static_assert(ARRAY_SIZE(machine_stages) == MACHINE_STAGE_COUNT_, "every stage is told");
	uint64_t at_ns[FORKVM_STAGE_COUNT_] = {
		[FORKVM_STAGE_RECEIVED] = clone->received_ns,
		[FORKVM_STAGE_FORK] = clone->fork_ns,
		[FORKVM_STAGE_CLAIM] = clone->spare.claim_ns,
	};
	const char *comma = "";

	if (clone->has_report) {
		at_ns[FORKVM_STAGE_CHILD] = clone->report.child_ns;
		at_ns[FORKVM_STAGE_TOLD] = clone->report.told_ns;
		at_ns[FORKVM_STAGE_AWAKE] = clone->report.awake_ns;
		at_ns[FORKVM_STAGE_ANSWERED] = clone->report.answered_ns;
		at_ns[FORKVM_STAGE_ENDED] = clone->report.ended_ns;
		for (int i = 0; i < MACHINE_STAGE_COUNT_; i++)
			at_ns[machine_stages[i]] = clone->report.stages.at_ns[i];
	}
	text_printf(text, ",\"stages\":{");
	for (unsigned int i = 0; i < FORKVM_STAGE_COUNT_; i++) {
		/* A clone may have written anything there; JSON integers are signed. */
		if (!at_ns[i] || at_ns[i] > INT64_MAX)
			continue;
		text_printf(text, "%s\"%s\":%lu", comma, forkvm_stage_name((enum forkvm_stage)i),
			    at_ns[i]);
		comma = ",";
	}
	text_append(text, "}", 1);
}

/* The one record that a foreground clone's client gets. */
static void send_ended(struct server *server, struct clone *clone, const struct verdict *verdict)
{
	struct conn *conn = clone->owner;
	struct text *text = conn_begin(conn, clone->tag, clone->index);

	text_printf(text, "\"ended\":{\"id\":%lu,\"pid\":%d,\"reason\":\"%s\",\"status\":%u",
		    clone->id, clone->pid, forkvm_end_name(verdict->end), verdict->status);
	if (verdict->text[0]) {
		text_printf(text, ",\"error\":");
		text_json_string(text, verdict->text, strlen(verdict->text));
	}
	if (clone->has_report && clone->report.sleeps)
		text_printf(text, ",\"sleeps\":%u", clone->report.sleeps);
	append_stages(text, clone);
	text_append(text, "}}\n", 3);
	conn_finish(server, conn);
}

static void free_record(struct server *server, struct clone *clone)
{
	struct clones *clones = &server->clones;

	timers_disarm(&server->timers, &clone->timer);
	if (!clone->unwatched)
		watch_remove(server->epoll_fd, clone->pidfd);
	else
		clones->unwatched_count--;
	fd_close(&clone->pidfd);
	fd_close(&clone->spare.fd);
	clone_end_loan(clone);
	list_remove(&clone->owner_link);
	list_remove(&clone->link);
	clones_leave(clones, clone);
	list_append(&clones->unused, &clone->link);
	clone->owner = NULL;
	if (clone->state == CLONE_SERVING)
		clones->live_count--;
}

/* It served a request, or would have: this is its end as its client sees it. */
static void tell_end(struct server *server, struct clone *clone, const struct verdict *verdict)
{
	server->metrics.clones_ended[verdict->end]++;
	log_debug("clone %lu ended: %s%s%s", clone->id, forkvm_end_name(verdict->end),
		  verdict->text[0] ? ": " : "", verdict->text);
	if (verdict->end == FORKVM_END_HOST_ERROR)
		log_warning("clone %lu (process %d) failed: %s", clone->id, clone->pid,
			    verdict->text);
	export_on_clone_end(server, clone);
	if (clone->owner)
		send_ended(server, clone, verdict);
	if (clone->batch)
		batch_on_end(server, clone);
}

bool clone_end_life(struct server *server, struct clone *clone, const struct report_packet *packet,
		    size_t len)
{
	struct verdict verdict = {.end = FORKVM_END_DONE};

	store_report(server, clone, packet, len);
	if (!clone->has_report || clone->report.end != FORKVM_END_DONE) {
		clone_kill(clone, FORKVM_END_HOST_ERROR, "it broke the rules of a reset");
		return false;
	}
	verdict.status = clone->report.status;
	tell_end(server, clone, &verdict);
	if (clone->report.begun < REPORT_BEGUN_COUNT_)
		server->pool.metrics.resets[clone->report.begun]++;
	timers_disarm(&server->timers, &clone->timer);
	clone_end_loan(clone);
	list_remove(&clone->owner_link);
	clone->owner = NULL;
	clone->detached = false;
	clone->session = false;
	clone->has_report = false;
	clone->tag[0] = '\0';
	server->clones.live_count--;
	return true;
}

void clone_on_exit(struct server *server, struct clone *clone)
{
	struct pool_again again;
	siginfo_t info = {0};
	struct verdict verdict;

	if (clone->pidfd < 0 || sys_wait_pidfd(clone->pidfd, &info) < 0 || !info.si_pid)
		return;
	clones_take_reports(server);
	/* It may have finished, and died as a spare. */
	if (clone->spare.may_reset)
		pool_on_note(server, clone);
	judge(server, clone, &info, &verdict);
	if (clone->state != CLONE_SERVING) {
		pool_on_exit(server, clone, verdict.text[0] ? verdict.text : "its guest is done");
		free_record(server, clone);
	} else if (pool_lost_claim(server, clone, &again)) {
		export_on_clone_end(server, clone);
		if (clone->batch)
			batch_on_end(server, clone);
		log_info("spare %lu had died when it was claimed: %s", clone->id, verdict.text);
		free_record(server, clone);
		pool_resend(server, &again);
	} else {
		tell_end(server, clone, &verdict);
		free_record(server, clone);
	}
}

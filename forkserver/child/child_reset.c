/* SPDX-License-Identifier: MIT */
/*
 * A clone that has served is put back to its template's state, and becomes a spare again.
 *
 * Its report is sent first, and the server told: whoever asks next need not wait until it is ready,
 * for a claim waits in the socket. If something goes wrong after that, the clone just ends; a claim
 * that it has not taken is then served by another. Only where everything is compared after a reset
 * does that come before the report, which tells of it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/child/child.h"
#include "forkserver/launch/claim.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* The report says by the way it comes that this clone lives on. */
static void tell(struct child *child)
{
	child->has_told = true;
	(void)child_send_packet(child->claim_fd, &child->report, sizeof(child->report));
}

/* Nothing of the client's is left. */
static void forget_client(struct child *child)
{
	fd_close(&child->answer_fd);
	fd_close(&child->console_fd);
	child->session = false;
	child->may_reset = false;
	child->sleepless = child->was_sleepless = false;
	child->is_spare = true;
}

/* A report of a life that has just begun. */
static void begin_report(struct child *child, uint64_t began_ns)
{
	struct report *report = &child->report;

	report->clone_id = child->next_id;
	report->status = 0;
	report->told_ns = now_ns();
	report->awake_ns = report->answered_ns = report->ended_ns = 0;
	report->error = (struct error){0};
	memset(&report->stages, 0, sizeof(report->stages));
	report->stages.at_ns[MACHINE_STAGE_START] = began_ns;
	child->has_told = false;
}

/*
 * Wait for the next request, and deliver it with a new identity. The guest stands at its template
 * point, and does not run before: it would only come as far as to where it parks. 1; 0 when there
 * will be none.
 */
static int deliver(struct child *child, struct error *error)
{
	struct machine *machine = child->launch->machine;
	struct forkvm_identity identity;
	size_t capacity, len = 0;
	void *area = machine_request_area(machine, &capacity);
	int rc = child_take_identity(child->report.clone_id, &identity, error);

	if (rc < 0)
		return rc;
	rc = child_take_claim(child, area, capacity, &len);
	if (rc < 0)
		error_set_errno(error, -rc, "take a claim");
	if (rc > 0) {
		identity.wall_clock_ns = clock_ns(CLOCK_REALTIME);
		rc = machine_begin_again(machine, &identity, area, len, error);
		rc = rc < 0 ? rc : 1;
	}
	explicit_bzero(&identity, sizeof(identity));
	return rc;
}

static int reset(struct child *child, bool *ret_quick, struct error *error)
{
	int rc = machine_reset(child->launch->machine, ret_quick, error);

	if (rc == 0 && child->launch->reset_check)
		rc = machine_verify_reset(child->launch->machine, error);
	if (rc < 0)
		error_prefix(error, "reset");
	return rc;
}

bool child_begin_again(struct child *child)
{
	const bool check = child->launch->reset_check;
	struct report *report = &child->report;
	struct error error = {0};
	bool quick = false;
	int rc = 0;

	if (!child->may_reset || report->end != FORKVM_END_DONE)
		return false;
	report->ended_ns = now_ns();
	if (check)
		rc = reset(child, &quick, &error);
	if (rc < 0) {
		report->end = FORKVM_END_HOST_ERROR;
		report->error = error;
		return false;
	}
	tell(child);
	begin_report(child, report->ended_ns);
	forget_client(child);
	if (!check)
		rc = reset(child, &quick, &error);
	report->begun = quick ? REPORT_RESET_QUICK : REPORT_RESET_THOROUGH;
	if (rc == 0)
		rc = deliver(child, &error);
	if (rc > 0)
		return true;
	/* The server sees it go, and nobody waits for it but by a claim that it has not taken. */
	if (rc < 0)
		log_warning("clone %llu: %s", (unsigned long long)report->clone_id, error.text);
	child->has_told = true;
	return false;
}

/* SPDX-License-Identifier: MIT */
/*
 * hostile: a guest that breaks the rules, one at a time. Whatever it does must end, at worst, its
 * own VM: no harm to the host, the template or another clone.
 *
 * Boot:    boot=NAME     misuse before the template point, see hostile_boot.c
 *          spare=NAME    misuse as a spare, see hostile_spare.c; without either, boot well
 * Request: op=NAME       misuse in a clone, see hostile_ops.c
 *          op=list       all names
 * Answer:  ok op=NAME    the VM has survived it
 *          (op=list)     a line NAME:END for each op, boot/NAME:END for each boot, spare/NAME:END
 *          FAIL op=NAME  the misuse had an effect inside the guest that it must not have, or the
 *                        guest was let do what should have ended it
 *
 * END is how it must end:
 *   ok           the answer above comes, and the VM serves the next request (boot: the template
 *                comes up and its clones answer)
 *   guest-error  the VM ends with a guest error; an answer may have come before
 *   done         the VM ends by DONE
 *   shutdown     the VM halts for good
 *   timeout      (boot, spare) nothing more happens
 *   crash        as guest-error; or nothing more happens: where page tables are nested, KVM before
 *                Linux 6.14 tries for ever to deliver an exception whose handler is out of reach
 *   any          done, shutdown or guest-error
 */
#include "guest-stubs/stubs/hostile.h"

#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);
STUB_BUFFERS(STUB_PAGE_SIZE, 2 * STUB_PAGE_SIZE);

const char *const hostile_end_names[] = {"ok",	    "guest-error", "done", "shutdown",
					 "timeout", "crash",	   "any"};
_Static_assert(sizeof(hostile_end_names) / sizeof(hostile_end_names[0]) == ENDS, "a name each");

static size_t list(char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);

	for (size_t i = 0; i < hostile_op_count; i++)
		text_printf(&answer, "%s:%s\n", hostile_ops[i].name,
			    hostile_end_names[hostile_ops[i].end]);
	hostile_boot_list(&answer);
	hostile_spare_list(&answer);
	return answer.len;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);
	const char *name, *wrong = NULL;
	const struct hostile_op *op;
	size_t len;

	if (!args_find(request, request_len, "op", &name, &len)) {
		text_string(&answer, "ok op=none\n");
		return answer.len;
	}
	if (args_is(name, len, "list"))
		return list(response, capacity);
	op = hostile_op_find(name, len);
	if (op == NULL) {
		text_string(&answer, "FAIL unknown op\n");
		return answer.len;
	}

	if (op->run != NULL)
		op->run();
	else
		wrong = op->run_checked();
	if (op->has_answered)
		return stub_serve(request, stub_mailbox.request_len, response, capacity);
	if (op->end != END_OK && op->end != END_ANY)
		wrong = "was allowed";
	if (wrong != NULL)
		text_printf(&answer, "FAIL op=%s %s\n", op->name, wrong);
	else
		text_printf(&answer, "ok op=%s\n", op->name);
	return answer.len;
}

/* SPDX-License-Identifier: MIT */
/*
 * The hostile stub's misuses as a spare, before its first PARK: spare=NAME, one of spares[]. Clones
 * that were made for a request do nothing of the kind.
 */
#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/hostile.h"

static void ready_first(void)
{
	stub_doorbell(FORKVM_PORT_READY, 0);
}

static void never_park(void)
{
	for (;;)
		stub_pause();
}

static const struct spare {
	const char *name;
	enum hostile_end end; /* ok: it parks all the same */
	void (*run)(void);    /* a function of this file, or else ... */
	const char *op;	      /* ... one of hostile_ops[] */
} spares[] = {
	{"ready-first", END_GUEST_ERROR, ready_first, NULL},
	{"never-parks", END_TIMEOUT, never_park, NULL},
	{"booted-again", END_GUEST_ERROR, NULL, "booted-again"},
	{"template-again", END_GUEST_ERROR, NULL, "template-again"},
	{"console-too-long", END_GUEST_ERROR, NULL, "console-too-long"},
	{"console-flood", END_OK, NULL, "console-flood"},
	{"done-maximal", END_DONE, NULL, "done-maximal"},
	{"halt", END_SHUTDOWN, NULL, "halt"},
	{"triple-fault", END_GUEST_ERROR, NULL, "triple-fault"},
	/* It no longer finds request_seq 0, and answers what nobody has asked. */
	{"mailbox-host-part", END_GUEST_ERROR, NULL, "mailbox-host-part"},
};
#define SPARES (sizeof(spares) / sizeof(spares[0]))

static void spare_run(const struct spare *spare)
{
	const struct hostile_op *op;

	if (spare->run != NULL) {
		spare->run();
		return;
	}
	op = hostile_op_find(spare->op, text_length(spare->op));
	if (op != NULL && op->run != NULL)
		op->run();
}

void stub_template(void)
{
	const char *value;
	size_t len;

	stub_doorbell(FORKVM_PORT_TEMPLATE, 0);
	if (stub_mailbox.request_seq != 0 ||
	    !args_find(stub_boot->args, stub_boot->args_len, "spare", &value, &len))
		return;
	for (size_t i = 0; i < SPARES; i++) {
		if (args_is(value, len, spares[i].name))
			spare_run(&spares[i]);
	}
}

void hostile_spare_list(struct text *text)
{
	for (size_t i = 0; i < SPARES; i++)
		text_printf(text, "spare/%s:%s\n", spares[i].name,
			    hostile_end_names[spares[i].end]);
}

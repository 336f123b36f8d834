/* SPDX-License-Identifier: MIT */
/*
 * The hostile stub's misuses before the template point: boot=NAME, one of boots[], or AREA-FAULT,
 * where AREA is one of area_names[] and FAULT one of area_faults[] (as in boot=response-wraps).
 */
#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/hostile.h"

#define STATUS_OF_DONE 7

/* Ring BOOTED with a copy of the mailbox put at gpa, which must be RAM for the first 64 bytes. */
static void booted_with_copy(uint64_t gpa)
{
	memcpy((void *)gpa, &stub_mailbox, offsetof(struct forkvm_mailbox, is_clone));
	stub_doorbell(FORKVM_PORT_BOOTED, (uint32_t)gpa);
}

/* The three buffers, each wrong in each of these ways. */
enum area {
	AREA_REQUEST,
	AREA_RESPONSE,
	AREA_CONSOLE
};

static void area_set(enum area area, uint64_t gpa, uint32_t capacity)
{
	switch (area) {
	case AREA_REQUEST:
		stub_mailbox.request_gpa = gpa;
		stub_mailbox.request_capacity = capacity;
		break;
	case AREA_RESPONSE:
		stub_mailbox.response_gpa = gpa;
		stub_mailbox.response_capacity = capacity;
		break;
	case AREA_CONSOLE:
		stub_mailbox.console_gpa = gpa;
		stub_mailbox.console_capacity = capacity;
		break;
	}
}

static uint64_t ram_end(void)
{
	return stub_boot->high_ram_end != 0 ? stub_boot->high_ram_end : stub_boot->low_ram_end;
}

static void area_outside(enum area area)
{
	area_set(area, ram_end(), 64);
}

static void area_in_hole(enum area area)
{
	area_set(area, HOSTILE_UNBACKED, 64);
}

static void area_crosses_end(enum area area)
{
	area_set(area, stub_boot->low_ram_end - 16, 64);
}

static void area_wraps(enum area area)
{
	area_set(area, UINT64_MAX - 15, 64);
}

static void area_farthest(enum area area)
{
	area_set(area, UINT64_MAX, 1);
}

static void area_too_big(enum area area)
{
	area_set(area, stub_boot->free_start,
		 (area == AREA_CONSOLE ? FORKVM_MAX_CONSOLE : FORKVM_MAX_REQUEST) + 1);
}

static void area_maximal(enum area area)
{
	area_set(area, stub_boot->free_start, UINT32_MAX);
}

static const struct {
	const char *name;
	void (*spoil)(enum area area);
} area_faults[] = {
	{"outside", area_outside}, {"in-hole", area_in_hole},	{"crosses-end", area_crosses_end},
	{"wraps", area_wraps},	   {"farthest", area_farthest}, {"too-big", area_too_big},
	{"maximal", area_maximal},
};
#define AREA_FAULTS (sizeof(area_faults) / sizeof(area_faults[0]))

static const char *const area_names[] = {"request", "response", "console"};
#define AREAS (sizeof(area_names) / sizeof(area_names[0]))

/* Before or in place of BOOTED. */
static void bad_magic(void)
{
	stub_mailbox.magic ^= 1;
}

static void bad_version(void)
{
	stub_mailbox.version = FORKVM_ABI_VERSION + 1;
}

static void version_zero(void)
{
	stub_mailbox.version = 0;
}

static void mailbox_zero(void)
{
	stub_doorbell(FORKVM_PORT_BOOTED, 0);
}

static void mailbox_outside(void)
{
	stub_doorbell(FORKVM_PORT_BOOTED, HOSTILE_FAR_MAILBOX);
}

static void mailbox_crosses_end(void)
{
	booted_with_copy(stub_boot->low_ram_end - 64);
}

static void mailbox_unaligned(void)
{
	booted_with_copy(stub_boot->free_start + 8);
}

/* Allowed: all three areas may be empty, and may lie on each other. */
static void areas_empty(void)
{
	area_set(AREA_REQUEST, 0, 0);
	area_set(AREA_CONSOLE, UINT64_MAX, 0);
}

static void areas_overlap(void)
{
	area_set(AREA_CONSOLE, stub_mailbox.response_gpa, 1024);
	area_set(AREA_REQUEST, stub_mailbox.response_gpa, STUB_PAGE_SIZE);
}

static void ready_first(void)
{
	stub_doorbell(FORKVM_PORT_READY, 0);
}

static void done(void)
{
	stub_doorbell(FORKVM_PORT_DONE, STATUS_OF_DONE);
}

static void never(void)
{
	for (;;)
		stub_pause();
}

/* What, and when: in place of BOOTED (or, if it returns, just before it), or before TEMPLATE. */
static const struct boot {
	const char *name;
	enum hostile_end end;
	bool before_booted;
	void (*run)(void); /* a function of this file, or else ... */
	const char *op;	   /* ... one of hostile_ops[] */
} boots[] = {
	{"bad-magic", END_GUEST_ERROR, true, bad_magic, NULL},
	{"bad-version", END_GUEST_ERROR, true, bad_version, NULL},
	{"version-zero", END_GUEST_ERROR, true, version_zero, NULL},
	{"mailbox-zero", END_GUEST_ERROR, true, mailbox_zero, NULL},
	{"mailbox-outside", END_GUEST_ERROR, true, mailbox_outside, NULL},
	{"mailbox-crosses-end", END_GUEST_ERROR, true, mailbox_crosses_end, NULL},
	{"mailbox-unaligned", END_GUEST_ERROR, true, mailbox_unaligned, NULL},
	{"areas-empty", END_OK, true, areas_empty, NULL},
	{"areas-overlap", END_OK, true, areas_overlap, NULL},
	{"template-first", END_GUEST_ERROR, true, NULL, "template-again"},
	{"ready-first", END_GUEST_ERROR, true, ready_first, NULL},
	{"park-first", END_GUEST_ERROR, true, NULL, "park-without-ready"},
	{"console-first", END_GUEST_ERROR, true, NULL, "console-empty"},
	{"done-first", END_GUEST_ERROR, true, done, NULL},
	{"never-booted", END_TIMEOUT, true, never, NULL},
	{"booted-twice", END_GUEST_ERROR, false, NULL, "booted-again"},
	{"ready-before-template", END_GUEST_ERROR, false, ready_first, NULL},
	{"park-before-template", END_GUEST_ERROR, false, NULL, "park-without-ready"},
	{"console-too-long", END_GUEST_ERROR, false, NULL, "console-too-long"},
	{"console-flood", END_OK, false, NULL, "console-flood"},
	{"done", END_DONE, false, done, NULL},
	{"exception", END_DONE, false, NULL, "exception"},
	{"halt", END_SHUTDOWN, false, NULL, "halt"},
	{"triple-fault", END_GUEST_ERROR, false, NULL, "triple-fault"},
	{"unbacked-write", END_GUEST_ERROR, false, NULL, "unbacked-write"},
	{"unbacked-execute", END_GUEST_ERROR, false, NULL, "unbacked-execute"},
	{"never-template", END_TIMEOUT, false, never, NULL},
};
#define BOOTS (sizeof(boots) / sizeof(boots[0]))

/* NULL when no boot= was given. */
static const char *boot_argument(size_t *ret_len)
{
	const char *value;

	if (!args_find(stub_boot->args, stub_boot->args_len, "boot", &value, ret_len))
		return NULL;
	return value;
}

static const struct boot *boot_find(const char *value, size_t len)
{
	for (size_t i = 0; i < BOOTS; i++) {
		if (args_is(value, len, boots[i].name))
			return &boots[i];
	}
	return NULL;
}

/* boot=AREA-FAULT, as in response-wraps. */
static bool area_spoil(const char *value, size_t len)
{
	for (size_t area = 0; area < AREAS; area++) {
		for (size_t fault = 0; fault < AREA_FAULTS; fault++) {
			char name[32];
			struct text text = text_on(name, sizeof(name) - 1);

			text_printf(&text, "%s-%s", area_names[area], area_faults[fault].name);
			name[text.len] = '\0';
			if (args_is(value, len, name)) {
				area_faults[fault].spoil((enum area)area);
				return true;
			}
		}
	}
	return false;
}

static void boot_run(const struct boot *boot)
{
	const struct hostile_op *op;

	if (boot->run != NULL) {
		boot->run();
		return;
	}
	op = hostile_op_find(boot->op, text_length(boot->op));
	if (op != NULL && op->run != NULL)
		op->run();
}

void stub_booted(void)
{
	size_t len;
	const char *value = boot_argument(&len);
	const struct boot *boot = value != NULL ? boot_find(value, len) : NULL;

	if (boot != NULL && boot->before_booted)
		boot_run(boot);
	else if (boot == NULL && value != NULL && !area_spoil(value, len))
		stub_doorbell(FORKVM_PORT_TEMPLATE, 0); /* unknown name: do not come up */
	stub_doorbell(FORKVM_PORT_BOOTED, (uint32_t)(uintptr_t)&stub_mailbox);
}

void stub_setup(void)
{
	size_t len;
	const char *value = boot_argument(&len);
	const struct boot *boot = value != NULL ? boot_find(value, len) : NULL;

	if (boot != NULL && !boot->before_booted)
		boot_run(boot);
}

void hostile_boot_list(struct text *text)
{
	for (size_t i = 0; i < BOOTS; i++)
		text_printf(text, "boot/%s:%s\n", boots[i].name, hostile_end_names[boots[i].end]);
	for (size_t area = 0; area < AREAS; area++) {
		for (size_t fault = 0; fault < AREA_FAULTS; fault++)
			text_printf(text, "boot/%s-%s:%s\n", area_names[area],
				    area_faults[fault].name, hostile_end_names[END_GUEST_ERROR]);
	}
}

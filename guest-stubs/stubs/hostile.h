/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the hostile stub share: hostile.c (requests), hostile_ops.c (misuse in a
 * clone), hostile_boot.c (misuse before the template point) and hostile_spare.c (as a spare).
 */
#ifndef FORKVM_STUB_HOSTILE_H
#define FORKVM_STUB_HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text;

#define HOSTILE_UNBACKED    0xc8000000ull /* between the end of low RAM and the first device */
#define HOSTILE_FAR_MAILBOX 0xfffff000u

/* How it must end: see hostile.c. */
enum hostile_end {
	END_OK,
	END_GUEST_ERROR,
	END_DONE,
	END_SHUTDOWN,
	END_TIMEOUT,
	END_CRASH,
	END_ANY,
	ENDS,
};

extern const char *const hostile_end_names[ENDS];

/* One misuse. If it returns, the VM has survived. */
struct hostile_op {
	const char *name;
	enum hostile_end end;
	void (*run)(void);		  /* one of these two */
	const char *(*run_checked)(void); /* returns what is wrong, or NULL */
	bool has_answered;		  /* it has answered, and taken the next request */
};

extern const struct hostile_op hostile_ops[];
extern const size_t hostile_op_count;

/* NULL for an unknown name. */
const struct hostile_op *hostile_op_find(const char *name, size_t len);

/* Append a line "boot/NAME:END" for each. */
void hostile_boot_list(struct text *text);

/* Append a line "spare/NAME:END" for each. */
void hostile_spare_list(struct text *text);

#endif

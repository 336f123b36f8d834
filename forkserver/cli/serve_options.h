/* SPDX-License-Identifier: MIT */
/*
 * The options of forkvm serve: from words to struct serve_options.
 */
#ifndef FORKVM_FORKSERVER_CLI_SERVE_OPTIONS_H
#define FORKVM_FORKSERVER_CLI_SERVE_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "forkserver/base/log.h"
#include "forkserver/server/options.h"
#include "vmm/base/error.h"

struct serve_command {
	struct serve_options options; /* without name and socket */
	enum log_level log_level;
	bool log_json;
	uint64_t given; /* which options there were, as bits of their place in the table */
};

/* For getopt_long. */
extern const struct option serve_option_table[];

/* What holds where nothing is said. */
void serve_options_init(struct serve_command *command);

/* Take one option, as getopt_long gave it. Errors in words: -EINVAL, -ERANGE, -E2BIG. */
int serve_options_set(struct serve_command *command, int option, const char *value,
		      struct error *error);

/*
 * When all were taken: do they go together? Fills in what depends on the kind of guest. -EINVAL, in
 * words.
 */
int serve_options_finish(struct serve_command *command, struct error *error);

#endif

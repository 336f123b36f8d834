/* SPDX-License-Identifier: MIT */
/*
 * Values of options of `forkvm serve` that are words of their own. All return 0, or -errno with
 * words that name the option.
 */
#ifndef FORKVM_FORKSERVER_CLI_SERVE_VALUES_H
#define FORKVM_FORKSERVER_CLI_SERVE_VALUES_H

#include "forkserver/server/options.h"
#include "vmm/base/error.h"
#include "vmm/machine/machine.h"

/* --slots: auto, all or populated. */
int serve_value_slots(struct machine_config *config, const char *text, struct error *error);

/* --working-set: auto, on or off. */
int serve_value_working_set(enum learning_mode *mode, const char *text, struct error *error);

/* --serial: log, none, stdio, fd:N or a path, which stays the caller's. */
int serve_value_serial(struct serve_serial *serial, const char *text, struct error *error);

/* --template-on: 1 to MACHINE_PATTERN_MAX bytes, which stay the caller's. */
int serve_value_pattern(struct machine_config *config, const char *text, struct error *error);

/* --spares: LOW or LOW:HIGH. */
int serve_value_marks(struct pool_limits *spares, const char *text, struct error *error);

/* --spare-cpus: auto, any, or a list of CPUs. */
int serve_value_spare_cpus(struct spare_cpus_options *cpus, const char *text, struct error *error);

#endif

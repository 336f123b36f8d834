/* SPDX-License-Identifier: MIT */
/*
 * clone_storm: what a client of forkvm sees. What its files share: options, results, and who does
 * what.
 *
 *	options.c  what was asked for                  server.c  a server of its own, when none is
 *given driver.c   sends, verifies, times              check.c   is that the right answer? memory.c
 *what living clones cost             floor.c   the floor's figures, same run table.c, json.c,
 *html.c (plots.c)              the report, for people and for programs
 */
#ifndef FORKVM_BENCH_STORM_STORM_H
#define FORKVM_BENCH_STORM_STORM_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/common/host_record.h"
#include "bench/common/proc.h"
#include "bench/common/samples.h"
#include "bench/common/stubs.h"

struct storm_options {
	const char *stub; /* as given                                                     */
	const char *stub_path;
	uint64_t mem_mib, populate_mib;
	unsigned int cpus;
	size_t count;
	size_t concurrency; /* requests under way at once                                 */
	double rate;	    /* requests a second; 0: closed loop                          */
	bool alive;	    /* keep all clones alive until the last has answered          */
	const char *request;
	size_t request_len;
	const char *socket; /* of a running server; NULL: start one                       */
	unsigned int timeout_s;
	bool floor;
	const char *json, *html; /* NULL: none                                            */
	char command[512];	 /* the command line, for the report                      */
};

/* The stages of a clone, in order; together they are its latency. */
enum storm_stage {
	STORM_REQUEST,	/* client's send to server's fork                        */
	STORM_FORK,	/* to the child's first instruction                      */
	STORM_SETUP,	/* to the start of the VM: the child's own housekeeping  */
	STORM_VM,	/* KVM_CREATE_VM                                         */
	STORM_MEMSLOTS, /* KVM_SET_USER_MEMORY_REGION                            */
	STORM_VCPUS,	/* KVM_CREATE_VCPU                                       */
	STORM_STATE,	/* registers, clocks, identity, request                  */
	STORM_LOCKDOWN, /* to the first KVM_RUN: what is left of the sandbox     */
	STORM_RUN,	/* KVM_RUN to the guest's READY                          */
	STORM_ANSWER,	/* READY to the answer verified by the client            */
	STORM_STAGES,
};

extern const char *const storm_stage_names[STORM_STAGES];

#define STORM_REASONS	   24
#define STORM_REASON_SIZE  120
#define STORM_CURVE_POINTS 40

/* Failures, counted by what they say. */
struct storm_failures {
	size_t total, kinds;
	struct {
		char text[STORM_REASON_SIZE];
		size_t count;
	} reasons[STORM_REASONS];
};

/* What living clones cost, sampled while all of them were alive and had answered. */
struct storm_memory {
	size_t alive, sampled; /* clones alive, and of them looked at one by one        */
	double rss, pss, private, private_dirty, page_tables; /* KiB, mean of the sample */
	struct host_memory before, peak;
	size_t curve_count;
	struct {
		size_t alive;
		long available_kib; /* taken from MemAvailable since before the first clone */
	} curve[STORM_CURVE_POINTS];
};

struct storm_result {
	size_t ok;
	struct storm_failures failures;
	struct samples latency, stages[STORM_STAGES]; /* nanoseconds                     */
	double seconds;				      /* first send to last verified answer */
	double clones_per_s;
	double teardown_per_s; /* 0: not measured                                        */
	struct storm_memory memory;
	struct host_record host;
	json_t *floor; /* what floor wrote, or NULL; owned                               */
};

/* How a report shows the floor. */
struct storm_floor_row {
	const char *name; /* "plain", "lean" */
	const json_t *figures;
};

/* clone_storm.c: a signal asked for the end; what was done so far is reported. */
extern volatile sig_atomic_t storm_interrupted;

/* options.c: ends the program on --help and on what it cannot understand. */
void storm_options_parse(int argc, char **argv, struct storm_options *ret);

/* failures.c: count one failure. */
__attribute__((format(printf, 2, 3))) void storm_fail(struct storm_failures *failures,
						      const char *format, ...);

/* server.c */
struct storm_server {
	pid_t pid;
	char folder[96], socket[108], log[108];
};

/* Start a server for options and wait until it serves. 0, or -1 after saying why on stderr. */
int storm_server_start(const struct storm_options *options, struct storm_server *ret);

/* End it, remove its folder. Says on stderr when it did not end well; returns -1 then. */
int storm_server_stop(struct storm_server *server);

/*
 * driver.c: do what options ask for against the server at socket. 0 when it ran to its end
 * (failures are in the result); -1 after saying on stderr why it could not run.
 */
int storm_drive(const struct storm_options *options, const char *socket,
		struct storm_result *result);

/* floor.c: run floor with the same template; NULL after saying why on stderr. A new reference. */
json_t *storm_floor_run(const struct storm_options *options);

/* The number at figures.object.key; 0 when it is not there. */
double storm_floor_number(const json_t *figures, const char *object, const char *key);

/* Reports. Each sorts the samples. The last two: 0, or -1 after saying why on stderr. */
void storm_report_table(const struct storm_options *options, struct storm_result *result);
json_t *storm_report_json(const struct storm_options *options, struct storm_result *result);
int storm_write_json(const char *path, const json_t *report);
int storm_write_html(const struct storm_options *options, struct storm_result *result);

/* "closed loop, 4 at once", for headings. */
void storm_describe_mode(const struct storm_options *options, char *text, size_t size);

#endif

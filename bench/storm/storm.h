/* SPDX-License-Identifier: MIT */
/*
 * clone_storm: what a client of forkvm sees. What its files share: options, results, and who does
 * what.
 *
 *	options.c  what was asked for		settle.c   what follows from that
 *	refuse.c   what cannot be
 *	server.c   a server of its own		driver.c   sends, verifies, times
 *	check.c    is that the right answer?	memory.c   what living clones cost
 *	floor.c    the floor's figures, and	peers.c	   those of others, in the same run
 *	turns.c    the storm and the floor's own parallel loop, in turns
 *	claims.c   the figures of spares	batches.c  many clones by one message
 *	asleep.c   clones that sleep, and are asked again
 *	table.c, json.c (json_parts.c), html.c (plots.c)	the report, for people and for
 *programs
 */
#ifndef FORKVM_BENCH_STORM_STORM_H
#define FORKVM_BENCH_STORM_STORM_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "bench/common/host_record.h"
#include "bench/common/proc.h"
#include "bench/common/samples.h"
#include "bench/common/stubs.h"

struct peer;
struct storm_turns;

/* By what an answer is judged. */
enum storm_check {
	CHECK_BY_STUB,	   /* as the stub of that name answers                            */
	CHECK_BY_ECHO,	   /* every clone is asked to repeat a word of its own            */
	CHECK_BY_IDENTITY, /* every clone shows its identity, which no other may have     */
	CHECK_BY_ANYTHING, /* whatever it is: not empty                                   */
};

/* A storm for each cell of a grid of templates and numbers of clones, instead of one. */
enum storm_sweep {
	STORM_SWEEP_NONE,
	STORM_SWEEP_FULL,
	STORM_SWEEP_QUICK, /* a grid so small that it shows nothing but that it works */
};

#define STORM_SERVER_OPTIONS 32

struct storm_options {
	const char *stub; /* as given; "linux" for a Linux guest                          */
	const char *stub_path;
	const char *kernel, *initrd, *cmdline; /* of a Linux guest; NULL: none            */
	enum storm_check check;
	const char *server_options[STORM_SERVER_OPTIONS + 1]; /* more for forkvm serve; NULL ends */
	size_t server_option_count;
	uint64_t mem_mib, populate_mib;
	unsigned int cpus;
	size_t count;
	size_t concurrency;	 /* requests under way at once                                 */
	double rate;		 /* requests a second; 0: closed loop                          */
	size_t batch;		 /* clones asked for by one message; 0: one by one               */
	bool alive;		 /* keep all clones alive until the last has answered          */
	const char *sleep_after; /* then until each sleeps, and ask them again; NULL: not      */
	bool no_memory;		 /* no round of living clones for their memory                 */
	enum storm_sweep sweep;
	const char *request;
	size_t request_len;
	const char *socket; /* of a running server; NULL: start one                       */
	unsigned int timeout_s;
	size_t spares; /* that the server keeps; 0: none, and nothing about them               */
	bool reset;    /* and resets                                                           */
	bool floor, peer_qemu, peer_boot;
	size_t peer_count;	 /* clones of a peer                                           */
	const char *qemu;	 /* program; NULL: the best one there is                       */
	const char *json, *html; /* NULL: none                                            */
	char command[512];	 /* the command line, for the report                      */
};

/* The stages of a clone, in order; together they are its latency. */
enum storm_stage {
	STORM_REQUEST,	/* client's send to server's fork                        */
	STORM_FORK,	/* to the child's first instruction                      */
	STORM_SETUP,	/* to the start of the VM: the child's own housekeeping  */
	STORM_VM,	/* KVM_CREATE_VM                                         */
	STORM_POPULATE, /* the working set, copied beforehand                    */
	STORM_MEMSLOTS, /* KVM_SET_USER_MEMORY_REGION                            */
	STORM_VCPUS,	/* KVM_CREATE_VCPU                                       */
	STORM_STATE,	/* registers, clocks, identity, request                  */
	STORM_LOCKDOWN, /* to the first KVM_RUN: what is left of the sandbox     */
	STORM_RUN,	/* KVM_RUN to the guest's READY                          */
	STORM_ANSWER,	/* READY to the answer verified by the client            */
	STORM_STAGES,
};

extern const char *const storm_stage_names[STORM_STAGES];

/* The stages of a spare that was claimed. */
enum storm_claim_stage {
	STORM_CLAIM_SEND,   /* client's send to the server's claim                      */
	STORM_CLAIM_WAKE,   /* to the spare's having it                                 */
	STORM_CLAIM_RUN,    /* to the guest's READY                                     */
	STORM_CLAIM_ANSWER, /* READY to the answer verified by the client               */
	STORM_CLAIM_STAGES,
};

/* The stages of a reset and of the claim that follows it. */
enum storm_reset_stage {
	STORM_RESET_TOLD,   /* the end of the life before to the server's being told   */
	STORM_RESET_LOOK,   /* to knowing what was written                             */
	STORM_RESET_VCPU,   /* to the vCPU's state being the template's                */
	STORM_RESET_RAM,    /* to RAM being the template's                             */
	STORM_RESET_CLAIM,  /* to having the request, for which it may have waited     */
	STORM_RESET_RUN,    /* to the guest's READY                                    */
	STORM_RESET_ANSWER, /* READY to the answer verified by the client              */
	STORM_RESET_STAGES,
};

/* What became of requests to a server that keeps spares. Nanoseconds. */
struct storm_claims {
	size_t waits;		/* times that there was no spare, and the request waited   */
	struct samples claimed; /* latency of those that a spare has served                */
	struct samples missed;	/* of those for which a clone was made                     */
	struct samples all;	/* of all of them                                          */
	struct samples reset;	/* of those that were reset: since their life before had ended  */
	struct samples reset_work; /* of that, what was not waiting for the request        */
	struct samples stages[STORM_CLAIM_STAGES];
	struct samples reset_stages[STORM_RESET_STAGES];
};

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
	bool settled;	       /* free memory had stopped rising before the first clone */
	size_t alive, sampled; /* clones alive, and of them looked at one by one        */
	double rss, pss, private, private_dirty, page_tables; /* KiB, mean of the sample */
	struct host_memory before, peak;
	size_t curve_count;
	struct {
		size_t alive;
		long available_kib; /* taken from MemAvailable since before the first clone */
	} curve[STORM_CURVE_POINTS];
};

/* What clones that sleep cost, and what waking one takes. */
struct storm_asleep {
	double seconds; /* from the last answer until all slept */
	struct storm_memory memory;
	struct samples woken; /* nanoseconds, from the next request to its verified answer */
};

struct storm_result {
	size_t ok;
	struct storm_failures failures;
	struct samples latency, stages[STORM_STAGES]; /* nanoseconds; of made clones     */
	struct storm_claims claims;
	double seconds; /* first send to last verified answer */
	double clones_per_s;
	double ended_per_s;    /* the same to the last end; 0: clones were kept alive    */
	double teardown_per_s; /* 0: not measured                                        */
	struct storm_memory memory;
	struct storm_asleep asleep; /* with --sleep-after */
	struct host_record host;
	struct storm_turns *turns; /* NULL where not asked for; owned                    */
	json_t *floor; /* what floor wrote, or NULL; owned                               */
	struct peer *qemu, *boot; /* NULL where not asked for; owned                     */
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

/* settle.c: fill in what was left open, refuse what does not go together. */
void storm_options_settle(struct storm_options *options);

/* refuse.c: say on stderr what cannot be, and end the program. */
_Noreturn __attribute__((format(printf, 1, 2))) void storm_refuse(const char *format, ...);

/* failures.c: count one failure. */
__attribute__((format(printf, 2, 3))) void storm_fail(struct storm_failures *failures,
						      const char *format, ...);

/* server.c */
struct storm_server {
	pid_t pid;
	char folder[96], socket[108], log[108];
	uint64_t boot_ns; /* from its start until it served */
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

#define STORM_FLOOR_WORKERS_MAX 1024

/* floor.c: run floor's parallel loop only, for count clones of each variant. As above. */
json_t *storm_floor_parallel(const struct storm_options *options, unsigned int workers,
			     size_t count);

/* The number at figures.object.key; 0 when it is not there. */
double storm_floor_number(const json_t *figures, const char *object, const char *key);

/* peers.c: run those that were asked for. -1 after saying why one could not be run. */
int storm_peers_run(const struct storm_options *options, struct storm_result *result);

/* Did clones of a peer fail? */
bool storm_peers_failed(const struct storm_result *result);

/* The peers of a result, as an array that NULL ends. */
void storm_peers_list(const struct storm_result *result, struct peer *ret[3]);

/* claims.c: parts of the reports about spares, and their end. */
void storm_claims_table(struct storm_result *result);
json_t *storm_claims_json(struct storm_result *result);
void storm_claims_html(FILE *page, struct storm_result *result);
void storm_claims_done(struct storm_claims *claims);

/* json_parts.c: parts of the JSON report. New references. */
json_t *storm_summary_json(const struct summary *summary);
json_t *storm_failures_json(const struct storm_failures *failures);
json_t *storm_memory_json(const struct storm_memory *memory);

/* Parts about peers: table.c's, json.c's and html.c's. */
void storm_peers_table(struct storm_result *result);
json_t *storm_peers_json(struct storm_result *result);
void storm_peers_html(FILE *page, struct storm_result *result);

/* Reports. Each sorts the samples. The last two: 0, or -1 after saying why on stderr. */
void storm_report_table(const struct storm_options *options, struct storm_result *result);
json_t *storm_report_json(const struct storm_options *options, struct storm_result *result);
int storm_write_json(const char *path, const json_t *report);
int storm_write_html(const struct storm_options *options, struct storm_result *result);

/* "echo", as on the command line. */
const char *storm_check_name(enum storm_check check);

/* "closed loop, 4 at once", for headings. */
void storm_describe_mode(const struct storm_options *options, char *text, size_t size);

#endif

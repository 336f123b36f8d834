/* SPDX-License-Identifier: MIT */
/*
 * How many clones can be alive on this host, by which limit, and how that is raised. A limit that
 * is met in the middle of a storm shows as a refusal or a failure somewhere; told beforehand it is
 * a line for the operator.
 *
 * Theory of operation. Each limit is a pool: so much there may be, so much is in use, and a clone
 * takes so much more. The pool that is used up first is the tightest. What a clone takes is known
 * (tasks, descriptors) or estimated (memory); readings are of the moment before the server locks
 * itself down, with the template in memory and no clone alive.
 */
#ifndef FORKVM_FORKSERVER_POLICY_LIMITS_H
#define FORKVM_FORKSERVER_POLICY_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define LIMITS_PATH_SIZE 512u
#define LIMITS_TEXT_SIZE 1024u

/* What is counted: tasks (processes and threads), descriptors, KiB. */
enum limits_kind {
	LIMITS_OPEN_FILES,    /* RLIMIT_NOFILE: the server's pidfds              */
	LIMITS_PID_MAX,	      /* kernel.pid_max: tasks                           */
	LIMITS_THREADS_MAX,   /* kernel.threads-max: tasks                       */
	LIMITS_USER_TASKS,    /* RLIMIT_NPROC: tasks of this user                */
	LIMITS_CGROUP_PIDS,   /* pids.max of a cgroup that the server is in      */
	LIMITS_FILE_MAX,      /* fs.file-max: open files of the whole host       */
	LIMITS_MEMORY,	      /* MemAvailable: KiB                               */
	LIMITS_CGROUP_MEMORY, /* memory.max, or memory.limit_in_bytes: KiB       */
	LIMITS_COMMIT,	      /* CommitLimit with vm.overcommit_memory=2: KiB    */
	LIMITS_COUNT_
};

struct limits_pool {
	uint64_t limit; /* UINT64_MAX: there is none */
	uint64_t used;	/* of it, so far             */
};

struct limits_readings {
	struct limits_pool pools[LIMITS_COUNT_];
	/* The file that sets LIMITS_CGROUP_PIDS and LIMITS_CGROUP_MEMORY. */
	char cgroup_pids[LIMITS_PATH_SIZE], cgroup_memory[LIMITS_PATH_SIZE];
};

/* What clones of a template are made of. */
struct limits_clone {
	unsigned int vcpus;
	unsigned int further_threads; /* of its process                                  */
	unsigned int kernel_tasks;    /* that KVM makes for its VM                       */
	uint64_t ram_size;	      /* bytes                                           */
	uint64_t slot_bytes;	      /* of RAM that has a memslot from the start        */
	uint64_t reverse_map_bytes;   /* kernel memory for each MiB of slot             */
	uint64_t base_kib;	      /* of the host's memory, whatever the guest does   */
};

struct limits_verdict {
	uint64_t needs[LIMITS_COUNT_];	/* what one clone takes of each pool             */
	uint64_t clones[LIMITS_COUNT_]; /* for which each has room; UINT64_MAX: any      */
	enum limits_kind tightest;
};

/* What a server keeps of it. */
struct limits {
	struct limits_readings readings;
	struct limits_verdict verdict;
};

/* Work it out. Of equally tight limits the first in the enum is named. */
void limits_judge(const struct limits_readings *readings, const struct limits_clone *clone,
		  struct limits_verdict *ret);

/* For how many clones the tightest limit has room. */
static inline uint64_t limits_clones(const struct limits_verdict *verdict)
{
	return verdict->clones[verdict->tightest];
}

/* "pid_max", for programs, and "kernel.pid_max", for people. Static. */
const char *limits_key(enum limits_kind kind);
const char *limits_name(enum limits_kind kind);

/* "32768, of which 290 are in use; a clone takes 2": why it is as tight as it is. */
void limits_describe(const struct limits_readings *readings, const struct limits_verdict *verdict,
		     enum limits_kind kind, char ret[LIMITS_TEXT_SIZE]);

/* The command, or what else raises it. */
void limits_remedy(const struct limits_readings *readings, enum limits_kind kind,
		   char ret[LIMITS_TEXT_SIZE]);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What a reader must know of the host to judge a figure taken on it.
 */
#ifndef FORKVM_BENCH_COMMON_HOST_RECORD_H
#define FORKVM_BENCH_COMMON_HOST_RECORD_H

#include <jansson.h>

#define HOST_TEXT 160

/* Texts are "unknown" where the host does not say. */
struct host_record {
	char kernel[HOST_TEXT];	       /* release                                            */
	char kernel_build[HOST_TEXT];  /* version: build number, preemption model            */
	int hz;			       /* ticks a second; 0: unknown                         */
	char kvm_module[HOST_TEXT];    /* kvm_intel, kvm_amd, kvm_pvm                        */
	char paging[HOST_TEXT];	       /* "ept", "npt" or "shadow"                           */
	char nx_huge_pages[HOST_TEXT]; /* KVM's iTLB-multihit workaround                    */
	char cpu[HOST_TEXT];	       /* model name                                         */
	int cpus;		       /* that this process may use                          */
	long memory_mib;
	char thp[HOST_TEXT];	    /* transparent huge pages, private memory             */
	char thp_shmem[HOST_TEXT];  /* the same, shared memory: memfds                    */
	char cgroup[HOST_TEXT];	    /* version, and the controllers of this process's     */
	char overcommit[HOST_TEXT]; /* vm.overcommit_memory                               */
	char clocksource[HOST_TEXT];
	char idle[HOST_TEXT]; /* the governor of idle CPUs */
	long cpu_latency_us;  /* the limit on their waking up (cpu_latency.h) */
	long max_files;	      /* RLIMIT_NOFILE, hard */
};

void host_record_take(struct host_record *ret);

/* A new reference. */
json_t *host_record_json(const struct host_record *record);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * How long idle CPUs may take to wake up: the kernel's limit for all of them, on which figures of
 * tens of microseconds depend (Documentation/power/pm_qos_interface.rst).
 */
#ifndef FORKVM_BENCH_COMMON_CPU_LATENCY_H
#define FORKVM_BENCH_COMMON_CPU_LATENCY_H

#define CPU_LATENCY_UNKNOWN (-1L)
#define CPU_LATENCY_ANY	    2000000000L /* include/linux/pm_qos.h, PM_QOS_CPU_LATENCY_DEFAULT_VALUE */

/* The limit there is now, in microseconds. */
long cpu_latency_read(void);

/* Have at most us microseconds, until this process ends. 0, or -errno of open(2). */
int cpu_latency_hold(unsigned int us);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What an init must do before anything else works: file systems, standard input and output, the
 * loopback interface.
 */
#ifndef FORKVM_AGENT_MOUNTS_H
#define FORKVM_AGENT_MOUNTS_H

/*
 * Mount what is not mounted yet: /dev (devtmpfs), /dev/pts, /proc, /sys, /run, /tmp,
 * /sys/fs/cgroup. What cannot be mounted is told in the log; the guest goes on without.
 */
void mounts_make(void);

/* Standard input, output and error are /dev/console from here on. -errno. */
int mounts_open_console(void);

/* Bring "lo" up. -errno. */
int mounts_loopback(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Where a distribution keeps its machine id.
 */
#ifndef FORKVM_AGENT_MACHINE_ID_H
#define FORKVM_AGENT_MACHINE_ID_H

#define MACHINE_ID_PATH "/etc/machine-id"

/*
 * Write the 32 digits to /etc/machine-id; when that is on a read-only file system, to a file in
 * /run that is mounted over it. D-Bus' own file gets them too if it is one by itself. -errno.
 */
int machine_id_write(const char *digits);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What the server sees of a clone's process: where it begins.
 */
#ifndef FORKVM_FORKSERVER_CHILD_CHILD_RUN_H
#define FORKVM_FORKSERVER_CHILD_CHILD_RUN_H

/* What the child of the fork does, to its end; its argument is the struct launch (launch.h). */
_Noreturn void child_run(const void *launch);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Ends: see end.h. reboot(2).
 */
#include "guest-stubs/agent/end.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "guest-stubs/agent/log.h"
#include "guest-stubs/agent/spawn.h"

/* How long processes get to end by themselves, in steps of 10 ms. */
#define GRACE_STEPS 100

static bool is_init(void)
{
	return getpid() == 1;
}

/* All processes but init. */
static void end_processes(void)
{
	const struct timespec step = {.tv_nsec = 10L * 1000 * 1000};

	kill(-1, SIGTERM);
	for (int i = 0; i < GRACE_STEPS; i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return;
		nanosleep(&step, NULL);
	}
	kill(-1, SIGKILL);
}

/* Init does it itself; a service asks the init there is, by the command that each has. */
static void switch_off(int how, const char *command)
{
	sigset_t none;

	if (is_init()) {
		end_processes();
		sync();
		/* What is on disk then needs no repair. Not all of them can be made read-only. */
		mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
		reboot(how);
		log_error("reboot: %s", strerror(errno));
		return;
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl(command, command, (char *)NULL);
	log_error("%s: %s", command, strerror(errno));
}

_Noreturn void end_now(struct mailbox *box, enum end_action action, enum end_status status)
{
	log_debug("the end, status %d", (int)status);
	if (action == END_STAY)
		spawn_wait_for_end();
	sync();
	if (action == END_DONE && box)
		mailbox_done(box, status);
	if (action == END_REBOOT)
		switch_off(RB_AUTOBOOT, "/sbin/reboot");
	else if (action == END_HALT)
		switch_off((int)RB_HALT_SYSTEM, "/sbin/halt");
	else if (action == END_POWEROFF || is_init())
		switch_off(RB_POWER_OFF, "/sbin/poweroff");
	/* An init that exits is a kernel that panics. */
	while (is_init())
		pause();
	exit((int)status);
}

_Noreturn void end_failed(struct mailbox *box, enum end_status status)
{
	if (box && box->shared && !box->booted)
		mailbox_boot(box);
	end_now(box, END_DONE, status);
}

/* SPDX-License-Identifier: MIT */
/*
 * forkvm-agent: makes a Linux guest a template, and each clone of it a machine of its own. It is
 * init, or a service of a distribution. README.md draws its life, forkvm-agent(8) has the options,
 * guest-stubs/stub_abi.h the contract with the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest-stubs/agent/clock.h"
#include "guest-stubs/agent/end.h"
#include "guest-stubs/agent/file.h"
#include "guest-stubs/agent/freezer.h"
#include "guest-stubs/agent/hooks.h"
#include "guest-stubs/agent/log.h"
#include "guest-stubs/agent/mailbox.h"
#include "guest-stubs/agent/modules.h"
#include "guest-stubs/agent/mounts.h"
#include "guest-stubs/agent/options.h"
#include "guest-stubs/agent/pretend.h"
#include "guest-stubs/agent/renew.h"
#include "guest-stubs/agent/request.h"
#include "guest-stubs/agent/spawn.h"

#define CMDLINE_SIZE 4096

/* Clocks differ by 20 millionths or so: by then it is some tenths of a millisecond. */
#define LONG_PARK_NS (10 * 1000000000ull)

struct agent {
	bool init; /* process 1 */
	struct options options;
	struct mailbox box;
	struct pretend pretend;
	struct hooks hooks;
	struct freezer freezer;
	struct renewal renewal;
	struct identity identity;
	struct environment environment;
	int console;		    /* for --serial-console, or -1 */
	char cmdline[CMDLINE_SIZE]; /* options point into it */
};

static void start(struct agent *agent)
{
	int rc = spawn_init();

	agent->init = getpid() == 1;
	agent->console = -1;
	if (agent->init) {
		mounts_make();
		mounts_open_console();
		if (mounts_loopback() < 0)
			log_warn("the loopback interface is down: %s", strerror(errno));
	}
	if (rc < 0) {
		log_error("signals: %s", strerror(-rc));
		end_failed(NULL, STATUS_FAILED);
	}
}

static void read_options(struct agent *agent, int argc, char **argv)
{
	struct options_error error;
	int rc = file_read("/proc/cmdline", agent->cmdline, sizeof(agent->cmdline));

	options_init(&agent->options);
	if (rc < 0)
		log_warn("/proc/cmdline: %s", strerror(-rc));
	rc = options_from_cmdline(&agent->options, agent->cmdline, &error);
	if (rc == 0)
		rc = options_from_argv(&agent->options, argc, argv, agent->init, &error);
	if (rc < 0) {
		log_error("%s", error.text);
		end_failed(NULL, STATUS_USAGE);
	}
	log_set_verbose(agent->options.verbose);
	if (agent->options.help) {
		options_print_usage(STDOUT_FILENO);
		end_now(NULL, END_EXIT, STATUS_OK);
	}
}

/* A pretended clone that is not a whole machine leaves the one it runs on alone. */
static bool is_harmless(const struct agent *agent)
{
	return agent->options.pretend_clone && !agent->init;
}

static void open_mailbox(struct agent *agent)
{
	struct mailbox_error error = {"no memory"};
	int rc;

	if (is_harmless(agent)) {
		agent->options.reseed = agent->options.clock = false;
		agent->options.hostname = agent->options.machine_id = false;
		rc = mailbox_open_private(&agent->box, &pretend_bells, &agent->pretend);
	} else {
		rc = mailbox_open(&agent->box, &error);
	}
	if (rc < 0) {
		log_error("%s", error.text);
		end_now(NULL, agent->options.absent, STATUS_FAILED);
	}
	if (agent->options.pretend_clone)
		pretend_take_bells(&agent->pretend, &agent->options, &agent->box);
}

static void run_setup(struct agent *agent)
{
	environment_init(&agent->environment, environ);
	for (size_t i = 0; i < agent->options.setup.count; i++) {
		const char *line = agent->options.setup.items[i];
		struct command command = {.envp = agent->environment.variables};
		struct outcome outcome;
		char words[64];
		int rc;

		log_debug("setup: %s", line);
		rc = spawn_shell(line, &command, &outcome);
		if (rc == 0 && outcome_is_success(&outcome))
			continue;
		log_error("setup '%.100s': %s", line,
			  rc < 0 ? strerror(-rc)
				 : outcome_describe(&outcome, words, sizeof(words)));
		end_failed(&agent->box, STATUS_SETUP);
	}
}

/* Everything a clone will need is made, opened, read, and in memory. */
static void prepare(struct agent *agent)
{
	int rc = renew_prepare(&agent->renewal, &agent->options);

	if (rc < 0) {
		log_error("/dev/urandom: %s", strerror(-rc));
		end_failed(&agent->box, STATUS_FAILED);
	}
	if (agent->options.serial_console)
		agent->console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (agent->options.hooks) {
		rc = hooks_find(&agent->hooks, agent->options.hooks_dir);
		if (rc < 0)
			log_warn("%s: %s", agent->options.hooks_dir, strerror(-rc));
	}
	if (freezer_stop(&agent->freezer, &agent->options.freeze) < 0) {
		freezer_go(&agent->freezer);
		end_failed(&agent->box, STATUS_FAILED);
	}
	sync();
	if (mlockall(MCL_CURRENT) < 0)
		log_warn("mlockall: %s", strerror(errno));
}

/* First before all others: the template point and what a clone must do at once. */
static void run_first(bool first)
{
	const struct sched_param param = {.sched_priority =
						  first ? sched_get_priority_max(SCHED_FIFO) : 0};

	if (sched_setscheduler(0, (first ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK,
			       &param) < 0)
		log_debug("sched_setscheduler: %s", strerror(errno));
}

static void be_no_clone(struct agent *agent, const char *why)
{
	run_first(false);
	freezer_go(&agent->freezer);
	log_error("%s: there will be no clones of this guest", why);
	end_now(&agent->box, agent->options.absent, STATUS_FAILED);
}

/* Returns in a clone. */
static void stand_at_template_point(struct agent *agent)
{
	struct mailbox *box = &agent->box;
	enum log_target target = agent->options.log;

	if (!agent->options.pretend_clone && !mailbox_in_place(box)) {
		log_error("the kernel has moved the mailbox: free some memory for a huge page");
		end_failed(NULL, STATUS_FAILED);
	}
	mailbox_boot(box);
	if (!box->present)
		be_no_clone(agent, "this is not a guest of forkvm (no doorbell answers)");
	if (target != LOG_CONSOLE)
		log_set_sink(mailbox_console, box, target == LOG_HOST);
	log_debug("the template point");
	run_first(true);
	if (!mailbox_template(box))
		be_no_clone(agent, "the host went on without a template");
}

static void become_clone(struct agent *agent)
{
	const struct options *options = &agent->options;

	log_debug("a clone wakes");
	renew_now(&agent->renewal, &agent->box, &agent->identity);
	log_debug("clone %" PRIu64 ": renewed", agent->identity.given.clone_id);
	run_first(false);
	environment_init(&agent->environment, environ);
	environment_add_identity(&agent->environment, &agent->identity,
				 agent->box.shared->request_seq);
	hooks_run(&agent->hooks, &agent->identity, &agent->environment, options->hook_timeout_s);
	if (agent->identity.hooks_failed && options->hooks_must_succeed) {
		log_error("%u of %u hooks failed", agent->identity.hooks_failed,
			  agent->identity.hooks_run);
		end_failed(&agent->box, STATUS_HOOKS);
	}
	log_debug("%u hooks run", agent->identity.hooks_run);
	freezer_go(&agent->freezer);
	if (agent->console >= 0)
		dprintf(agent->console, "%s\n", options->serial_console);
}

/*
 * Wait for the next request; false: there will be none. After a long wait the clock is set again:
 * it may have drifted meanwhile, or the host's may have been set.
 */
static bool park(struct agent *agent)
{
	struct identity_times before, after;

	clock_read(&before);
	if (!mailbox_park(&agent->box))
		return false;
	clock_read(&after);
	if (agent->options.clock && after.boottime_ns - before.boottime_ns > LONG_PARK_NS) {
		int rc = clock_follow_host(&agent->box);

		if (rc < 0)
			log_warn("setting the clock after a wait: %s", strerror(-rc));
	}
	return true;
}

static void serve(struct agent *agent)
{
	const struct options *options = &agent->options;
	bool poweroff = false;

	/* A spare: all that can be done without a request is done. */
	if (agent->box.shared->request_seq == 0 && !park(agent))
		return;
	do {
		size_t length = request_answer(&agent->box, options, &agent->identity, &poweroff);

		mailbox_ready(&agent->box, length);
		if (options->once)
			end_now(&agent->box, END_DONE, STATUS_OK);
		if (poweroff)
			end_now(&agent->box, END_POWEROFF, STATUS_OK);
		if (options->stay)
			spawn_wait_for_end();
	} while (!spawn_poll() && park(agent));
}

int main(int argc, char **argv)
{
	static struct agent agent;

	start(&agent);
	read_options(&agent, argc, argv);
	if (!is_harmless(&agent))
		modules_insert(&agent.options);
	open_mailbox(&agent);
	run_setup(&agent);
	prepare(&agent);
	stand_at_template_point(&agent);
	become_clone(&agent);
	serve(&agent);
	end_now(&agent.box, agent.options.end, STATUS_OK);
}

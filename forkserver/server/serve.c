/* SPDX-License-Identifier: MIT */
/*
 * The whole of a server's life.
 */
#include "forkserver/server/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forkserver/base/cradle.h"
#include "forkserver/base/fork.h"
#include "forkserver/base/gate.h"
#include "forkserver/base/log.h"
#include "forkserver/base/private.h"
#include "forkserver/base/procfs.h"
#include "forkserver/base/sys.h"
#include "forkserver/sandbox/sandbox.h"
#include "forkserver/server/descriptors.h"
#include "forkserver/server/limits_tell.h"
#include "forkserver/server/server.h"
#include "forkserver/server/spare_cpus.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* What SIGTERM and SIGINT do: wake the loop by the eventfd. */
static int stop_eventfd = -1;

static void on_stop_signal(int signal)
{
	const uint64_t one = 1;
	int saved = errno;

	(void)signal;
	if (stop_eventfd >= 0)
		(void)!write(stop_eventfd, &one, sizeof(one));
	errno = saved;
}

static int prepare_signals(struct server *server, struct error *error)
{
	struct sigaction stop = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->wake_fd < 0)
		return error_set_errno(error, errno, "eventfd");
	stop_eventfd = server->wake_fd;
	/* A client that leaves is an error of the write to it, here and in clones. */
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigaction(SIGTERM, &stop, NULL) < 0 ||
	    sigaction(SIGINT, &stop, NULL) < 0)
		return error_set_errno(error, errno, "sigaction");
	return 0;
}

static int open_reports(struct server *server, struct error *error)
{
	const int on = 1;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(error, errno, "socketpair");
	/* If the first is at the place of the writing end, let it be that. */
	if (pair[0] == FD_REPORT) {
		pair[0] = pair[1];
		pair[1] = FD_REPORT;
	}
	server->report_fd = pair[0];
	if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return error_set_errno(error, errno, "SO_PASSCRED");
	return descriptors_place(&pair[1], FD_REPORT, error);
}

/* Connections never get more than half of the descriptors: idle ones would starve clones. */
static void cap_connections(struct serve_options *options)
{
	uint64_t most = max_u64(descriptors_to_share() / 2, 1);

	if (options->max_connections <= most)
		return;
	log_warning("--max-connections is cut to %llu, for which the limit on open files has room",
		    (unsigned long long)most);
	options->max_connections = (unsigned int)most;
}

/* How many clones the limit on open files leaves room for, or fewer if the operator says so. */
static unsigned int clones_possible(const struct serve_options *options)
{
	/* Spares have two descriptors each, and others may take their places before they have
	 * ended. */
	uint64_t taken = options->max_connections + 4 * (uint64_t)options->spares.high;
	uint64_t room = descriptors_to_share();

	room = room > taken ? room - taken : 1;
	room = min_u64(room, SERVE_MAX_CLONES_LIMIT);
	if (options->max_clones && options->max_clones < room)
		room = options->max_clones;
	return (unsigned int)room;
}

static int allocate(struct server *server, struct error *error)
{
	const struct serve_options *options = server->options;
	unsigned int capacity = clones_possible(options);
	int rc;

	if (options->max_clones > capacity)
		log_warning("--max-clones is cut to %u, for which the limit on open files has room",
			    capacity);
	rc = spare_cpus_init(server, error);
	if (rc < 0)
		return rc;
	rc = pool_init(&server->pool, options, server->cpus);
	if (rc == 0)
		rc = clones_init(&server->clones, capacity, pool_further_records(&server->pool));
	if (rc == 0)
		rc = timers_init(&server->timers, (size_t)server->clones.record_count +
							  2 * (size_t)options->max_connections +
							  POOL_WAITS + 8);
	if (rc == 0)
		rc = private_json_init();
	if (rc == 0)
		rc = learning_init(&server->learning, options->working_set);
	if (rc < 0)
		return error_set(error, ENOMEM, "no memory for the records of %u clones", capacity);
	return 0;
}

/* What was inherited and is needed moves up; everything else is closed. */
static int take_descriptors(struct server *server, struct serve_options *options,
			    struct error *error)
{
	struct template *template = &server->template;
	const struct descriptor_kept kept[] = {
		{&options->ready_fd, "--ready-fd"},
		{&template->serial.in_fd, "--serial"},
		{&template->serial.out_fd, "--serial"},
	};
	int rc = template_claim_serial(template, &options->serial, error);

	if (rc == 0)
		rc = descriptors_clear(kept, ARRAY_SIZE(kept), error);
	if (rc == 0)
		rc = template_open_serial(template, &options->serial, error);
	return rc;
}

/* Everything that is not the template. */
static int prepare(struct server *server, struct serve_options *options, struct error *error)
{
	int rc = gate_init();

	if (rc < 0)
		return error_set_errno(error, -rc, "cannot make the gate");
	rc = cradle_init();
	if (rc < 0)
		return error_set_errno(error, -rc, "cannot make the cradle");
	umask(077);
	rc = take_descriptors(server, options, error);
	if (rc == 0)
		rc = server_disks_reserve(&options->disks, error);
	if (rc == 0)
		rc = kvm_host_open(options->device, &server->host, error);
	if (rc == 0)
		rc = descriptors_place(&server->host->fd, FD_KVM, error);
	if (rc == 0)
		rc = open_reports(server, error);
	if (rc == 0)
		rc = prepare_signals(server, error);
	if (rc == 0)
		rc = listener_init(&server->listener, options->socket,
				   options->allowed_uid_count > 0, error);
	if (rc == 0) {
		cap_connections(options);
		rc = allocate(server, error);
	}
	return rc;
}

static int open_loop(struct server *server, struct error *error)
{
	int rc;

	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->reserve_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, FD_HIGH);
	if (server->epoll_fd < 0 || server->reserve_fd < 0)
		return error_set_errno(error, errno, "cannot set the event loop up");
	/* Without it an out-of-memory kill is just a kill. */
	server->vmstat_fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	(void)procfs_oom_kills(server->vmstat_fd, &server->clones.oom_kills);
	server->wake_watch.kind = WATCH_WAKE;
	server->listener_watch.kind = WATCH_LISTENER;
	rc = watch_add(server->epoll_fd, server->wake_fd, &server->wake_watch, EPOLLIN);
	if (rc == 0)
		rc = watch_add(server->epoll_fd, server->listener.fd, &server->listener_watch,
			       EPOLLIN);
	if (rc < 0)
		return error_set_errno(error, -rc, "epoll_ctl");
	if (server->options->cpu_latency_us >= 0)
		rc = cpu_latency_open(&server->cpu_latency, CPU_LATENCY_DEVICE,
				      server->options->cpu_latency_us, error);
	if (rc < 0)
		return rc;
	/* EPERM or ENOSYS: then each clone starts with a copy of the table, which takes longer. */
	server->clones.can_loan = sys_compare_files(server->pid, server->pid) == 0;
	return 0;
}

/*
 * Rings that are made late: for clones without a thread for their devices (others have theirs
 * polled from the beginning, and take much longer to make anyway).
 */
static bool wants_rings(const struct server *server)
{
	return server->options->disks.count > 0 && !server->options->disks.no_io_uring &&
	       machine_extra_threads(server->machine) == 0 && rings_learn();
}

static int enter_sandbox(struct server *server, struct sandbox_needs *needs, struct error *error)
{
	int rings_fd, rc;

	if (needs->disks) {
		needs->files = server->disks.plan->any_late;
		needs->rings = wants_rings(server);
	}
	rc = sandbox_enter(needs, &rings_fd, error);
	if (rc < 0)
		return rc;
	if (!sandbox_available())
		log_warning("this build (sanitizer or coverage) runs without its sandbox");
	return rings_fd >= 0 ? rings_serve(server, rings_fd, error) : 0;
}

/* What depends on the guest, and is known now. */
static int refuse_impossible(const struct server *server, struct error *error)
{
	const struct serve_options *options = server->options;
	const char *no_reset = options->reset ? machine_cannot_reset(server->machine) : NULL;
	const char *no_sleep =
		options->sleep_after_ms ? machine_cannot_sleep(server->machine) : NULL;

	if (no_reset)
		return error_set(error, EINVAL, "--reset is not possible with this guest: %s",
				 no_reset);
	if (no_sleep)
		return error_set(error, EINVAL, "--sleep-after is not possible with this guest: %s",
				 no_sleep);
	return 0;
}

/* From here on the process has one thread and forks. */
static int lock_down(struct server *server, struct error *error)
{
	struct sandbox_needs needs = {
		.threads = machine_extra_threads(server->machine) > 0,
		.lines = machine_has_irq_lines(server->machine) &&
			 machine_extra_threads(server->machine) == 0,
		.disks = server->options->disks.count > 0,
		.spares = server->options->spares.high > 0,
		.resets = server->options->reset,
	};
	int rc = refuse_impossible(server, error);

	if (rc < 0)
		return rc;
	rc = server_disks_settle(server, error);
	if (rc == 0)
		rc = fork_prepare(needs.threads, error);
	if (rc < 0)
		return rc;
	limits_take(server);
	/* Before the filter: it needs one of its own. */
	anchor_start(server);
	spare_cpus_leave_making(server);
	rc = enter_sandbox(server, &needs, error);
	if (rc < 0)
		return rc;
	server->serving = true;
	server->boot.served_ns = now_ns();
	return 0;
}

static void announce(const struct server *server, int ready_fd)
{
	log_info("ready: serving clones of %s on %s as process %d", template_image(server->options),
		 server->options->socket, server->pid);
	if (ready_fd < 0)
		return;
	if (write(ready_fd, "ready\n", 6) != 6)
		log_warning("nobody reads --ready-fd");
	close(ready_fd);
}

/* From an image to a frozen template, with clients listened to meanwhile. */
static int boot(struct server *server, struct error *error)
{
	int rc;

	server->boot.started_ns = now_ns();
	rc = template_load(server, error);
	if (rc == 0)
		rc = open_loop(server, error);
	if (rc == 0)
		rc = listener_open(&server->listener, error);
	if (rc == 0)
		rc = boot_start(server, error);
	if (rc == 0)
		rc = server_loop(server, error);
	if (rc == 0)
		rc = boot_finish(server, error);
	if (rc == 0)
		rc = lock_down(server, error);
	return rc;
}

static int run(struct server *server, struct serve_options *options, struct error *error)
{
	int rc = prepare(server, options, error);

	if (rc < 0)
		return rc;
	server->now_ns = now_ns();
	server->metrics.started_ns = server->now_ns;
	rc = boot(server, error);
	server->now_ns = now_ns();
	if (rc == 0)
		announce(server, options->ready_fd);
	boot_tell(server, rc, error);
	if (rc == 0)
		rc = server_loop(server, error);
	conns_done(server);
	return rc;
}

static struct server *server_new(const struct serve_options *options)
{
	struct server *server = private_map(sizeof(*server));

	if (!server)
		return NULL;
	server->options = options;
	server->pid = getpid();
	server->uid = geteuid();
	server->epoll_fd = -1;
	server->wake_fd = -1;
	server->report_fd = -1;
	server->vmstat_fd = -1;
	server->reserve_fd = -1;
	server->listener.fd = -1;
	server->listener.lock_fd = -1;
	template_init(&server->template);
	server_disks_init(&server->disks);
	rings_init(&server->rings);
	boot_init(&server->boot);
	anchor_init(&server->anchor);
	conns_init(&server->conns);
	cpu_latency_init(&server->cpu_latency);
	return server;
}

static void server_free(struct server *server)
{
	anchor_done(&server->anchor);
	listener_done(&server->listener);
	machine_free(server->machine);
	template_done(&server->template);
	server_disks_done(&server->disks);
	rings_done(&server->rings);
	kvm_host_close(server->host);
	if (server->clones.records)
		clones_done(&server->clones);
	pool_done(&server->pool);
	spare_cpus_done(server);
	learning_done(&server->learning);
	if (server->timers.heap)
		timers_done(&server->timers);
	fd_close(&server->epoll_fd);
	stop_eventfd = -1;
	fd_close(&server->wake_fd);
	fd_close(&server->report_fd);
	fd_close(&server->vmstat_fd);
	cpu_latency_done(&server->cpu_latency);
	fd_close(&server->reserve_fd);
	private_unmap(server, sizeof(*server));
}

int serve(const struct serve_options *options, struct error *error)
{
	struct serve_options own = *options; /* ready_fd moves */
	struct server *server = server_new(&own);
	int rc;

	if (!server)
		return error_set_errno(error, errno, "no memory for the server");
	rc = run(server, &own, error);
	if (rc == 0)
		log_info("stopped: %lu clones were made", server->metrics.clones_started);
	server_free(server);
	return rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * clockwatch: do the clocks of a guest ever step back, and do timers fire once and on time?
 *
 *	clockwatch watch FILE SECONDS	from now on, for ever; timers are due in SECONDS
 *	clockwatch read FILE		what it has seen so far, as JSON
 *
 * A thread pinned to each CPU reads every clock over and over, in short bursts so that the guest
 *has time for other things. Each reading must be at least the thread's last one, and at least the
 * largest that any CPU had published before this reading began. All of it lies in FILE, which both
 * map. A thread each waits for a timer, and for half a second more in case it fires again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define NS_PER_S   1000000000ull
#define CPUS_MAX   64u
#define TIMERS_MAX (CPUS_MAX + 8u)
#define BURST	   200

enum way {
	VDSO,
	SYSCALL,
	TSC
};

static const struct clock {
	const char *name;
	enum way way;
	clockid_t id;
	unsigned int scale; /* clocks of one scale must agree on before and after */
} clocks[] = {
	{"monotonic", VDSO, CLOCK_MONOTONIC, 0}, {"monotonic_syscall", SYSCALL, CLOCK_MONOTONIC, 0},
	{"raw", VDSO, CLOCK_MONOTONIC_RAW, 1},	 {"raw_syscall", SYSCALL, CLOCK_MONOTONIC_RAW, 1},
	{"boottime", VDSO, CLOCK_BOOTTIME, 2},	 {"tsc", TSC, 0, 3},
};

#define CLOCKS (sizeof(clocks) / sizeof(clocks[0]))
#define SCALES 4

struct timer {
	char name[24];
	unsigned int cpu;  /* whose thread waits for it, where that is fixed */
	uint64_t due_ns;   /* CLOCK_MONOTONIC, as all here */
	uint64_t fired_ns; /* 0: not yet */
	uint64_t count;	   /* expirations at once, then within half a second more */
	uint64_t extra;
	bool done;
};

struct seen {
	unsigned int cpus;
	unsigned int timer_count;
	_Atomic uint64_t latest[SCALES];
	_Atomic uint64_t back[CLOCKS]; /* largest step back of any CPU ...      */
	_Atomic uint64_t jump[CLOCKS]; /* ... and forward, in the clock's units */
	_Atomic uint64_t samples[CPUS_MAX];
	struct timer timers[TIMERS_MAX];
};

static struct seen *seen;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t read_clock(const struct clock *clock)
{
	struct timespec now;
	uint64_t tsc;

	switch (clock->way) {
	case TSC:
		_mm_lfence();
		tsc = __rdtsc();
		_mm_lfence();
		return tsc;
	case SYSCALL:
		syscall(SYS_clock_gettime, clock->id, &now);
		return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	case VDSO:
	default:
		return now_ns(clock->id);
	}
}

static void raise_to(_Atomic uint64_t *what, uint64_t value)
{
	uint64_t old = atomic_load(what);

	while (old < value && !atomic_compare_exchange_weak(what, &old, value))
		;
}

static void pin_to(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		die("sched_setaffinity");
}

static void sample(unsigned int cpu, uint64_t last[CLOCKS])
{
	for (size_t i = 0; i < CLOCKS; i++) {
		uint64_t published = atomic_load(&seen->latest[clocks[i].scale]);
		uint64_t value = read_clock(&clocks[i]);

		if (value < published)
			raise_to(&seen->back[i], published - value);
		if (value < last[i])
			raise_to(&seen->back[i], last[i] - value);
		else if (last[i])
			raise_to(&seen->jump[i], value - last[i]);
		last[i] = value;
		raise_to(&seen->latest[clocks[i].scale], value);
	}
	atomic_fetch_add(&seen->samples[cpu], 1);
}

static void *watch_cpu(void *argument)
{
	unsigned int cpu = (unsigned int)(uintptr_t)argument;
	const struct timespec rest = {.tv_nsec = 1000000};
	uint64_t last[CLOCKS] = {0};

	pin_to(cpu);
	for (;;) {
		for (int i = 0; i < BURST; i++)
			sample(cpu, last);
		nanosleep(&rest, NULL);
	}
	return NULL;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S)};
}

/*
 * Due seconds from now: to be called before the kernel's timer is armed, whose own "from now" is
 * then no earlier, however long a busy host lets the guest wait in between. Returns the timer's
 * place in what all see.
 */
static struct timer *timer_new(const char *name, unsigned int cpu, uint64_t seconds)
{
	struct timer *timer = &seen->timers[seen->timer_count++];

	snprintf(timer->name, sizeof(timer->name), "%s", name);
	timer->cpu = cpu;
	timer->due_ns = now_ns(CLOCK_MONOTONIC) + seconds * NS_PER_S;
	return timer;
}

static void timer_fired(struct timer *timer, uint64_t count)
{
	timer->count = count;
	timer->fired_ns = now_ns(CLOCK_MONOTONIC);
}

struct waiting {
	struct timer *timer;
	int fd;
	unsigned int cpu;
};

/* A file descriptor that is readable when its timer has expired. */
static void *wait_for_fd(void *argument)
{
	const struct waiting *waiting = argument;
	const struct timespec more = timespec_of(NS_PER_S / 2);
	uint64_t count = 0;

	if (read(waiting->fd, &count, sizeof(count)) != sizeof(count))
		die("timerfd");
	timer_fired(waiting->timer, count);
	nanosleep(&more, NULL);
	fcntl(waiting->fd, F_SETFL, O_NONBLOCK);
	count = 0;
	if (read(waiting->fd, &count, sizeof(count)) == sizeof(count))
		waiting->timer->extra = count;
	waiting->timer->done = true;
	return NULL;
}

/* A sleep on one CPU, woken by that CPU's own timer. */
static void *wait_asleep(void *argument)
{
	const struct waiting *waiting = argument;
	const struct timespec until = timespec_of(waiting->timer->due_ns);

	pin_to(waiting->cpu);
	if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0)
		die("clock_nanosleep");
	timer_fired(waiting->timer, 1);
	waiting->timer->done = true;
	return NULL;
}

/* SIGALRM, which is blocked everywhere. */
static void *wait_for_alarm(void *argument)
{
	const struct waiting *waiting = argument;
	const struct timespec more = timespec_of(NS_PER_S / 2);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	while (sigwaitinfo(&set, NULL) < 0)
		;
	timer_fired(waiting->timer, 1);
	if (sigtimedwait(&set, NULL, &more) == SIGALRM)
		waiting->timer->extra = 1;
	waiting->timer->done = true;
	return NULL;
}

static void start(void *(*function)(void *), void *argument)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, function, argument);
	if (errno)
		die("pthread_create");
}

static void start_waiting(void *(*function)(void *), struct timer *timer, int fd, unsigned int cpu)
{
	struct waiting *waiting = malloc(sizeof(*waiting));

	if (!waiting)
		die("malloc");
	*waiting = (struct waiting){.timer = timer, .fd = fd, .cpu = cpu};
	start(function, waiting);
}

static void arm_timerfd(const char *name, clockid_t id, uint64_t seconds)
{
	const struct itimerspec spec = {.it_value = timespec_of(seconds * NS_PER_S)};
	struct timer *timer = timer_new(name, 0, seconds);
	int fd = timerfd_create(id, TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) < 0)
		die(name);
	start_waiting(wait_for_fd, timer, fd, 0);
}

static void arm_timers(uint64_t seconds)
{
	struct timer *timer;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (unsigned int cpu = 0; cpu < seen->cpus; cpu++)
		start_waiting(wait_asleep, timer_new("nanosleep", cpu, seconds), -1, cpu);
	arm_timerfd("timerfd_monotonic", CLOCK_MONOTONIC, seconds);
	arm_timerfd("timerfd_boottime", CLOCK_BOOTTIME, seconds);
	arm_timerfd("timerfd_realtime", CLOCK_REALTIME, seconds);
	timer = timer_new("alarm", 0, seconds);
	alarm((unsigned int)seconds);
	start_waiting(wait_for_alarm, timer, -1, 0);
}

static void watch(uint64_t seconds)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	seen->cpus = cpus > CPUS_MAX ? CPUS_MAX : (unsigned int)cpus;
	arm_timers(seconds);
	for (unsigned int cpu = 0; cpu < seen->cpus; cpu++)
		start(watch_cpu, (void *)(uintptr_t)cpu);
	for (;;)
		pause();
}

static void tell_clocks(const char *name, _Atomic uint64_t values[CLOCKS])
{
	printf("\"%s\":{", name);
	for (size_t i = 0; i < CLOCKS; i++)
		printf("%s\"%s\":%" PRIu64, i ? "," : "", clocks[i].name, atomic_load(&values[i]));
	printf("},");
}

static void tell(void)
{
	printf("{\"cpus\":%u,\"samples\":[", seen->cpus);
	for (unsigned int i = 0; i < seen->cpus; i++)
		printf("%s%" PRIu64, i ? "," : "", atomic_load(&seen->samples[i]));
	printf("],");
	tell_clocks("back", seen->back);
	tell_clocks("jump", seen->jump);
	printf("\"now_ns\":%" PRIu64 ",\"timers\":[", now_ns(CLOCK_MONOTONIC));
	for (unsigned int i = 0; i < seen->timer_count; i++) {
		const struct timer *timer = &seen->timers[i];

		printf("%s{\"name\":\"%s\",\"cpu\":%u,\"due_ns\":%" PRIu64 ",\"fired_ns\":%" PRIu64
		       ",\"count\":%" PRIu64 ",\"extra\":%" PRIu64 ",\"done\":%s}",
		       i ? "," : "", timer->name, timer->cpu, timer->due_ns, timer->fired_ns,
		       timer->count, timer->extra, timer->done ? "true" : "false");
	}
	printf("]}\n");
}

int main(int argc, char **argv)
{
	bool watching = argc == 4 && strcmp(argv[1], "watch") == 0;
	int fd;

	if (!watching && !(argc == 3 && strcmp(argv[1], "read") == 0)) {
		fprintf(stderr, "usage: clockwatch watch FILE SECONDS | read FILE\n");
		return 2;
	}
	fd = open(argv[2], O_RDWR | O_CLOEXEC | (watching ? O_CREAT : 0), 0600);
	if (fd < 0 || (watching && ftruncate(fd, sizeof(*seen)) < 0))
		die(argv[2]);
	seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (seen == MAP_FAILED)
		die("mmap");
	if (watching)
		watch(strtoull(argv[3], NULL, 10));
	tell();
	return 0;
}

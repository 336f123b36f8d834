/* SPDX-License-Identifier: MIT */
/*
 * witness WORK: a guest that can be frozen anywhere and tells whether it goes on as if nothing had
 * happened. It is the last thing init executes; standard input and output are the serial console.
 *
 *	idle	nothing but the lines below, twenty a second
 *	busy	a thread on each CPU computes for ever, and checks what comes out
 *	calls	threads in system calls: a pipe between two CPUs, synced files, naps
 *	rng	two threads read the hardware's random generator for ever
 *	lines	lines as fast as they will go
 *
 * It prints numbered lines,
 *
 *	w NUMBER COUNTER... pad SUM
 *
 * each with the workers' counters and, last, a sum over all before, so that a byte too few or too
 * many cannot be overlooked. A line that is typed is answered by one "w NUMBER pong TEXT pad SUM".
 * A worker that finds something wrong has "w NUMBER fail WHAT pad SUM" printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define WORKERS_MAX 16u
#define LINE_MAX_   512
#define PAD	    "abcdefghijklmnopqrstuvwxyz0123456789"
#define RNG_BYTES   64
#define PIPE_BYTES  3000u
#define FILE_BYTES  10000u

static struct {
	_Atomic uint64_t counts[WORKERS_MAX];
	_Atomic unsigned int workers;
	_Atomic(const char *) failed;
	unsigned int cpus;
	int pipe[2];
} state;

struct worker {
	void (*work)(struct worker *worker); /* one round, for ever */
	unsigned int index;
	unsigned int cpu;
	uint64_t round;
	int fd;
	uint8_t last[RNG_BYTES];
};

static void fail(const char *what)
{
	state.failed = what;
}

static uint8_t byte_of(uint64_t round, size_t at)
{
	return (uint8_t)(round * 131 + at * 7);
}

static void fill(uint8_t *bytes, size_t count, uint64_t round)
{
	for (size_t i = 0; i < count; i++)
		bytes[i] = byte_of(round, i);
}

static void check(const uint8_t *bytes, size_t count, uint64_t round, const char *what)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != byte_of(round, i))
			fail(what);
}

/* Integer and floating point: the same sums each time. */
static void compute(struct worker *worker)
{
	static const double wanted = 5000 * 4999 / 2.0;
	uint64_t x = 88172645463325252ull;
	double sum = 0;

	for (int i = 0; i < 5000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += (double)i;
	}
	if (worker->round == 0)
		memcpy(worker->last, &x, sizeof(x));
	if (memcmp(worker->last, &x, sizeof(x)) != 0 || fabs(sum - wanted) > 0.25)
		fail("computing");
}

static void write_pipe(struct worker *worker)
{
	uint8_t bytes[PIPE_BYTES];

	fill(bytes, sizeof(bytes), worker->round);
	if (write(state.pipe[1], bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
		fail("writing to a pipe");
}

static void read_pipe(struct worker *worker)
{
	uint8_t bytes[PIPE_BYTES];

	for (size_t have = 0; have < sizeof(bytes);) {
		ssize_t got = read(state.pipe[0], bytes + have, sizeof(bytes) - have);

		if (got <= 0) {
			fail("reading from a pipe");
			return;
		}
		have += (size_t)got;
	}
	check(bytes, sizeof(bytes), worker->round, "what came through a pipe");
}

static void sync_file(struct worker *worker)
{
	uint8_t bytes[FILE_BYTES];

	if (worker->round == 0)
		worker->fd = open("/tmp/witness", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	fill(bytes, sizeof(bytes), worker->round);
	if (pwrite(worker->fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes) ||
	    fsync(worker->fd) < 0)
		fail("writing a file");
	memset(bytes, 0, sizeof(bytes));
	if (pread(worker->fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		fail("reading a file");
	check(bytes, sizeof(bytes), worker->round, "what is in a file");
}

static void take_nap(struct worker *worker)
{
	const struct timespec nap = {.tv_nsec = 300000};

	(void)worker;
	nanosleep(&nap, NULL);
}

/* Never the same twice: a buffer that was served twice would be. */
static void draw(struct worker *worker)
{
	uint8_t bytes[RNG_BYTES];

	if (worker->round == 0)
		worker->fd = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);
	if (read(worker->fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
		fail("reading /dev/hwrng");
	if (memcmp(bytes, worker->last, sizeof(bytes)) == 0)
		fail("the same random bytes twice");
	memcpy(worker->last, bytes, sizeof(bytes));
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(worker->cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fail("sched_setaffinity");
	for (;;) {
		worker->work(worker);
		worker->round++;
		atomic_store(&state.counts[worker->index], worker->round);
	}
	return NULL;
}

static void start(void (*work)(struct worker *worker), unsigned int cpu)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	pthread_t thread;

	if (!worker)
		exit(1);
	worker->work = work;
	worker->cpu = cpu % state.cpus;
	worker->index = state.workers++;
	if (pthread_create(&thread, NULL, worker_main, worker) != 0)
		exit(1);
}

static void start_all(const char *work)
{
	if (strcmp(work, "busy") == 0) {
		for (unsigned int i = 0; i < state.cpus; i++)
			start(compute, i);
	} else if (strcmp(work, "calls") == 0) {
		if (pipe2(state.pipe, O_CLOEXEC) < 0)
			exit(1);
		start(write_pipe, 0);
		start(read_pipe, 1);
		start(sync_file, 0);
		start(take_nap, 0);
		start(take_nap, 1);
	} else if (strcmp(work, "rng") == 0) {
		start(draw, 0);
		start(draw, 1);
	}
}

/* write(2) until all is written: a console takes what it has room for. */
static void put(const char *text, size_t length)
{
	while (length > 0) {
		ssize_t done = write(STDOUT_FILENO, text, length);

		if (done < 0 && errno != EINTR && errno != EAGAIN)
			exit(1);
		if (done > 0) {
			text += done;
			length -= (size_t)done;
		}
	}
}

/* FNV-1a, folded to 16 bits. */
static unsigned int sum_of(const char *text, size_t length)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ (uint8_t)text[i]) * 16777619u;
	return (sum ^ sum >> 16) & 0xffff;
}

static void print_line(const char *text)
{
	static uint64_t number;
	char line[LINE_MAX_ + 128];
	int length = snprintf(line, sizeof(line), "w %" PRIu64 "%s " PAD " ", number++, text);

	length += snprintf(line + length, sizeof(line) - (size_t)length, "%04x\n",
			   sum_of(line, (size_t)length));
	put(line, (size_t)length);
}

static void print_counters(void)
{
	char text[LINE_MAX_] = "";
	size_t length = 0;

	for (unsigned int i = 0; i < state.workers; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, " %" PRIu64,
					   atomic_load(&state.counts[i]));
	print_line(text);
	if (state.failed) {
		snprintf(text, sizeof(text), " fail %s", state.failed);
		print_line(text);
	}
}

/* A line of input may come in pieces. */
static void answer_input(void)
{
	static char typed[128];
	static size_t length;
	char text[LINE_MAX_], next;

	while (read(STDIN_FILENO, &next, 1) == 1) {
		if (next == '\n' || next == '\r') {
			snprintf(text, sizeof(text), " pong %.*s", (int)length, typed);
			print_line(text);
			length = 0;
		} else if (length < sizeof(typed)) {
			typed[length++] = next;
		}
	}
}

static void make_console_raw(void)
{
	struct termios modes;

	if (tcgetattr(STDIN_FILENO, &modes) == 0) {
		cfmakeraw(&modes);
		modes.c_cc[VMIN] = 0;
		modes.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &modes);
	}
}

int main(int argc, char **argv)
{
	const char *work = argc > 1 ? argv[1] : "idle";
	struct pollfd wait = {.fd = STDIN_FILENO, .events = POLLIN};
	int pause_ms = strcmp(work, "lines") == 0 ? 0 : 50;

	state.cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	make_console_raw();
	start_all(work);
	for (;;) {
		print_counters();
		if (poll(&wait, 1, pause_ms) > 0)
			answer_input();
	}
}

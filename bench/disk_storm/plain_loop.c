/* SPDX-License-Identifier: MIT */
/*
 * plain_loop: what io_uring gives on a file without any virtual machine: so many requests under
 * way, and each that is done makes room for the next. What disks are compared with.
 *
 * One thread, one ring, one buffer for each request under way. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/common/clock.h"

#define DEPTH_MAX 1024u

static const char usage[] =
	"usage: plain_loop [OPTION...] FILE\n"
	"\n"
	"A plain io_uring loop on a file; prints one JSON object. See bench/METHOD.md.\n"
	"\n"
	"  --kind NAME    read, write, randread (default) or randwrite\n"
	"  --size BYTES   of a request (default 4096)\n"
	"  --depth N      requests under way, to 1024 (default 64)\n"
	"  --count N      requests in all (default 10000)\n"
	"  --range BYTES  in the file's first so many (default: all of it)\n"
	"  --batches      submit the next requests only when all are done\n"
	"  --direct       O_DIRECT\n"
	"  --help         this text\n";

struct loop {
	const char *path;
	uint64_t size, count, range, blocks;
	uint32_t depth;
	bool writes, is_random, batches, direct;
	int fd;
	char *buffers;
	struct io_uring ring;
	uint64_t started, done, enters;
};

static _Noreturn void fail(const char *what, int error)
{
	fprintf(stderr, "plain_loop: %s: %s\n", what, strerror(error));
	exit(1);
}

static _Noreturn void misused(const char *option, const char *value)
{
	fprintf(stderr, "plain_loop: %s %s: not possible\n%s", option, value, usage);
	exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || value < min || value > max)
		misused(option, text);
	return value;
}

static void set_kind(struct loop *loop, const char *name)
{
	const char *kind = strncmp(name, "rand", 4) == 0 ? name + 4 : name;

	loop->is_random = kind != name;
	loop->writes = strcmp(kind, "write") == 0;
	if (!loop->writes && strcmp(kind, "read") != 0)
		misused("--kind", name);
}

static void parse(int argc, char **argv, struct loop *loop)
{
	static const struct option options[] = {
		{"kind", required_argument, NULL, 'k'},
		{"size", required_argument, NULL, 's'},
		{"depth", required_argument, NULL, 'd'},
		{"count", required_argument, NULL, 'c'},
		{"range", required_argument, NULL, 'r'},
		{"batches", no_argument, NULL, 'b'},
		{"direct", no_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'k':
			set_kind(loop, optarg);
			break;
		case 's':
			loop->size = number("--size", optarg, 512, 1u << 26);
			break;
		case 'd':
			loop->depth = (uint32_t)number("--depth", optarg, 1, DEPTH_MAX);
			break;
		case 'c':
			loop->count = number("--count", optarg, 1, 1ull << 40);
			break;
		case 'r':
			loop->range = number("--range", optarg, 512, 1ull << 60);
			break;
		case 'b':
			loop->batches = true;
			break;
		case 'o':
			loop->direct = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind + 1 != argc)
		misused("FILE", argc > optind ? argv[optind + 1] : "is missing");
	loop->path = argv[optind];
}

static void set_up(struct loop *loop)
{
	struct io_uring_params params = {.flags = IORING_SETUP_COOP_TASKRUN};
	int flags = (loop->writes ? O_RDWR : O_RDONLY) | (loop->direct ? O_DIRECT : 0);
	struct stat st;
	int rc;

	loop->fd = open(loop->path, flags | O_CLOEXEC);
	if (loop->fd < 0 || fstat(loop->fd, &st) < 0)
		fail(loop->path, errno);
	loop->range = loop->range ? loop->range : (uint64_t)st.st_size;
	loop->blocks = loop->range / loop->size;
	if (loop->blocks == 0)
		fail(loop->path, ENODATA);
	loop->buffers = mmap(NULL, loop->size * loop->depth, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (loop->buffers == MAP_FAILED)
		fail("buffers", errno);
	rc = io_uring_queue_init_params(loop->depth, &loop->ring, &params);
	if (rc == -EINVAL) {
		params = (struct io_uring_params){0};
		rc = io_uring_queue_init_params(loop->depth, &loop->ring, &params);
	}
	if (rc < 0)
		fail("io_uring", -rc);
}

/* The dice of the stub blk: splitmix64. */
static uint64_t mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15u;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return value ^ value >> 31;
}

static void start_one(struct loop *loop, uint64_t slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
	uint64_t dice = loop->is_random ? mix(loop->started) : loop->started;
	uint64_t offset = dice % loop->blocks * loop->size;
	char *buffer = loop->buffers + slot * loop->size;

	if (loop->writes)
		io_uring_prep_write(sqe, loop->fd, buffer, (unsigned int)loop->size, offset);
	else
		io_uring_prep_read(sqe, loop->fd, buffer, (unsigned int)loop->size, offset);
	io_uring_sqe_set_data64(sqe, slot);
	loop->started++;
}

/* Take what is done, and start as many. */
static void turn(struct loop *loop)
{
	struct io_uring_cqe *cqes[DEPTH_MAX];
	unsigned int found = io_uring_peek_batch_cqe(&loop->ring, cqes, loop->depth);

	for (unsigned int i = 0; i < found; i++) {
		if (cqes[i]->res < 0 || (uint64_t)cqes[i]->res != loop->size)
			fail("a request", cqes[i]->res < 0 ? -cqes[i]->res : EIO);
		if (loop->started < loop->count)
			start_one(loop, io_uring_cqe_get_data64(cqes[i]));
	}
	io_uring_cq_advance(&loop->ring, found);
	loop->done += found;
}

static void run(struct loop *loop)
{
	for (uint64_t slot = 0; slot < loop->depth && loop->started < loop->count; slot++)
		start_one(loop, slot);
	while (loop->done < loop->count) {
		uint64_t left = loop->started - loop->done;
		int rc = io_uring_submit_and_wait(&loop->ring,
						  loop->batches ? (unsigned int)left : 1);

		if (rc < 0 && rc != -EINTR)
			fail("io_uring_enter", -rc);
		loop->enters++;
		turn(loop);
	}
}

/* CPU time of all threads, those that the kernel makes for the ring included. */
static uint64_t cpu_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) < 0)
		fail("the clock of CPU time", errno);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv)
{
	struct loop loop = {.size = 4096, .count = 10000, .depth = 64, .is_random = true};
	uint64_t ns, cpu;

	parse(argc, argv, &loop);
	set_up(&loop);
	ns = now_ns();
	cpu = cpu_ns();
	run(&loop);
	cpu = cpu_ns() - cpu;
	ns = now_ns() - ns;
	io_uring_queue_exit(&loop.ring);
	printf("{\"requests\": %lu, \"bytes\": %lu, \"ns\": %lu, \"cpu_ns\": %lu, \"enters\": "
	       "%lu}\n",
	       loop.done, loop.done * loop.size, ns, cpu, loop.enters);
	return 0;
}

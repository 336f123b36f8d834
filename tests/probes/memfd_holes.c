/* SPDX-License-Identifier: MIT */
/*
 * Probe: SEEK_DATA and SEEK_HOLE of a memfd say what was touched.
 *
 * At the freeze the template finds by them which RAM it populated, to register memslots for that
 * and not for holes. Needed: every page that was written is inside data, and a stretch that was
 * never touched is a hole. Also shown, because it matters for memory: reading a hole, or writing
 * it, through a private mapping allocates the page in the file too (the seals do not stop that,
 * the content stays zero). So clones that touch RAM their template never did make the shared file
 * grow, once for all of them and never beyond the RAM's size.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE	  (64 * PROBE_MIB)
#define WRITTEN	  (8 * PROBE_MIB + 5 * PROBE_PAGE)
#define UNTOUCHED (40 * PROBE_MIB)

static long long blocks_of(int fd)
{
	struct stat status;

	probe_need(fstat(fd, &status) == 0, "fstat");
	return (long long)status.st_blocks;
}

static bool is_data(int fd, size_t at)
{
	return lseek(fd, (off_t)at, SEEK_DATA) == (off_t)at;
}

int main(void)
{
	int fd = probe_memfd(SIZE);
	long long before;
	char *ram, *private;

	errno = 0;
	probe_check(lseek(fd, 0, SEEK_DATA) < 0 && errno == ENXIO, "a new memfd is one hole");
	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	probe_need(ram != MAP_FAILED, "mmap");
	for (size_t page = 0; page < 3; page++)
		ram[WRITTEN + page * PROBE_PAGE + 1] = 1;
	ram[SIZE - 1] = 1;

	for (size_t page = 0; page < 3; page++)
		probe_check(is_data(fd, WRITTEN + page * PROBE_PAGE), "written page %zu", page);
	probe_check(is_data(fd, SIZE - PROBE_PAGE), "the last page");
	probe_check(!is_data(fd, UNTOUCHED), "the untouched middle");
	probe_check(lseek(fd, (off_t)UNTOUCHED, SEEK_DATA) >= (off_t)(SIZE - 2 * PROBE_MIB),
		    "the hole goes on to the end (huge pages: to 2 MiB before it)");
	probe_say("data from %lld, hole from %lld", (long long)lseek(fd, 0, SEEK_DATA),
		  (long long)lseek(fd, (off_t)WRITTEN, SEEK_HOLE));

	munmap(ram, SIZE);
	probe_need(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) == 0, "seal");
	private = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	probe_need(private != MAP_FAILED, "mmap private");
	before = blocks_of(fd);
	(void)*(volatile char *)(private + UNTOUCHED);
	probe_say("reading a hole by a private mapping: file grows by %lld blocks",
		  blocks_of(fd) - before);
	before = blocks_of(fd);
	private[UNTOUCHED + 4 * PROBE_MIB] = 1;
	probe_say("writing a hole by a private mapping: file grows by %lld blocks",
		  blocks_of(fd) - before);
	return probe_result();
}

/* SPDX-License-Identifier: MIT */
/*
 * Probe: what a sealed memfd refuses and what it still allows.
 *
 * The template's RAM is sealed with F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL once
 * it is mapped private. Needed of the kernel: F_SEAL_WRITE is refused while a writable shared
 * mapping exists (so nobody can have kept one), private writable mappings are still allowed and
 * copy on write, and nothing writes, grows, shrinks or punches the file any more, not even through
 * a second open file of it.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE  PROBE_MIB
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static void check_refusals(int fd, const char *which)
{
	char byte = 1;

	errno = 0;
	probe_check(pwrite(fd, &byte, 1, 0) < 0 && errno == EPERM, "write, %s", which);
	errno = 0;
	probe_check(ftruncate(fd, SIZE * 2) < 0 && errno == EPERM, "grow, %s", which);
	errno = 0;
	probe_check(ftruncate(fd, 0) < 0 && errno == EPERM, "shrink, %s", which);
	errno = 0;
	probe_check(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PROBE_PAGE) < 0 &&
			    errno == EPERM,
		    "punch, %s", which);
	errno = 0;
	probe_check(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
			    errno == EPERM,
		    "writable shared mapping, %s", which);
	errno = 0;
	probe_check(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0 && errno == EPERM,
		    "further seals, %s", which);
}

int main(void)
{
	char *shared, *private, *other, path[64];
	int fd = probe_memfd(SIZE), again;

	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	probe_need(shared != MAP_FAILED, "mmap shared");
	shared[0] = 7;
	errno = 0;
	probe_check(fcntl(fd, F_ADD_SEALS, SEALS) < 0 && errno == EBUSY,
		    "F_SEAL_WRITE with a writable shared mapping about");
	private = mmap(shared, SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0);
	probe_need(private == shared, "mmap private over it");
	probe_check(fcntl(fd, F_ADD_SEALS, SEALS) == 0, "sealing with a private mapping");
	check_refusals(fd, "same file");

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	if (again >= 0) /* the open is allowed; writing is what must not be */
		check_refusals(again, "file opened again");

	private[0] = 8; /* in the mapping that stood before the seal */
	other = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	probe_need(other != MAP_FAILED, "a new private writable mapping of a sealed file");
	probe_check(other[0] == 7, "a private write is private: %d", other[0]);
	errno = 0;
	probe_check(madvise(other, SIZE, MADV_REMOVE) < 0, "MADV_REMOVE by a private mapping");
	if (probe_result() == 0)
		probe_say("seals hold; private writable mappings work on, before and after");
	return probe_result();
}

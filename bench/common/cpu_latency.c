/* SPDX-License-Identifier: MIT */
/* The limit on the waking up of idle CPUs: see cpu_latency.h. */
#include "bench/common/cpu_latency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#define DEVICE "/dev/cpu_dma_latency"

long cpu_latency_read(void)
{
	int fd = open(DEVICE, O_RDONLY | O_CLOEXEC);
	int32_t us;
	ssize_t got = fd < 0 ? -1 : read(fd, &us, sizeof(us));

	if (fd >= 0)
		close(fd);
	return got == sizeof(us) ? us : CPU_LATENCY_UNKNOWN;
}

int cpu_latency_hold(unsigned int us)
{
	int fd = open(DEVICE, O_WRONLY | O_CLOEXEC); /* stays open: the limit ends with it */
	int32_t limit = (int32_t)us;

	if (fd < 0)
		return -errno;
	return write(fd, &limit, sizeof(limit)) == sizeof(limit) ? 0 : -errno;
}

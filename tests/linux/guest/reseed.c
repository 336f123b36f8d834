/* SPDX-License-Identifier: MIT */
/*
 * reseed: have the kernel seed its random generator anew, now (random(4), RNDRESEEDCRNG). A kernel
 * does so by itself every minute, in its first two minutes more often: after this it is not due.
 */
#include <fcntl.h>
#include <linux/random.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(void)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, RNDRESEEDCRNG, NULL) < 0) {
		perror("reseed: /dev/urandom");
		return 1;
	}
	return 0;
}

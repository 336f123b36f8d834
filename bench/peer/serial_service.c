/* SPDX-License-Identifier: MIT */
/*
 * The first program of the guest that a peer's VMM boots: what the agent is in forkvm's, by means
 * that every VMM has. It says on the first serial port that it is set up, which is the template's
 * point; from then on it answers each line that comes there with "ok" and that line. The answer is
 * this program's and not the kernel's: the port echoes nothing.
 *
 * Static, in the initial ramdisk that clone_storm makes; see initrd.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <termios.h>
#include <unistd.h>

#include "bench/peer/serial_service.h"

#define CONSOLE_OFF 6 /* syslog(2): no kernel messages between the answers */

/* The first process must not end, or the kernel panics; say why on the way. */
static _Noreturn void fail(const char *what)
{
	perror(what);
	for (;;)
		pause();
}

static int open_port(void)
{
	struct termios settings;
	int port = open("/dev/ttyS0", O_RDWR | O_NOCTTY);

	if (port < 0)
		fail("/dev/ttyS0");
	if (tcgetattr(port, &settings) < 0)
		fail("tcgetattr");
	cfmakeraw(&settings);
	cfsetspeed(&settings, B115200);
	if (tcsetattr(port, TCSANOW, &settings) < 0)
		fail("tcsetattr");
	return port;
}

static void put(int port, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t put = write(port, text, length);

		if (put < 0 && errno != EINTR)
			fail("write");
		if (put > 0) {
			text += put;
			length -= (size_t)put;
		}
	}
}

/* One line, newline included, after "ok "; what a line has too much is cut. */
static size_t take_line(int port, char *line, size_t capacity)
{
	size_t used = 0;

	for (;;) {
		ssize_t got = read(port, line + used, capacity - used);

		if (got < 0 && errno != EINTR)
			fail("read");
		if (got <= 0)
			continue;
		used += (size_t)got;
		if (line[used - 1] == '\n')
			return used;
		if (used == capacity)
			used--;
	}
}

int main(void)
{
	static const char marker[] = PEER_MARKER "\n";
	char line[256] = "ok ";
	int port;

	if (mount("dev", "/dev", "devtmpfs", 0, NULL) < 0 && errno != EBUSY)
		fail("mount /dev");
	port = open_port();
	klogctl(CONSOLE_OFF, NULL, 0);
	put(port, marker, strlen(marker));
	for (;;)
		put(port, line, 3 + take_line(port, line + 3, sizeof(line) - 3));
}

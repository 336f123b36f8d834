/* SPDX-License-Identifier: MIT */
/*
 * A clone's console on the user's terminal.
 *
 * The clone gets one end of a socket and this program carries the bytes: a clone belongs to the
 * server's session, where the kernel would stop or refuse it reads of another's terminal, and what
 * is typed has to be looked at for the way out.
 */
#include "forkserver/cli/console.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* The terminal as it was, for the signal handler too; valid while is_raw. */
static struct termios before;
static volatile sig_atomic_t is_raw;

static const int deadly_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static void restore_terminal(void)
{
	if (is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	is_raw = 0;
}

static void on_deadly_signal(int number)
{
	restore_terminal();
	signal(number, SIG_DFL);
	raise(number);
}

static void make_raw(void)
{
	struct sigaction action = {.sa_handler = on_deadly_signal};
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &before) < 0)
		return;
	raw = before;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* for what this program itself has to say */
	is_raw = 1;
	for (size_t i = 0; i < ARRAY_SIZE(deadly_signals); i++)
		sigaction(deadly_signals[i], &action, NULL);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

void console_init(struct console *console)
{
	*console = (struct console){.fd = -1};
}

int console_open(struct console *console, int *ret_theirs, struct error *error)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(error, errno, "socketpair");
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	*console = (struct console){
		.fd = pair[0],
		.input = true,
		.is_terminal = isatty(STDIN_FILENO),
	};
	if (console->is_terminal)
		make_raw();
	*ret_theirs = pair[1];
	return 0;
}

nfds_t console_poll(const struct console *console, struct pollfd *fds)
{
	nfds_t count = 0;

	if (console->fd < 0)
		return 0;
	fds[count++] = (struct pollfd){
		.fd = console->fd,
		.events = console->pending ? POLLIN | POLLOUT : POLLIN,
	};
	if (console->input && !console->pending)
		fds[count++] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	return count;
}

/* From the guest to standard output, byte by byte as it says: that is what it is for. */
static void take_output(struct console *console)
{
	char data[4096];
	ssize_t len = recv(console->fd, data, sizeof(data), MSG_DONTWAIT);
	ssize_t written = 0;

	for (ssize_t done = 0; done < len && written >= 0; done += written)
		written = write(STDOUT_FILENO, data + done, (size_t)(len - done));
	/* Nothing to write to any more is no reason to keep the guest waiting. */
	if (len == 0 || written < 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
		fd_close(&console->fd);
}

/* What was typed, or came by a pipe, is in data. False: it has the way out in it. */
static bool take_input(struct console *console)
{
	struct pollfd pollfd = {.fd = STDIN_FILENO, .events = POLLIN};
	ssize_t len;

	if (!console->input || console->pending || poll(&pollfd, 1, 0) <= 0)
		return true;
	len = read(STDIN_FILENO, console->data, sizeof(console->data));
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (len <= 0) {
		console->input = false;
		shutdown(console->fd, SHUT_WR);
		return true;
	}
	console->pending = (size_t)len;
	return !console->is_terminal || !memchr(console->data, CONSOLE_ESCAPE, (size_t)len);
}

static void send_input(struct console *console)
{
	ssize_t len;

	if (!console->pending)
		return;
	len = send(console->fd, console->data, console->pending, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (len > 0) {
		console->pending -= (size_t)len;
		memmove(console->data, console->data + len, console->pending);
	} else if (errno != EAGAIN && errno != EINTR) {
		/* It takes none, which does not mean that it has no more to say. */
		console->input = false;
		console->pending = 0;
	}
}

bool console_relay(struct console *console)
{
	if (console->fd < 0)
		return true;
	if (!take_input(console))
		return false;
	send_input(console);
	take_output(console);
	return true;
}

void console_close(struct console *console)
{
	fd_close(&console->fd);
	restore_terminal();
}

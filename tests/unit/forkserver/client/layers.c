/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/client/layers.c, against a server that sends what the test wants. */
#include "forkserver/client/forkvm_client.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forkserver/proto/fdpass.h"
#include "tests/unit/helper.h"

#define GREETING "{\"forkvm\":\"9.9\",\"protocol\":1,\"name\":\"fake\",\"pid\":77}\n"
#define TAG	 "\"tag\":9223372036854775807"

static char path[HELPER_PATH_SIZE];
static struct error error;

static void send_with(int fd, const char *text, size_t fd_count)
{
	struct iovec iov = {.iov_base = (char *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	union fdpass_control control;
	int fds[16] = {0};

	for (size_t i = 0; i < fd_count; i++) {
		fds[i] = memfd_create("layer", MFD_CLOEXEC);
		(void)!write(fds[i], &"0123456789"[i], 1);
	}
	fdpass_attach(&message, &control, fds, fd_count);
	(void)!sendmsg(fd, &message, MSG_NOSIGNAL);
	for (size_t i = 0; i < fd_count; i++)
		close(fds[i]);
}

/* A client of a server that answers its first request with that line and so many descriptors. */
static struct forkvm_client *meet(const char *reply, size_t fd_count, pid_t *ret_pid)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct forkvm_client *client = NULL;
	char byte[200];

	helper_path(path, ".sock");
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(listener, 5), 0);
	*ret_pid = fork();
	cr_assert_geq(*ret_pid, 0);
	if (*ret_pid == 0) {
		int fd = accept(listener, NULL, NULL);

		send_with(fd, GREETING, 0);
		if (recv(fd, byte, sizeof(byte), 0) > 0)
			send_with(fd, reply, fd_count);
		while (recv(fd, byte, sizeof(byte), 0) > 0)
			;
		_exit(0);
	}
	close(listener);
	cr_assert_eq(forkvm_client_open(path, &client, &error), 0, "%s", error.text);
	return client;
}

static void part(struct forkvm_client *client, pid_t pid)
{
	forkvm_client_close(client);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	unlink(path);
}

static char mark(int fd)
{
	char byte = 0;

	cr_assert_eq(pread(fd, &byte, 1, 0), 1);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	return byte;
}

Test(layers, all_kinds)
{
	size_t before = helper_count_fds();
	struct forkvm_layers layers;
	pid_t pid;
	struct forkvm_client *client = meet(
		"{" TAG ",\"ok\":{\"size\":8192,\"image_size\":4096,\"descriptors\":[\"image\","
		"\"data\",\"data\",\"bitmap\"]}}\n",
		4, &pid);

	cr_assert_eq(forkvm_client_export(client, 7, 1, 0, &layers, &error), 0, "%s", error.text);
	cr_assert_eq(layers.size, 8192);
	cr_assert_eq(layers.image_size, 4096);
	cr_assert_eq(mark(layers.image_fd), '0');
	cr_assert_eq(layers.overlay_count, 2);
	cr_assert_eq(mark(layers.overlays[0].data_fd), '1');
	cr_assert_eq(layers.overlays[0].bitmap_fd, -1);
	cr_assert_eq(mark(layers.overlays[1].data_fd), '2');
	cr_assert_eq(mark(layers.overlays[1].bitmap_fd), '3');
	forkvm_layers_close(&layers);
	forkvm_layers_close(&layers);
	part(client, pid);
	cr_assert_eq(helper_count_fds(), before);
}

static void refuse(const char *reply, size_t fd_count, int code)
{
	size_t before = helper_count_fds();
	struct forkvm_layers layers = {.size = 5};
	pid_t pid;
	struct forkvm_client *client = meet(reply, fd_count, &pid);

	cr_assert_eq(forkvm_client_export(client, 7, 0, 0, &layers, &error), -code, "%s: %s", reply,
		     error.text);
	cr_assert_eq(layers.size, 5);
	part(client, pid);
	cr_assert_eq(helper_count_fds(), before);
}

#define REPLY(kinds) "{" TAG ",\"ok\":{\"size\":1,\"image_size\":1,\"descriptors\":[" kinds "]}}\n"

Test(layers, replies_that_are_none)
{
	refuse("{" TAG ",\"error\":{\"code\":\"ESRCH\",\"message\":\"gone\"}}\n", 0, ESRCH);
	refuse("{" TAG ",\"ok\":{}}\n", 0, EPROTO);
	refuse(REPLY("\"image\""), 0, EPROTO);
	refuse(REPLY("\"image\""), 2, EPROTO);
	refuse(REPLY("\"image\",\"image\""), 2, EPROTO);
	refuse(REPLY("\"data\",\"image\""), 2, EPROTO);
	refuse(REPLY("\"bitmap\""), 1, EPROTO);
	refuse(REPLY("\"data\",\"bitmap\",\"bitmap\""), 3, EPROTO);
	refuse(REPLY("\"x\""), 1, EPROTO);
	refuse(REPLY("1"), 1, EPROTO);
	refuse(REPLY("\"data\",\"data\",\"data\",\"data\",\"data\",\"data\",\"data\",\"data\","
		     "\"data\""),
	       9, EPROTO);
}

Test(layers, release)
{
	pid_t pid;
	struct forkvm_client *client = meet("{" TAG ",\"ok\":{\"ended\":false}}\n", 0, &pid);

	cr_assert_eq(forkvm_client_release(client, 7, &error), 0, "%s", error.text);
	part(client, pid);
	client = meet("{" TAG ",\"error\":{\"code\":\"ETIMEDOUT\",\"message\":\"late\"}}\n", 0,
		      &pid);
	cr_assert_eq(forkvm_client_release(client, 7, &error), -ETIMEDOUT);
	part(client, pid);
}

/* Descriptors that nobody asked for are closed with the connection. */
Test(layers, descriptors_out_of_turn)
{
	size_t before = helper_count_fds();
	pid_t pid;
	struct forkvm_client *client = meet("{" TAG ",\"ok\":{}}\n", 3, &pid);

	cr_assert_eq(forkvm_client_call(client, "hello", NULL, NULL, &error), 0);
	part(client, pid);
	cr_assert_eq(helper_count_fds(), before);
}

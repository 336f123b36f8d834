/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/machine/machine_serial.c: a serial port on descriptors, with no VM behind it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/dev/serial_regs.h"
#include "vmm/machine/internal.h"

static struct machine machine;
static struct machine_serial serial = {.in_fd = -1, .out_fd = -1};
static struct machine_sink sink = {.serial = &serial};
static char console[64];
static size_t console_len;

static int on_console(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	cr_assert_leq(console_len + len, sizeof(console));
	memcpy(console + console_len, text, len);
	console_len += len;
	return 0;
}

static void make(const char *template_on)
{
	struct error error;

	pthread_mutex_init(&machine.lock, NULL);
	pthread_cond_init(&machine.changed, NULL);
	machine.progress = PROGRESS_RUNNING;
	devices_init(&machine.devices, &machine);
	machine.ram = &machine.frozen.ram;
	cr_assert_eq(guest_ram_init(machine.ram, MACHINE_RAM_MIN, NULL, &error), 0);
	cr_assert_eq(devices_add_pc(&machine.devices, &machine.ports, template_on, &error), 0);
	cr_assert_eq(poller_init(&machine.devices.poller), 0);
	machine.stub.sink = &sink;
	serial_port_bind(&machine.devices);
}

static uint8_t port(unsigned int reg, bool is_out, uint8_t value)
{
	struct port_access access = {
		.port = (uint16_t)(PORT_COM1 + reg),
		.size = 1,
		.is_out = is_out,
		.count = 1,
		.data = &value,
	};
	struct error error;

	cr_assert_eq(portbus_access(&machine.ports, &access, &error), PORT_CONTINUE);
	return value;
}

static void print(const char *text)
{
	while (*text)
		port(0, true, (uint8_t)*text++);
}

/* One turn of the devices' thread. */
static void turn(void)
{
	struct poller *poller = &machine.devices.poller;
	struct pollfd fds[POLLER_FDS_MAX];
	nfds_t count = poller->count;

	memcpy(fds, poller->fds, sizeof(fds));
	for (nfds_t i = 0; i < count; i++)
		if (!fds[i].events)
			fds[i].fd = -1;
	poll(fds, count, 0);
	for (nfds_t i = 0; i < count; i++)
		if (fds[i].revents)
			poller->what[i].handler(poller->what[i].ctx, fds[i].revents);
}

Test(machine_serial, without_descriptors_output_is_console_text)
{
	sink.serial = NULL;
	sink.console = on_console;
	make(NULL);
	print("hello\n");
	cr_assert_eq(console_len, 6);
	cr_assert_eq(memcmp(console, "hello\n", 6), 0);
}

Test(machine_serial, a_pipe_that_is_full_makes_the_guest_wait)
{
	char page[4096] = {0};
	int pipe_fds[2];
	char got[8];

	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert_eq(fcntl(pipe_fds[1], F_SETPIPE_SZ, 4096), 4096);
	serial.out_fd = pipe_fds[1];
	make(NULL);
	cr_assert_eq(write(pipe_fds[1], page, sizeof(page)), sizeof(page));
	print("x");
	cr_assert_not(port(REG_LSR, false, 0) & LSR_THRE);
	turn();
	cr_assert_not(port(REG_LSR, false, 0) & LSR_THRE, "nobody has read yet");
	cr_assert_eq(read(pipe_fds[0], page, sizeof(page)), sizeof(page));
	turn();
	cr_assert(port(REG_LSR, false, 0) & LSR_THRE);
	cr_assert_eq(read(pipe_fds[0], got, sizeof(got)), 1);
	cr_assert_eq(got[0], 'x');
}

Test(machine_serial, a_reader_that_has_left_does_not_end_the_guest)
{
	int pipe_fds[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe(pipe_fds), 0);
	close(pipe_fds[0]);
	serial.out_fd = pipe_fds[1];
	make(NULL);
	print("all of this is lost");
	cr_assert(port(REG_LSR, false, 0) & LSR_THRE);
}

Test(machine_serial, more_input_than_the_port_holds_waits_outside)
{
	const char text[] = "the quick brown fox jumps over";
	char got[64];
	size_t len = 0;
	int pipe_fds[2];

	cr_assert_eq(pipe(pipe_fds), 0);
	serial.in_fd = pipe_fds[0];
	make(NULL);
	port(REG_IIR_FCR, true, 1);
	cr_assert_eq(write(pipe_fds[1], text, strlen(text)), (ssize_t)strlen(text));
	for (int i = 0; i < 8; i++) {
		turn();
		while (port(REG_LSR, false, 0) & LSR_DATA_READY)
			got[len++] = (char)port(0, false, 0);
	}
	cr_assert_eq(len, strlen(text));
	cr_assert_eq(memcmp(got, text, len), 0);
	/* At the end of input nothing turns and turns. */
	close(pipe_fds[1]);
	turn();
	cr_assert_eq(machine.devices.poller.fds[machine.devices.serial_in].events, 0);
}

Test(machine_serial, a_text_marks_the_template_point)
{
	sink.serial = NULL;
	make("login:");
	print("log");
	cr_assert_eq(machine.progress, PROGRESS_RUNNING);
	print("in: ");
	cr_assert_eq(machine.progress, PROGRESS_TEMPLATE);
}

static char complaint[200];

static void on_complaint(void *ctx, const char *text)
{
	(void)ctx;
	snprintf(complaint, sizeof(complaint), "%s", text);
}

/* Whoever read the port's output has left, or its file's disk is full. */
Test(machine_serial, a_text_that_nobody_reads_marks_it_too)
{
	int pipe_fds[2];

	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(pipe(pipe_fds), 0);
	serial.out_fd = pipe_fds[1];
	sink.complain = on_complaint;
	make("login:");
	print("lo");
	close(pipe_fds[0]);
	print("gin");
	cr_assert_eq(machine.progress, PROGRESS_RUNNING);
	cr_assert_not_null(strstr(complaint, "lost from here on: Broken pipe"), "%s", complaint);
	complaint[0] = '\0';
	print(": ");
	cr_assert_eq(machine.progress, PROGRESS_TEMPLATE);
	cr_assert_str_empty(complaint, "told once");
}

Test(machine_serial, in_a_clone_that_text_is_just_text)
{
	sink.serial = NULL;
	make("login:");
	machine.is_frozen = true;
	print("login:");
	cr_assert_eq(machine.progress, PROGRESS_RUNNING);
}

Test(machine_serial, a_text_that_is_none)
{
	struct error error;

	pthread_mutex_init(&machine.lock, NULL);
	devices_init(&machine.devices, &machine);
	cr_assert_eq(devices_add_pc(&machine.devices, &machine.ports, "", &error), -EINVAL);
}

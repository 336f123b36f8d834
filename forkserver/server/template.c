/* SPDX-License-Identifier: MIT */
/*
 * From an image to a frozen machine.
 */
#include "forkserver/server/template.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "forkserver/base/cradle.h"
#include "forkserver/base/log.h"
#include "forkserver/server/server.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

void template_init(struct template *template)
{
	*template = (struct template){
		.serial = {.in_fd = -1, .out_fd = -1},
		.progress_fd = -1,
	};
}

static void close_serial(struct template *template)
{
	fd_close(&template->serial.in_fd);
	fd_close(&template->serial.out_fd);
}

void template_done(struct template *template)
{
	close_serial(template);
	fd_close(&template->progress_fd);
}

int template_claim_serial(struct template *template, const struct serve_serial *serial,
			  struct error *error)
{
	int mode;

	switch (serial->kind) {
	case SERVE_SERIAL_STDIO:
		template->serial.in_fd = STDIN_FILENO;
		template->serial.out_fd = STDOUT_FILENO;
		return 0;
	case SERVE_SERIAL_FD:
		mode = fcntl(serial->fd, F_GETFL);
		if (mode < 0)
			return error_set_errno(error, errno, "--serial fd:%d", serial->fd);
		mode &= O_ACCMODE;
		template->serial.in_fd = mode == O_WRONLY ? -1 : serial->fd;
		template->serial.out_fd = mode == O_RDONLY ? -1 : serial->fd;
		return 0;
	default:
		return 0;
	}
}

int template_open_serial(struct template *template, const struct serve_serial *serial,
			 struct error *error)
{
	_cleanup_close_ int fd = -1;

	if (serial->kind != SERVE_SERIAL_FILE)
		return 0;
	/* Not waiting: a FIFO that nobody reads is an error at once. */
	fd = open(serial->path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
		  0600);
	if (fd >= 0)
		template->serial.out_fd = fcntl(fd, F_DUPFD_CLOEXEC, FD_HIGH);
	if (template->serial.out_fd < 0)
		return error_set_errno(error, errno, "cannot open %s (--serial)", serial->path);
	return 0;
}

/* The template's console is for the log, line by line. */
static void flush_line(struct template *template)
{
	if (template->line_len)
		log_info("template: %.*s", (int)template->line_len, template->line);
	template->line_len = 0;
}

static int on_console(void *ctx, const char *text, size_t len)
{
	struct template *template = ctx;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' || template->line_len == sizeof(template->line))
			flush_line(template);
		if (text[i] != '\n' && text[i] != '\r')
			template->line[template->line_len++] = text[i];
	}
	return 0;
}

/* On a vCPU's thread, with the machine locked. */
static void on_progress(void *ctx)
{
	const struct template *template = ctx;
	const uint64_t one = 1;

	(void)!write(template->progress_fd, &one, sizeof(one));
}

static void on_complaint(void *ctx, const char *text)
{
	(void)ctx;
	log_warning("template: %s", text);
}

const char *template_image(const struct serve_options *options)
{
	return options->stub ? options->stub : options->guest.kernel;
}

int template_load(struct server *server, struct error *error)
{
	const struct serve_options *options = server->options;
	struct machine_config config = options->machine;
	int rc;

	config.ram_near = cradle_neighbourhood();
	rc = server_disks_open(server, &config, error);
	if (rc < 0)
		return rc;
	/* Converting an image is no part of the boot. */
	server->boot.started_ns = now_ns();
	rc = machine_new(server->host, &config, &server->machine, error);
	if (rc < 0)
		return rc;
	if (options->stub)
		return machine_load(server->machine, options->stub, options->args, error);
	return machine_load_linux(server->machine, &options->guest, error);
}

int template_start(struct server *server, struct error *error)
{
	struct template *template = &server->template;

	template->progress_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (template->progress_fd < 0)
		return error_set_errno(error, errno, "eventfd");
	template->sink = (struct machine_sink){
		.ctx = template,
		.console = on_console,
		.progress = on_progress,
		.complain = on_complaint,
	};
	if (server->options->serial.kind != SERVE_SERIAL_LOG)
		template->sink.serial = &template->serial;
	return machine_start(server->machine, &template->sink, error);
}

int template_stop(struct server *server, struct error *error)
{
	struct machine_end end = {.reason = MACHINE_END_COUNT_};
	int rc = machine_stop(server->machine, &end, error);

	flush_line(&server->template);
	if (rc == -ECANCELED)
		return error_set(error, ECANCELED,
				 "the guest ended before its template point (%s%s%s)",
				 machine_end_name(end.reason), end.error.text[0] ? ": " : "",
				 end.error.text);
	return rc;
}

int template_freeze(struct server *server, struct error *error)
{
	int rc = machine_freeze(server->machine, error);

	if (rc < 0)
		return rc;
	template_done(&server->template);
	machine_get_info(server->machine, &server->info);
	server->request_capacity = machine_request_capacity(server->machine);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * From an image to a frozen machine.
 */
#include "forkserver/server/template.h"

#include <errno.h>
#include <string.h>

#include "forkserver/server/log.h"
#include "vmm/base/util.h"

/* The template's console is for the log, line by line. */
struct console {
	size_t len;
	char line[256];
};

static void console_flush(struct console *console)
{
	if (console->len)
		log_info("template: %.*s", (int)console->len, console->line);
	console->len = 0;
}

static int on_console(void *ctx, const char *text, size_t len)
{
	struct console *console = ctx;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' || console->len == sizeof(console->line))
			console_flush(console);
		if (text[i] != '\n')
			console->line[console->len++] = text[i];
	}
	return 0;
}

static int boot(struct server *server, const volatile int *cancel, struct error *error)
{
	struct console console = {.len = 0};
	struct machine_sink sink = {.ctx = &console, .console = on_console};
	struct machine_end end = {.reason = MACHINE_END_COUNT_};
	int rc = machine_boot(server->machine, &sink, server->options->boot_timeout_ns, cancel,
			      &end, error);

	console_flush(&console);
	if (rc == -ETIMEDOUT)
		return error_set(error, ETIMEDOUT,
				 "the guest did not reach its template point within %llu ms: it "
				 "may hang, or need a longer --boot-timeout",
				 (unsigned long long)(server->options->boot_timeout_ns /
						      (NS_PER_SEC / 1000)));
	if (rc == -ECANCELED)
		return error_set(error, ECANCELED,
				 "the guest ended before its template point (%s%s%s)",
				 machine_end_name(end.reason), end.error.text[0] ? ": " : "",
				 end.error.text);
	return rc;
}

int template_boot(struct server *server, const volatile int *cancel, struct error *error)
{
	const struct serve_options *options = server->options;
	uint64_t started_ns = now_ns();
	uint64_t booted_ns;
	int rc;

	rc = machine_new(server->host, &options->machine, &server->machine, error);
	if (rc == 0)
		rc = machine_load(server->machine, options->stub, options->args, error);
	if (rc == 0)
		rc = boot(server, cancel, error);
	if (rc < 0)
		return rc;
	booted_ns = now_ns();
	rc = machine_freeze(server->machine, error);
	if (rc < 0)
		return rc;
	machine_get_info(server->machine, &server->info);
	server->request_capacity = machine_request_capacity(server->machine);
	log_info("template of %s: %llu MiB RAM, %llu KiB populated, %u vCPUs, %u memslots; booted "
		 "in %llu us, frozen in %llu us",
		 options->stub, (unsigned long long)(server->info.ram_size / MIB),
		 (unsigned long long)(server->info.populated / KIB), server->info.vcpus,
		 server->info.slots, (unsigned long long)((booted_ns - started_ns) / 1000),
		 (unsigned long long)((now_ns() - booted_ns) / 1000));
	return 0;
}

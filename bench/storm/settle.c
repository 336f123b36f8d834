/* SPDX-License-Identifier: MIT */
/* What follows from clone_storm's command line, and what of it does not go together. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bench/peer/peer.h"
#include "bench/storm/check.h"
#include "bench/storm/storm.h"

#define REQUEST_MAX  65536 /* what the protocol takes */
#define PEER_DEFAULT 100
#define STUB_MEM     128
#define LINUX_MEM    256

static void settle_linux(struct storm_options *options)
{
	const char *const files[] = {options->kernel, options->initrd};

	if (options->stub)
		storm_refuse("--stub and --kernel or --check exclude each other: a Linux guest is "
			     "no stub");
	if (options->populate_mib != UINT64_MAX)
		storm_refuse("--populate is for stubs");
	if (options->floor)
		storm_refuse("--floor boots stubs only");
	if (!options->kernel && !options->socket)
		storm_refuse("--check needs --kernel, or a server with a Linux guest (--socket)");
	for (size_t i = 0; i < 2; i++)
		if (files[i] && access(files[i], R_OK) < 0)
			storm_refuse("--%s %s: %s", i ? "initrd" : "kernel", files[i],
				     strerror(errno));
	if (options->check == CHECK_BY_STUB)
		options->check = options->request ? CHECK_BY_ANYTHING : CHECK_BY_ECHO;
	if (options->check != CHECK_BY_ANYTHING && options->request)
		storm_refuse("--request and --check %s exclude each other",
			     options->check == CHECK_BY_ECHO ? "echo" : "identity");
	options->stub = "linux";
	if (!options->mem_mib)
		options->mem_mib = LINUX_MEM;
}

/* QEMU boots another image of the same stub. */
static void settle_qemu_stub(const struct storm_options *options)
{
	char name[64], path[STUB_PATH_SIZE];

	snprintf(name, sizeof(name), PEER_QEMU_STUB "%s", options->stub);
	if (options->peer_qemu && stub_find(name, path) < 0)
		storm_refuse("--peer qemu: stub %s does not run under QEMU (no %s in %s); hello, "
			     "echo and dirty do",
			     options->stub, name, path);
}

static void settle_stub(struct storm_options *options)
{
	static char stub_path[STUB_PATH_SIZE];
	const char *name;

	if (options->initrd || options->cmdline)
		storm_refuse("--%s is for Linux guests: name one with --kernel",
			     options->initrd ? "initrd" : "cmdline");
	if (!options->stub)
		options->stub = "hello";
	name = strrchr(options->stub, '/');
	if (!options->socket && stub_find(options->stub, stub_path) < 0)
		storm_refuse("--stub %s: neither a file nor a stub in %s", options->stub,
			     stub_path);
	if (options->socket && (options->floor || options->peer_boot) &&
	    stub_find(options->stub, stub_path) < 0)
		storm_refuse(
			"a peer boots the stub itself, and --stub %s is neither a file nor in %s",
			options->stub, stub_path);
	options->stub_path = stub_path;
	if (name)
		options->stub = name + 1; /* the checker goes by the name */
	settle_qemu_stub(options);
	if (!options->mem_mib)
		options->mem_mib = STUB_MEM;
}

/* A sweep sets these itself, or has no use for them. */
static void settle_sweep(const struct storm_options *options)
{
	if (options->socket || options->kernel || options->check != CHECK_BY_STUB)
		storm_refuse(
			"--sweep starts a server for each of its templates, all of them stubs: "
			"no --socket, --kernel or --check");
	if (options->mem_mib || options->populate_mib != UINT64_MAX || options->alive ||
	    options->rate > 0 || options->concurrency || options->spares)
		storm_refuse(
			"--sweep chooses RAM and clones itself: no --mem, --populate, --alive, "
			"--rate, --concurrency or --spares");
	if (options->floor || options->peer_qemu || options->peer_boot)
		storm_refuse("--sweep measures forkvm alone: no --floor or --peer");
}

void storm_options_settle(struct storm_options *options)
{
	if (options->sweep)
		settle_sweep(options);
	if (options->spares && (options->alive || options->socket))
		storm_refuse("--spares is for a server that is started here, and not for --alive");
	if (options->reset && !options->spares)
		storm_refuse("--reset is for spares: say how many with --spares");
	if (options->sleep_after && (options->socket || !options->alive))
		storm_refuse("--sleep-after is for a server that is started here, and for --alive");
	if (options->rate > 0 && options->alive)
		storm_refuse("--rate and --alive exclude each other");
	if (options->kernel || options->check != CHECK_BY_STUB)
		settle_linux(options);
	else
		settle_stub(options);
	if ((options->peer_qemu || options->peer_boot) && options->check != CHECK_BY_STUB &&
	    !options->kernel)
		storm_refuse("a peer boots the guest itself: name it with --kernel, too");
	if (options->populate_mib == UINT64_MAX)
		options->populate_mib = 0;
	if (options->socket && options->server_option_count)
		storm_refuse("--server-option is for a server that is started here, --socket names "
			     "another");
	if (options->batch && (options->alive || options->rate > 0 || options->spares))
		storm_refuse("--batch excludes --alive, --rate and --spares");
	if (options->batch > options->count)
		options->batch = options->count;
	if (!options->concurrency && options->batch)
		options->concurrency = 2 * options->batch;
	if (options->concurrency < options->batch)
		options->concurrency = options->batch;
	if (!options->concurrency && options->alive)
		options->concurrency = 2 * (size_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!options->concurrency)
		options->concurrency = options->rate > 0 ? 1024 : 1;
	if (options->concurrency > options->count)
		options->concurrency = options->count;
	if (!options->peer_count)
		options->peer_count = options->count < PEER_DEFAULT ? options->count : PEER_DEFAULT;
	if (!options->request)
		options->request = strcmp(options->stub, "echo") == 0 ? "are you there?\n" : "";
	/* An empty request ends a session, and what others answer must not be seen twice. */
	if (options->sleep_after && strcmp(options->stub, "echo") != 0)
		storm_refuse(
			"--sleep-after is for --stub echo, whose answers can be checked again");
	if (options->check == CHECK_BY_IDENTITY)
		options->request = "identity";
	options->request_len = strlen(options->request);
	if (options->check == CHECK_BY_ECHO)
		options->request_len = CHECK_ECHO_LENGTH;
	if (options->request_len > REQUEST_MAX)
		storm_refuse("--request: longer than %d bytes", REQUEST_MAX);
}

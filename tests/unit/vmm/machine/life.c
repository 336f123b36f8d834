/* SPDX-License-Identifier: MIT */
/*
 * The life of a machine in one call each: see life.h.
 */
#include "tests/unit/vmm/machine/life.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/helper.h"

#define BOOT_TIMEOUT_NS (60 * NS_PER_SEC)

struct machine *life_load(const struct kvm_host *host, const struct machine_config *config,
			  const char *path, const char *args)
{
	struct machine *machine = NULL;
	struct error error = {0};

	cr_assert_eq(machine_new(host, config, &machine, &error), 0, "%s", error.text);
	cr_assert_eq(machine_load(machine, path, args, &error), 0, "%s", error.text);
	return machine;
}

struct machine *life_load_guest(const struct kvm_host *host, const struct machine_config *config,
				struct guest guest)
{
	char path[HELPER_PATH_SIZE];
	struct machine *machine;

	helper_file(path, ".bin", guest.start, (size_t)(guest.end - guest.start));
	machine = life_load(host, config, path, NULL);
	unlink(path);
	return machine;
}

void life_freeze(struct machine *machine)
{
	struct error error = {0};

	cr_assert_eq(machine_boot(machine, NULL, BOOT_TIMEOUT_NS, NULL, NULL, &error), 0, "%s",
		     error.text);
	cr_assert_eq(machine_freeze(machine, &error), 0, "%s", error.text);
}

struct machine *life_template(const struct kvm_host *host, const struct machine_config *config,
			      const char *path, const char *args)
{
	struct machine *machine = life_load(host, config, path, args);

	life_freeze(machine);
	return machine;
}

struct machine *life_template_guest(const struct kvm_host *host,
				    const struct machine_config *config, struct guest guest)
{
	struct machine *machine = life_load_guest(host, config, guest);

	life_freeze(machine);
	return machine;
}

struct clone *life_clone_new(void)
{
	struct clone *clone = mmap(NULL, sizeof(*clone), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(clone, MAP_FAILED);
	return clone;
}

void life_clone_free(struct clone *clone)
{
	munmap(clone, sizeof(*clone));
}

struct forkvm_identity life_identity(uint64_t id)
{
	struct forkvm_identity identity = {
		.clone_id = id,
		.wall_clock_ns = clock_ns(CLOCK_REALTIME),
	};

	for (size_t i = 0; i < sizeof(identity.generation_id); i++)
		identity.generation_id[i] = (uint8_t)(id + i + 1);
	for (size_t i = 0; i < sizeof(identity.seed); i++)
		identity.seed[i] = (uint8_t)(3 * id + i + 1);
	return identity;
}

static int on_answer(void *ctx, const void *data, size_t len)
{
	struct clone *clone = ctx;

	clone->answers++;
	clone->answer_len = len;
	memcpy(clone->answer, data, len);
	return clone->answer_result;
}

static int on_park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	struct clone *clone = ctx;

	if (!clone->requests)
		return 0;
	clone->requests--;
	*ret_len = min_u64(clone->request_len, capacity);
	if (*ret_len > 0)
		memcpy(buf, clone->request, *ret_len);
	return 1;
}

static int on_console(void *ctx, const char *text, size_t len)
{
	struct clone *clone = ctx;

	clone->console_len = min_u64(len, sizeof(clone->console));
	memcpy(clone->console, text, clone->console_len);
	return 0;
}

void life_run_here(struct machine *machine, uint64_t id, struct clone *clone)
{
	const struct machine_sink sink = {
		.ctx = clone, .answer = on_answer, .park = on_park, .console = on_console};
	struct forkvm_identity identity = life_identity(id);
	const void *request = clone->request ? clone->request : "";

	clone->thaw =
		machine_thaw(machine, &identity, clone->spare ? NULL : request,
			     clone->spare ? 0 : clone->request_len, &clone->stages, &clone->error);
	if (clone->thaw == 0)
		machine_run(machine, &sink, &clone->end);
}

void life_run_forked(struct machine *machine, uint64_t id, struct clone *clone)
{
	pid_t pid = fork();
	int status = -1;

	cr_assert_geq(pid, 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		life_run_here(machine, id, clone);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		cr_assert_eq(errno, EINTR);
	cr_assert_eq(status, 0, "the clone's process ended with %#x", status);
}

void life_ask(struct machine *machine, uint64_t id, const void *request, size_t len,
	      struct clone *clone)
{
	clone->answers = 0;
	clone->request = request;
	clone->request_len = len;
	life_run_forked(machine, id, clone);
	cr_assert_eq(clone->thaw, 0, "%s", clone->error.text);
	cr_assert_eq(clone->end.reason, MACHINE_END_DONE, "%s: %s",
		     machine_end_name(clone->end.reason), clone->end.error.text);
	cr_assert_eq(clone->end.status, 0);
	cr_assert_eq(clone->answers, 1);
}

/* SPDX-License-Identifier: MIT */
/*
 * Machines with disks, for tests: see disks.h.
 */
#include "tests/unit/vmm/machine/disks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"

struct kvm_host *disks_host;
struct clone *disks_clone;

void disks_set_up(void)
{
	disks_host = require_kvm();
	disks_clone = life_clone_new();
}

void disks_tear_down(void)
{
	life_clone_free(disks_clone);
	kvm_host_close(disks_host);
}

int disks_memory(uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

int disks_file(uint64_t size)
{
	char path[HELPER_PATH_SIZE];
	int fd;

	helper_file(path, ".img", "", 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	unlink(path);
	cr_assert_eq(ftruncate(fd, (off_t)size), 0);
	return fd;
}

struct machine_config disks_config(unsigned int vcpus, int image_fd)
{
	return (struct machine_config){
		.ram_size = 64 * MIB,
		.vcpus = vcpus,
		.disks = {{.image_fd = image_fd, .overlay = DISK_OVERLAY_IN_MEMORY}},
		.disk_count = 1,
	};
}

const char *disks_ask(struct machine *machine, const char *request)
{
	struct clone *clone = disks_clone;

	life_ask(machine, 1, request, strlen(request), clone);
	clone->answer[clone->answer_len] = '\0';
	return (const char *)clone->answer;
}

void disks_expect(struct machine *machine, const char *request, const char *wanted)
{
	const char *answer = disks_ask(machine, request);

	cr_assert_neq(strstr(answer, wanted), NULL, "%s: %s, not %s", request, answer, wanted);
}

void disks_expect_ok(struct machine *machine, const char *request)
{
	disks_expect(machine, request, "ok ");
}

/* ---- Several requests to one clone ---- */

struct session {
	const char *const *requests; /* the next one; NULL ends it */
	char answer[FORKVM_MAX_RESPONSE];
	char complaints[1024];
};

static int on_answer(void *ctx, const void *data, size_t len)
{
	struct session *session = ctx;

	memcpy(session->answer, data, len);
	session->answer[len] = '\0';
	if (strncmp(session->answer, "ok ", 3) == 0)
		return 0;
	fprintf(stderr, "%s: %s", session->requests[-1], session->answer);
	return -EPROTO;
}

static int on_park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	struct session *session = ctx;
	const char *request = *session->requests;

	if (!request)
		return 0;
	session->requests++;
	*ret_len = min_u64(strlen(request), capacity);
	memcpy(buf, request, *ret_len);
	return 1;
}

static void on_complaint(void *ctx, const char *text)
{
	struct session *session = ctx;
	size_t len = strlen(session->complaints);

	snprintf(session->complaints + len, sizeof(session->complaints) - len, "%s\n", text);
}

static int give(struct machine *machine, const struct disks_given *given, struct error *error)
{
	if (given && given->overlay)
		return machine_clone_disk(machine, given->index, given->overlay, error);
	if (given)
		return machine_insert_disk(machine, given->index, given->config, error);
	return 0;
}

int disks_run(void *context)
{
	const struct disks_plan *plan = context;
	const struct forkvm_identity identity = life_identity(1);
	static struct session session;
	const struct machine_sink sink = {
		.ctx = &session, .answer = on_answer, .park = on_park, .complain = on_complaint};
	struct machine_stages stages = {0};
	struct machine_end end;
	struct error error = {0};
	int rc = give(plan->machine, plan->given, &error);

	session.requests = plan->requests + 1;
	if (rc == 0)
		rc = machine_thaw(plan->machine, &identity, plan->requests[0],
				  strlen(plan->requests[0]), &stages, &error);
	if (rc < 0) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	machine_run(plan->machine, &sink, &end);
	if (end.reason != MACHINE_END_DONE) {
		fprintf(stderr, "%s: %s\n", machine_end_name(end.reason), end.error.text);
		return 2;
	}
	if (strcmp(session.complaints, plan->complaints ? plan->complaints : "") == 0)
		return 0;
	fprintf(stderr, "complaints: %s", session.complaints);
	return 3;
}

void disks_session(struct machine *machine, const struct disks_given *given,
		   const char *const *requests)
{
	struct disks_plan plan = {.machine = machine, .given = given, .requests = requests};

	cr_assert_eq(helper_in_child(disks_run, &plan), 0);
}

struct machine *disks_four(void)
{
	struct machine_config config = disks_config(1, disks_memory(DISKS_SIZE));

	config.disk_count = 4;
	config.disks[1] =
		(struct disk_config){.image_fd = disks_file(2 * MIB), .mode = DISK_READ_ONLY};
	config.disks[2] = (struct disk_config){.image_fd = -1, .overlay = DISK_OVERLAY_IN_MEMORY};
	config.disks[3] = (struct disk_config){
		.image_fd = -1, .size = 3 * MIB, .overlay = DISK_OVERLAY_IN_MEMORY};
	return life_template(disks_host, &config, STUB("blk"), "disks=4");
}

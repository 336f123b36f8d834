/* SPDX-License-Identifier: MIT */
/* What QEMU boots, what its clones are asked, and what is a right answer. See qemu.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>

#include "bench/peer/qemu.h"
#include "guest-stubs/qemu/qemu_abi.h"

/* Nothing that the guest does not need; for Linux ACPI, without which it looks for PIC and PIT. */
#define MICROVM "microvm,acpi=%s,pit=off,pic=off,rtc=off,auto-kernel-cmdline=off"
#define Q35	"q35,usb=off,smbus=off,sata=off,vmport=off"

int qemu_guest_settle(struct qemu *qemu)
{
	const struct storm_options *options = qemu->options;
	char name[64];

	qemu->stub = !options->kernel;
	if (qemu->has_microvm)
		snprintf(qemu->machine, sizeof(qemu->machine), MICROVM, qemu->stub ? "off" : "on");
	else
		snprintf(qemu->machine, sizeof(qemu->machine), Q35);
	if (!qemu->stub) {
		snprintf(qemu->image, sizeof(qemu->image), "%s", options->kernel);
		return qemu_make_initrd(qemu);
	}
	snprintf(name, sizeof(name), PEER_QEMU_STUB "%s", options->stub);
	if (stub_find(name, qemu->image) < 0) {
		fprintf(stderr, "clone_storm: --peer qemu: no %s in %s\n", name, qemu->image);
		return -1;
	}
	return 0;
}

/* What forkvm's server would write into a clone's mailbox. */
static int make_identity(uint64_t id, struct forkvm_identity *ret)
{
	struct timespec now;

	ret->clone_id = id;
	if (getrandom(ret->generation_id, sizeof(ret->generation_id), 0) < 0 ||
	    getrandom(ret->seed, sizeof(ret->seed), 0) < 0)
		return -errno;
	clock_gettime(CLOCK_REALTIME, &now);
	ret->wall_clock_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return 0;
}

static int write_request(const struct qemu *qemu, uint64_t id, int fd)
{
	const struct storm_options *options = qemu->options;
	struct forkvm_mailbox mailbox = {0};
	struct iovec parts[] = {
		{.iov_base = (char *)&mailbox + FORKVM_QEMU_HEADER_AT,
		 .iov_len = FORKVM_QEMU_HEADER},
		{.iov_base = (char *)(uintptr_t)options->request, .iov_len = options->request_len},
	};
	size_t size = FORKVM_QEMU_HEADER + (id ? options->request_len : 0);
	ssize_t written;

	if (id) {
		int rc = make_identity(id, &mailbox.identity);

		if (rc < 0)
			return rc;
		mailbox.is_clone = 1;
		mailbox.request_seq = 1;
		mailbox.request_len = (uint32_t)options->request_len;
	}
	written = writev(fd, parts, id ? 2 : 1);
	if (written < 0)
		return -errno;
	return (size_t)written == size ? 0 : -EIO;
}

int qemu_guest_request_file(const struct qemu *qemu, uint64_t id)
{
	int fd = memfd_create("request", MFD_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	rc = write_request(qemu, id, fd);
	if (rc < 0)
		close(fd);
	return rc < 0 ? rc : fd;
}

void qemu_guest_line(uint64_t id, char line[QEMU_LINE_SIZE])
{
	snprintf(line, QEMU_LINE_SIZE, "t%016llx\n", (unsigned long long)id);
}

/* A Linux guest answers "ok " and the line. */
static enum check_verdict judge_line(uint64_t id, const char *answer, size_t length,
				     const char **ret_reason)
{
	char line[QEMU_LINE_SIZE], expected[QEMU_LINE_SIZE + 3];
	size_t whole;

	qemu_guest_line(id, line);
	whole = (size_t)snprintf(expected, sizeof(expected), "ok %s", line);
	if (length > whole || memcmp(answer, expected, length) != 0) {
		*ret_reason = "wrong answer";
		return CHECK_BAD;
	}
	return length == whole ? CHECK_GOOD : CHECK_SHORT;
}

enum check_verdict qemu_guest_judge(const struct qemu *qemu, struct checker *checker, uint64_t id,
				    const char *answer, size_t length, const char **ret_reason)
{
	if (!qemu->stub)
		return judge_line(id, answer, length, ret_reason);
	return check_answer(checker, id, answer, length, ret_reason);
}

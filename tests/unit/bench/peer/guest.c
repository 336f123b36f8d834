/* SPDX-License-Identifier: MIT */
/* What a peer's guest reads, and how its answer is judged. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/peer/qemu.h"
#include "guest-stubs/qemu/qemu_abi.h"

#define REQUEST "are you there?"

static const struct storm_options echo = {
	.stub = "echo", .request = REQUEST, .request_len = sizeof(REQUEST) - 1};
static const struct storm_options linux_guest = {.kernel = "vmlinuz", .check = CHECK_BY_ECHO};

/* The file that a stub of that number would read; the bytes in it. */
static size_t read_request(const struct storm_options *options, uint64_t id,
			   struct forkvm_mailbox *ret, char *request, size_t capacity)
{
	const struct qemu qemu = {.options = options, .stub = true};
	int fd = qemu_guest_request_file(&qemu, id);
	ssize_t head, rest;

	cr_assert_geq(fd, 0);
	memset(ret, 0, sizeof(*ret));
	head = pread(fd, (char *)ret + FORKVM_QEMU_HEADER_AT, FORKVM_QEMU_HEADER, 0);
	rest = pread(fd, request, capacity, (off_t)FORKVM_QEMU_HEADER);
	close(fd);
	cr_assert_eq((size_t)head, FORKVM_QEMU_HEADER);
	cr_assert_geq(rest, 0);
	return (size_t)rest;
}

Test(peer_guest, the_template_reads_zeros)
{
	struct forkvm_mailbox mailbox;
	const struct forkvm_mailbox zeros = {0};
	char request[64];

	cr_assert_eq(read_request(&echo, 0, &mailbox, request, sizeof(request)), 0u);
	cr_assert_eq(memcmp(&mailbox, &zeros, sizeof(mailbox)), 0);
}

Test(peer_guest, a_clone_reads_who_it_is_and_its_request)
{
	struct forkvm_mailbox one, other;
	char request[64];
	size_t length = read_request(&echo, 7, &one, request, sizeof(request));

	cr_assert_eq(length, sizeof(REQUEST) - 1);
	cr_assert_eq(memcmp(request, REQUEST, length), 0);
	cr_assert_eq(one.is_clone, 1u);
	cr_assert_eq(one.request_len, length);
	cr_assert_eq(one.request_seq, 1u);
	cr_assert_eq(one.identity.clone_id, 7u);
	cr_assert_gt(one.identity.wall_clock_ns, 0u);

	read_request(&echo, 8, &other, request, sizeof(request));
	cr_assert_eq(other.identity.clone_id, 8u);
	cr_assert_neq(memcmp(one.identity.generation_id, other.identity.generation_id,
			     sizeof(one.identity.generation_id)),
		      0);
	cr_assert_neq(memcmp(one.identity.seed, other.identity.seed, sizeof(one.identity.seed)), 0);
}

static enum check_verdict judge(const struct storm_options *options, uint64_t id,
				const char *answer)
{
	const struct qemu qemu = {.options = options, .stub = !options->kernel};
	struct checker checker = {.by = options->check,
				  .stub = options->stub,
				  .request = options->request,
				  .request_len = options->request_len};
	const char *reason = NULL;
	enum check_verdict verdict =
		qemu_guest_judge(&qemu, &checker, id, answer, strlen(answer), &reason);

	cr_assert_eq(verdict == CHECK_BAD, reason != NULL);
	samples_done(&checker.once);
	return verdict;
}

Test(peer_guest, a_stub_is_judged_as_forkvms_is)
{
	const struct storm_options hello = {.stub = "hello", .request = ""};

	cr_expect_eq(judge(&echo, 1, REQUEST), CHECK_GOOD);
	cr_expect_eq(judge(&echo, 1, "are you"), CHECK_SHORT);
	cr_expect_eq(judge(&echo, 1, REQUEST "?"), CHECK_BAD);
	cr_expect_eq(judge(&hello, 1, "ok hello clone=1\n"), CHECK_GOOD);
	cr_expect_eq(judge(&hello, 1, "ok hello clone="), CHECK_SHORT);
	cr_expect_eq(judge(&hello, 1, "FAIL\n"), CHECK_BAD);
}

Test(peer_guest, linux_repeats_its_own_line)
{
	char line[QEMU_LINE_SIZE], answer[64];

	qemu_guest_line(3, line);
	snprintf(answer, sizeof(answer), "ok %s", line);
	cr_expect_eq(judge(&linux_guest, 3, answer), CHECK_GOOD);
	cr_expect_eq(judge(&linux_guest, 4, answer), CHECK_BAD, "another's line");
	cr_expect_eq(judge(&linux_guest, 3, "ok t"), CHECK_SHORT);
	cr_expect_eq(judge(&linux_guest, 3, line), CHECK_BAD);
	snprintf(answer, sizeof(answer), "ok %sx", line);
	cr_expect_eq(judge(&linux_guest, 3, answer), CHECK_BAD, "more than that");
}

Test(peer_guest, a_stub_without_an_image_for_qemu_is_named)
{
	const struct storm_options options = {.stub = "nothing-of-that-name"};
	struct qemu qemu = {.options = &options, .has_microvm = true};

	cr_assert_eq(qemu_guest_settle(&qemu), -1);
	cr_assert(qemu.stub);
	cr_assert_not_null(strstr(qemu.machine, "microvm,acpi=off"));
}

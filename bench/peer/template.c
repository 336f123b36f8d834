/* SPDX-License-Identifier: MIT */
/* Boots QEMU's template and has it save its state. See qemu.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/peer/qemu.h"
#include "bench/peer/serial_service.h"

#define BOOT_TIMEOUT_S 90
#define BOOT_TRIES     3
#define STEP_TIMEOUT_S 60
#define WARM_REQUESTS  3	  /* so that what answers is in memory */
#define QUIET_NS       300000000L /* for the guest to become idle      */
#define CONSOLE_SIZE   16384

#define CAPABILITIES                                                                  \
	"{\"execute\":\"qmp_capabilities\"}\n"                                        \
	"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[" \
	"{\"capability\":\"x-ignore-shared\",\"state\":true},"                        \
	"{\"capability\":\"events\",\"state\":true}]}}\n"

static int complain(const struct qemu *qemu, const char *what)
{
	char words[200];

	qemu_last_words(qemu, words, sizeof(words));
	fprintf(stderr, "clone_storm: QEMU's template: %s (QEMU: %s)\n", what, words);
	return -1;
}

/* What the guest said last; for when it says nothing more. */
static void show_console(const char *console, size_t length)
{
	const char *from = length > 1500 ? console + length - 1500 : console;

	if (length)
		fprintf(stderr, "the end of its console:\n%.*s\n", (int)(console + length - from),
			from);
}

/* Wait until fd can be read. 0, or -errno: -ETIMEDOUT, -EINTR. */
static int await(int fd, uint64_t deadline_ns)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	uint64_t now = now_ns();
	int rc;

	if (storm_interrupted)
		return -EINTR;
	if (now >= deadline_ns)
		return -ETIMEDOUT;
	rc = poll(&poll_fd, 1, (int)((deadline_ns - now) / 1000000) + 1);
	if (rc < 0)
		return errno == EINTR && !storm_interrupted ? 0 : -errno;
	return rc == 0 ? -ETIMEDOUT : 0;
}

/* Read the serial port until text has come. 0, or -errno after saying why. */
static int await_text(const struct qemu *qemu, int serial, const char *text, unsigned int seconds)
{
	uint64_t deadline_ns = now_ns() + (uint64_t)seconds * 1000000000u;
	char console[CONSOLE_SIZE], what[120];
	size_t used = 0;
	int rc = 0;

	while (!memmem(console, used, text, strlen(text))) {
		ssize_t got;

		if (used == sizeof(console)) {
			memmove(console, console + used / 2, used / 2);
			used /= 2;
		}
		rc = await(serial, deadline_ns);
		if (rc < 0)
			break;
		got = recv(serial, console + used, sizeof(console) - used, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
			rc = -ECONNRESET;
			break;
		}
		if (got > 0)
			used += (size_t)got;
	}
	if (rc == 0)
		return 0;
	snprintf(what, sizeof(what), "waiting for \"%.*s\" on its serial port: %s",
		 (int)strcspn(text, "\n"), text, rc == -ECONNRESET ? "QEMU ended" : strerror(-rc));
	complain(qemu, what);
	show_console(console, used);
	return rc;
}

static int warm_up(const struct qemu *qemu, int serial)
{
	const struct timespec quiet = {.tv_nsec = QUIET_NS};

	for (int i = 0; i < WARM_REQUESTS; i++) {
		char request[32], answer[40];

		nanosleep(&quiet, NULL);
		snprintf(request, sizeof(request), "warm-%d\n", i);
		snprintf(answer, sizeof(answer), "ok %s", request);
		if (qmp_send(serial, request, -1) < 0)
			return complain(qemu, "its serial port takes no request");
		if (await_text(qemu, serial, answer, STEP_TIMEOUT_S) < 0)
			return -1;
	}
	nanosleep(&quiet, NULL);
	return 0;
}

/* "completed" or "failed" when message is the event that says so. */
static const char *migration_end(const json_t *message)
{
	const char *status =
		json_string_value(json_object_get(json_object_get(message, "data"), "status"));

	if (!qmp_is_event(message, "MIGRATION") || !status)
		return NULL;
	return strcmp(status, "completed") == 0 || strcmp(status, "failed") == 0 ? status : NULL;
}

static int await_migration(const struct qemu *qemu, int qmp)
{
	uint64_t deadline_ns = now_ns() + STEP_TIMEOUT_S * UINT64_C(1000000000);
	struct qmp_buffer buffer = {0};
	int rc = 0;

	while (rc == 0) {
		json_t *message = qmp_next(qmp, &buffer, &rc);
		const char *error = qmp_error(message), *end = migration_end(message);

		if (error || end) {
			bool good = end && strcmp(end, "completed") == 0;

			rc = good ? 0 : complain(qemu, error ? error : "saving its state failed");
			json_decref(message);
			return rc;
		}
		if (!message && rc == 0)
			rc = await(qmp, deadline_ns);
		json_decref(message);
	}
	return complain(qemu, strerror(-rc));
}

static int save(const struct qemu *qemu, int qmp, struct peer *peer)
{
	static const char getfd[] =
		"{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"}}\n";
	static const char migrate[] =
		"{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:state\"}}\n";
	int fd = open(qemu->state, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;
	struct stat status;

	if (fd < 0)
		return complain(qemu, strerror(errno));
	rc = qmp_send(qmp, CAPABILITIES, -1);
	if (rc == 0)
		rc = qmp_send(qmp, getfd, fd);
	if (rc == 0)
		rc = qmp_send(qmp, migrate, -1);
	rc = rc < 0 ? complain(qemu, strerror(-rc)) : await_migration(qemu, qmp);
	if (rc == 0 && (fstat(fd, &status) < 0 || status.st_size == 0))
		rc = complain(qemu, "its state file is empty");
	if (rc == 0)
		peer->state_bytes = (uint64_t)status.st_size;
	close(fd);
	return rc;
}

/* Boot a template until it is set up; *ret is to be ended whatever comes of it. */
static int boot(const struct qemu *qemu, struct qemu_vm *ret, struct peer *peer)
{
	int far[2], rc = qemu_connect(ret, far);

	if (rc == 0) {
		rc = qemu_start(qemu, far, 0, ret);
		close(far[0]);
		close(far[1]);
	}
	if (rc < 0)
		return complain(qemu, strerror(-rc));
	rc = await_text(qemu, ret->serial, PEER_MARKER "\n", BOOT_TIMEOUT_S);
	peer->template_ns = now_ns() - ret->start_ns;
	return rc;
}

int qemu_make_template(const struct qemu *qemu, struct peer *peer)
{
	struct qemu_vm vm;
	int rc = boot(qemu, &vm, peer);

	/* Where KVM itself is emulated a guest's interrupt is lost at times, and it stands still.
	 */
	for (int i = 1; i < BOOT_TRIES && rc == -ETIMEDOUT; i++) {
		fprintf(stderr, "clone_storm: QEMU's template is booted once more\n");
		qemu_end(&vm);
		unlink(qemu->ram);
		rc = boot(qemu, &vm, peer);
	}
	/* A stub is at its template point and waits for the one request that it will have. */
	if (rc == 0 && !qemu->stub)
		rc = warm_up(qemu, vm.serial);
	if (rc == 0)
		rc = save(qemu, vm.qmp, peer);
	qemu_end(&vm);
	return rc;
}

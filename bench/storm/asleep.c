/* SPDX-License-Identifier: MIT */
/* Clones that sleep: see asleep.h. */
#define _GNU_SOURCE
#include "bench/storm/asleep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/storm/memory.h"

#define LOOK_NS	 20000000L

/* What the kernel calls the descriptors of a VM and its vCPUs. */
#define KVM_FILE "anon_inode:kvm-v"

/* Has this process a VM? No when it is gone. */
static bool has_vm(pid_t pid)
{
	char path[64], target[sizeof(KVM_FILE)];
	bool found = false;
	struct dirent *entry;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	while (folder && !found && (entry = readdir(folder)))
		found = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target)) >=
				(ssize_t)strlen(KVM_FILE) &&
			memcmp(target, KVM_FILE, strlen(KVM_FILE)) == 0;
	if (folder)
		closedir(folder);
	return found;
}

/* Who sleeps goes on sleeping until it is asked: so each is waited for once. */
static bool await(struct engine *engine, const pid_t *pids, size_t count)
{
	const uint64_t patience_ns = (uint64_t)engine->round.options->timeout_s * NS_PER_SEC;
	const struct timespec pause = {.tv_nsec = LOOK_NS};
	uint64_t since_ns = now_ns();
	size_t asleep = 0;

	while (asleep < count && !storm_interrupted && now_ns() - since_ns < patience_ns) {
		if (has_vm(pids[asleep])) {
			nanosleep(&pause, NULL);
			continue;
		}
		asleep++;
		since_ns = now_ns();
	}
	if (asleep < count)
		engine->fatal = storm_interrupted ? "interrupted"
						  : "a clone does not sleep (see --timeout)";
	return asleep == count;
}

/* Its answer, or why there is none. */
static const char *read_answer(struct engine *engine, struct slot *slot, size_t *ret_length)
{
	struct pollfd ready = {.fd = slot->near_fd, .events = POLLIN};
	ssize_t got;

	if (poll(&ready, 1, (int)(engine->round.options->timeout_s * 1000)) <= 0)
		return "no answer when it was asked again";
	got = slot_read(&engine->slots, slot, engine->buffer, ENGINE_BUFFER, &slot->pid);
	if (got <= 0)
		return "ended when it was asked again";
	*ret_length = (size_t)got;
	return NULL;
}

static void ask(struct engine *engine, struct slot *slot)
{
	const uint64_t token = engine->checker->next_token++;
	const char *reason = "half an answer when it was asked again";
	char buffer[CHECK_ECHO_LENGTH + 1];
	const char *request = check_request(engine->checker, token, buffer);
	const char *failure;
	uint64_t sent_ns = now_ns();
	size_t length = 0;

	if (send(slot->near_fd, request, engine->checker->request_len, MSG_NOSIGNAL) < 0) {
		engine_fail(engine, slot, strerror(errno));
		return;
	}
	failure = read_answer(engine, slot, &length);
	if (!failure &&
	    check_answer(engine->checker, token, engine->buffer, length, &reason) != CHECK_GOOD)
		failure = reason;
	if (failure)
		engine_fail(engine, slot, failure);
	else
		samples_add(&engine->result->asleep.woken, now_ns() - sent_ns);
}

void asleep_look(struct engine *engine, const pid_t *pids, size_t count)
{
	struct storm_asleep *result = &engine->result->asleep;
	const uint64_t from_ns = now_ns();

	if (!await(engine, pids, count))
		return;
	result->seconds = (double)(now_ns() - from_ns) / 1e9;
	memory_look_again(&result->memory, &engine->result->memory, engine->round.quiet_steps, pids,
			  count);
	samples_reserve(&result->woken, count);
	for (size_t i = 0; i < engine->slots.count && !storm_interrupted; i++) {
		struct slot *slot = &engine->slots.list[i];

		if (slot->busy && slot->answered && !slot->failed)
			ask(engine, slot);
	}
}

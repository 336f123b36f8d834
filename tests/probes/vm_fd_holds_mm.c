/* SPDX-License-Identifier: MIT */
/*
 * Probe: an open VM descriptor keeps the address space of its maker, though not its pages.
 *
 * A VM belongs to the mm that made it and holds a reference to it. When a process hands its VM
 * descriptor to another (a fork does, for every one that is open) and dies, its user pages are
 * freed, but its mm_struct, top-level page table and the VM's own kernel memory stay until the last
 * holder closes. So a template closes every VM descriptor before it forks, and a clone never lets
 * one of its own get out.
 *
 * Seen by the kernel's count of mm_struct objects (/proc/slabinfo, root only) over many processes
 * that each leave a VM behind.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAKERS	  150
#define RAM_BYTES (4 * PROBE_MIB)

struct link {
	int kvm;
	int pair[2];
};

/* Objects in use in the kernel's cache of that name; -1 when it cannot be known. */
static long slab_objects(const char *name)
{
	char line[512], cache[64];
	long active, result = -1;
	FILE *file = fopen("/sys/kernel/slab/mm_struct/shrink", "we");

	/* Each CPU keeps free objects at hand, which count as used until they are given back. */
	if (file) {
		fputs("1\n", file);
		fclose(file);
	}
	file = fopen("/proc/slabinfo", "re");

	if (!file)
		return -1;
	while (result < 0 && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %ld", cache, &active) == 2 && strcmp(cache, name) == 0)
			result = active;
	fclose(file);
	return result;
}

/* A process that makes a VM, fills some memory of its own, hands the VM over and ends. */
static int maker(void *context)
{
	const struct link *link = context;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int vm = ioctl(link->kvm, KVM_CREATE_VM, 0);
	char *ram =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	probe_need(vm >= 0 && ram != MAP_FAILED, "VM and memory");
	memset(ram, 1, RAM_BYTES);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &vm, sizeof(vm));
	probe_need(sendmsg(link->pair[0], &message, 0) == 1, "sendmsg");
	return 0;
}

static int receive_fd(int from)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int fd;

	probe_need(recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1, "recvmsg");
	probe_need(CMSG_FIRSTHDR(&message) != NULL, "a descriptor");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

int main(void)
{
	struct link link = {.kvm = probe_kvm_open()};
	long before, held, after, anon_before, anon_held;
	int fds[MAKERS];

	before = slab_objects("mm_struct");
	if (before < 0)
		probe_skip("/proc/slabinfo cannot be read (root only), or has no mm_struct");
	anon_before = probe_proc_value("/proc/meminfo", "AnonPages");
	probe_need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link.pair) == 0, "pair");
	for (int i = 0; i < MAKERS; i++) {
		probe_need(probe_in_child(maker, &link) == 0, "maker %d", i);
		fds[i] = receive_fd(link.pair[1]);
	}
	held = slab_objects("mm_struct");
	anon_held = probe_proc_value("/proc/meminfo", "AnonPages");
	for (int i = 0; i < MAKERS; i++)
		close(fds[i]);
	sleep(1); /* the last references go with a grace period */
	after = slab_objects("mm_struct");

	probe_say(
		"mm_struct objects: %ld before, %ld with %d VMs of dead processes open, %ld after",
		before, held, MAKERS, after);
	probe_say("their own memory (%lu KiB each) did not stay: AnonPages grew by %ld KiB",
		  RAM_BYTES / 1024, anon_held - anon_before);
	/* Other processes come and go meanwhile. */
	probe_check(held - before >= MAKERS * 8 / 10, "%ld more", held - before);
	probe_check(held - after >= MAKERS * 8 / 10, "%ld fewer", held - after);
	probe_check(anon_held - anon_before < (long)(MAKERS * RAM_BYTES / 1024 / 4), "%ld KiB",
		    anon_held - anon_before);
	return probe_result();
}

/* SPDX-License-Identifier: MIT */
/*
 * Are there other VMs on the host? One alone spares KVM the work that the first and the last VM of
 * a host cause, and "plain" is then not what its name says.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/floor/floor.h"

static unsigned int count_in(const char *folder)
{
	const struct dirent *entry;
	unsigned int count = 0;
	DIR *fds = opendir(folder);

	while (fds && (entry = readdir(fds))) {
		char target[64];
		ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = '\0';
		count += strcmp(target, "anon_inode:kvm-vm") == 0;
	}
	if (fds)
		closedir(fds);
	return count;
}

unsigned int floor_count_other_vms(void)
{
	const struct dirent *entry;
	unsigned int count = 0;
	DIR *proc = opendir("/proc");

	while (proc && (entry = readdir(proc))) {
		char folder[300];

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(folder, sizeof(folder), "/proc/%s/fd", entry->d_name);
		count += count_in(folder);
	}
	if (proc)
		closedir(proc);
	return count;
}

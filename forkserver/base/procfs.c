/* SPDX-License-Identifier: MIT */
/*
 * Figures from /proc (proc(5)).
 */
#include "forkserver/base/procfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/sys.h"
#include "vmm/base/cleanup.h"

/* Read a file of pid (0: this process) whole, at most size - 1 bytes, and terminate it. */
static int read_file(pid_t pid, const char *name, char *data, size_t size)
{
	_cleanup_close_ int fd = -1;
	char path[64];
	ssize_t len;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	else
		snprintf(path, sizeof(path), "/proc/self/%s", name);
	fd = sys_open_read(path);
	if (fd < 0)
		return fd;
	len = read(fd, data, size - 1);
	if (len < 0)
		return -errno;
	data[len] = '\0';
	return 0;
}

/* The number that follows name in a text of lines. 0 when it is not there. */
static uint64_t field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

int procfs_memory(pid_t pid, struct process_memory *ret)
{
	char text[4096];
	int rc = read_file(pid, "smaps_rollup", text, sizeof(text));

	if (rc < 0)
		return rc;
	ret->rss_kib = field(text, "\nRss:");
	ret->pss_kib = field(text, "\nPss:");
	ret->private_kib = field(text, "\nPrivate_Clean:") + field(text, "\nPrivate_Dirty:");
	rc = read_file(pid, "status", text, sizeof(text));
	if (rc < 0)
		return rc;
	ret->page_tables_kib = field(text, "\nVmPTE:");
	return 0;
}

int procfs_private_bytes(pid_t pid, uint64_t *ret)
{
	unsigned long size, resident, shared;
	char text[128];
	int rc = read_file(pid, "statm", text, sizeof(text));

	if (rc < 0)
		return rc;
	if (sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3)
		return -EBADMSG;
	*ret = resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
	return 0;
}

int procfs_count_descriptors(void)
{
	_cleanup_close_ int fd = sys_open_read("/proc/self/fd");
	char entries[4096];
	int count = 0;
	ssize_t size;

	if (fd < 0)
		return fd;
	while ((size = sys_getdents(fd, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < size;) {
			/* struct linux_dirent64: d_reclen after two 64-bit fields */
			unsigned short length;

			memcpy(&length, entries + at + 16, sizeof(length));
			at += length;
			count++;
		}
	}
	/* Not ".", "..", and the descriptor that was opened for counting. */
	return size < 0 ? (int)size : count - 3;
}

int procfs_oom_kills(int fd, uint64_t *ret)
{
	char text[16384];
	const char *at;
	ssize_t len = sys_pread(fd, text, sizeof(text) - 1);

	if (len < 0)
		return (int)len;
	text[len] = '\0';
	at = strstr(text, "\noom_kill ");
	if (!at)
		return -ENODATA;
	*ret = strtoull(at + strlen("\noom_kill "), NULL, 10);
	return 0;
}

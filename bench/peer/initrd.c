/* SPDX-License-Identifier: MIT */
/*
 * The guest's initial ramdisk: the one that was given, and behind it an archive with the program
 * that answers. The kernel unpacks one after the other, wherever four bytes are aligned.
 * Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst ("newc").
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/peer/qemu.h"
#include "bench/peer/serial_service.h"

#define SERVICE "peer-init" /* among the guests of this build */

static void pad(FILE *out)
{
	while (ftell(out) % 4)
		fputc(0, out);
}

static void put_header(FILE *out, const char *name, unsigned int mode, long size)
{
	/* magic, inode, mode, uid, gid, links, mtime, size, device (2), its own (2), name, check */
	fprintf(out, "070701%08x%08x%08x%08x%08x%08x%08lx%08x%08x%08x%08x%08zx%08x", 0, mode, 0, 0,
		1, 0, (unsigned long)size, 0, 0, 0, 0, strlen(name) + 1, 0);
	fputs(name, out);
	fputc(0, out);
	pad(out);
}

/* Append the bytes of the file at path. -1 after saying why. */
static int copy(FILE *out, const char *path)
{
	FILE *in = fopen(path, "re");
	char block[16384];
	size_t got;
	bool bad;

	if (!in) {
		fprintf(stderr, "clone_storm: %s: %s\n", path, strerror(errno));
		return -1;
	}
	while ((got = fread(block, 1, sizeof(block), in)) > 0)
		fwrite(block, 1, got, out);
	bad = ferror(in);
	fclose(in);
	if (bad)
		fprintf(stderr, "clone_storm: read %s: failed\n", path);
	return bad ? -1 : 0;
}

static int put_service(FILE *out)
{
	char service[STUB_PATH_SIZE];
	struct stat status;

	if (stub_find(SERVICE, service) < 0 || stat(service, &status) < 0) {
		fprintf(stderr, "clone_storm: no program " SERVICE " in %s\n", service);
		return -1;
	}
	put_header(out, "dev", S_IFDIR | 0755, 0);
	put_header(out, PEER_INIT + 1, S_IFREG | 0755, (long)status.st_size);
	if (copy(out, service) < 0)
		return -1;
	pad(out);
	put_header(out, "TRAILER!!!", 0, 0);
	return 0;
}

int qemu_make_initrd(const struct qemu *qemu)
{
	FILE *out = fopen(qemu->initrd, "we");
	int rc = 0;

	if (!out) {
		fprintf(stderr, "clone_storm: %s: %s\n", qemu->initrd, strerror(errno));
		return -1;
	}
	if (qemu->options->initrd)
		rc = copy(out, qemu->options->initrd);
	pad(out);
	if (rc == 0)
		rc = put_service(out);
	if (ferror(out) | fclose(out)) {
		fprintf(stderr, "clone_storm: write %s: failed\n", qemu->initrd);
		rc = -1;
	}
	return rc;
}

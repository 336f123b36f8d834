/* SPDX-License-Identifier: MIT */
/*
 * What the tests of disks share: see fixture.h.
 */
#include "tests/unit/vmm/block/fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/require.h"
#include "vmm/base/util.h"

static pid_t test_process;

__attribute__((constructor)) static void note_process(void)
{
	test_process = getpid();
}

void fixture_expect(bool condition, const char *what, const char *why)
{
	if (condition)
		return;
	if (getpid() == test_process)
		cr_assert_fail("%s does not hold: %s", what, why);
	fprintf(stderr, "in a child: %s does not hold: %s\n", what, why);
	_exit(99);
}

uint64_t fixture_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull); /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void fixture_fill(uint64_t seed, void *memory, uint64_t size)
{
	uint8_t *bytes = memory;

	for (uint64_t i = 0; i < size; i += 8) {
		uint64_t number = fixture_random(&seed);

		memcpy(bytes + i, &number, min_u64(size - i, 8));
	}
}

static bool is_on_a_device(const char *folder)
{
	struct statfs fs;

	return folder && statfs(folder, &fs) == 0 && fs.f_type != TMPFS_MAGIC &&
	       fs.f_type != RAMFS_MAGIC;
}

const char *fixture_folder(void)
{
	const char *folders[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", "."};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (is_on_a_device(folders[i]))
			return folders[i];
	}
	require(false, "all folders for temporary files are in memory: set TMPDIR");
	return NULL;
}

void fixture_path(char *path)
{
	int fd;

	snprintf(path, HELPER_PATH_SIZE, "%s/forkvm-disk-XXXXXX", fixture_folder());
	fd = mkstemp(path);
	EXPECT(fd >= 0, path);
	close(fd);
	unlink(path);
}

int fixture_file(bool in_memory)
{
	char path[HELPER_PATH_SIZE];
	int fd;

	if (in_memory) {
		fd = memfd_create("fixture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	} else {
		fixture_path(path);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		unlink(path);
	}
	EXPECT(fd >= 0, strerror(errno));
	return fd;
}

static void write_content(int fd, uint64_t seed, uint64_t size)
{
	uint8_t *content = malloc(size);

	fixture_fill(seed, content, size);
	EXPECT(pwrite(fd, content, size, 0) == (ssize_t)size, "");
	free(content);
}

int fixture_image(bool in_memory, uint64_t seed, uint64_t size)
{
	int fd = fixture_file(in_memory);

	write_content(fd, seed, size);
	return fd;
}

void fixture_named_image(char *path, uint64_t seed, uint64_t size)
{
	int fd;

	fixture_path(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	EXPECT(fd >= 0, strerror(errno));
	write_content(fd, seed, size);
	close(fd);
}

struct disk_config fixture_config(int image_fd)
{
	return (struct disk_config){
		.image_fd = image_fd, .depth = 64, .overlay = DISK_OVERLAY_IN_MEMORY};
}

struct disk *fixture_open(const struct disk_config *config)
{
	struct error error = {0};
	struct disk *disk = NULL;

	EXPECT(disk_open(config, &disk, &error) == 0, error.text);
	return disk;
}

void fixture_start(struct disk *disk)
{
	struct error error = {0};

	EXPECT(disk_start(disk, &error) == 0, error.text);
}

void fixture_freeze(struct disk *disk)
{
	struct error error = {0};

	EXPECT(disk_freeze(disk, &error) == 0, error.text);
}

void fixture_clone(struct disk *disk, const struct disk_overlay *overlay)
{
	struct error error = {0};

	EXPECT(disk_clone(disk, overlay, &error) == 0, error.text);
}

int fixture_io(struct disk *disk, enum disk_op op, uint64_t offset, uint64_t length, void *memory)
{
	struct iovec iov = {memory, length};
	struct disk_request request = {.op = op,
				       .offset = offset,
				       .length = length,
				       .iov = &iov,
				       .iov_count = memory ? 1 : 0};

	disk_submit(disk, &request);
	disk_kick_wait(disk);
	EXPECT(disk_reap(disk) == &request, "");
	EXPECT(!disk_reap(disk), "");
	EXPECT(disk_in_flight(disk) == 0, "");
	return request.result;
}

static void check_same(const uint8_t *got, const uint8_t *wanted, uint64_t offset, uint64_t size)
{
	char text[64];
	uint64_t at = 0;

	while (at < size && got[at] == wanted[at])
		at++;
	if (at == size)
		return;
	snprintf(text, sizeof(text), "byte %llu: %02x, not %02x", (unsigned long long)(offset + at),
		 got[at], wanted[at]);
	EXPECT(false, text);
}

void fixture_check(struct disk *disk, const uint8_t *model)
{
	const uint64_t steps[] = {512, 4096, 65536, 1536, 512 * 77};
	uint8_t *memory = aligned_alloc(DISK_BLOCK, 65536);
	uint64_t at = 0;

	for (unsigned int i = 0; at < disk_size(disk); i++) {
		uint64_t part = min_u64(steps[i % ARRAY_SIZE(steps)], disk_size(disk) - at);

		EXPECT(fixture_io(disk, DISK_READ, at, part, memory) == 0, "");
		check_same(memory, model + at, at, part);
		at += part;
	}
	free(memory);
}

void fixture_check_export(const struct export_source *source, const uint8_t *model)
{
	struct error error = {0};
	int fd = fixture_file(false);
	struct stat st;
	uint8_t *map;

	EXPECT(export_write(source, fd, NULL, NULL, &error) == 0, error.text);
	EXPECT(fstat(fd, &st) == 0, "");
	EXPECT((uint64_t)st.st_size == source->size, "");
	map = mmap(NULL, source->size, PROT_READ, MAP_PRIVATE, fd, 0);
	EXPECT(map != MAP_FAILED, strerror(errno));
	check_same(map, model, 0, source->size);
	munmap(map, source->size);
	close(fd);
}

void fixture_refuse(int call, int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(filter), .filter = filter};

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "");
	EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "");
}

int fixture_mounted_file(const char *type, const char *options)
{
	char folder[HELPER_PATH_SIZE], path[HELPER_PATH_SIZE + 8];
	int fd;

	require(geteuid() == 0, "a mount needs root");
	EXPECT(unshare(CLONE_NEWNS) == 0, strerror(errno));
	EXPECT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "");
	helper_path(folder, "");
	EXPECT(mkdir(folder, 0700) == 0, "");
	EXPECT(mount("none", folder, type, 0, options) == 0, strerror(errno));
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	EXPECT(fd >= 0, path);
	EXPECT(umount2(folder, MNT_DETACH) == 0, "");
	EXPECT(rmdir(folder) == 0, "");
	return fd;
}

uint64_t fixture_allocated(int fd)
{
	struct stat st;

	EXPECT(fstat(fd, &st) == 0, "");
	return (uint64_t)st.st_blocks * 512;
}

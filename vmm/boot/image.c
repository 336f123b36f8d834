/* SPDX-License-Identifier: MIT */
/*
 * Guest images from files: see image.h.
 */
#include "vmm/boot/image.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stubs/stub_abi.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

int image_open(const char *path, uint64_t size_max, int *ret_fd, uint64_t *ret_size,
	       struct error *error)
{
	/* O_NONBLOCK: a FIFO in place of a file must not hang us. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return error_set_errno(error, errno, "open");
	if (fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "stat");
	if (!S_ISREG(st.st_mode))
		return error_set(error, EINVAL, "not a regular file");
	if (st.st_size == 0)
		return error_set(error, ENODATA, "the file is empty");
	if ((uint64_t)st.st_size > size_max)
		return error_set(error, EFBIG, "%llu MiB is more than the %llu it may have",
				 (unsigned long long)st.st_size / MIB,
				 (unsigned long long)(size_max / MIB));
	*ret_fd = fd_steal(&fd);
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int image_read_fd(int fd, uint8_t *buffer, size_t size, struct error *error)
{
	size_t done = 0;

	while (done < size) {
		ssize_t count = read(fd, buffer + done, size - done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_set_errno(error, errno, "read");
		if (count == 0)
			return error_set(error, EIO, "the file shrank while it was read");
		done += (size_t)count;
	}
	return 0;
}

int image_read(const char *path, uint64_t size_max, uint8_t **ret, size_t *ret_size,
	       struct error *error)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ uint8_t *buffer = NULL;
	uint64_t size = 0;
	int rc = image_open(path, size_max, &fd, &size, error);

	if (rc < 0)
		return rc;
	assert(size > 0); /* image_open refuses empty files */
	buffer = malloc(size);
	if (!buffer)
		return error_set(error, ENOMEM, "no memory to read it");
	rc = image_read_fd(fd, buffer, size, error);
	if (rc < 0)
		return rc;
	*ret = ptr_steal(buffer);
	*ret_size = size;
	return 0;
}

int flat_load(const uint8_t *file, size_t size, const struct guest_ram *ram, struct image *ret,
	      struct error *error)
{
	void *at = guest_ram_at(ram, FORKVM_STUB_LOAD_GPA, size);

	if (!at)
		return error_set(error, EFBIG,
				 "%zu KiB at %#x do not fit into %llu MiB of RAM: give it more",
				 size / (size_t)KIB, FORKVM_STUB_LOAD_GPA,
				 (unsigned long long)(ram->size / MIB));
	memcpy(at, file, size);
	*ret = (struct image){
		.entry = FORKVM_STUB_LOAD_GPA,
		.end = FORKVM_STUB_LOAD_GPA + size,
		.needs = FORKVM_NEED_CPUID,
	};
	return 0;
}

static bool is_flat(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot && strcmp(dot, ".bin") == 0;
}

int image_load(const char *path, const struct guest_ram *ram, struct image *ret,
	       struct error *error)
{
	_cleanup_free_ uint8_t *file = NULL;
	size_t size = 0;
	int rc = image_read(path, IMAGE_SIZE_MAX, &file, &size, error);

	assert(rc < 0 || file);
	if (rc == 0) {
		if (size >= SELFMAG && memcmp(file, ELFMAG, SELFMAG) == 0)
			rc = elf_load(file, size, ram, ret, error);
		else if (is_flat(path))
			rc = flat_load(file, size, ram, ret, error);
		else
			rc = error_set(error, ENOEXEC,
				       "not an ELF file (a flat binary's name must end in .bin)");
	}
	if (rc < 0)
		error_prefix(error, "guest image %s", path);
	return rc;
}

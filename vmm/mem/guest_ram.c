/* SPDX-License-Identifier: MIT */
/*
 * A guest's RAM: see guest_ram.h.
 */
#include "vmm/mem/guest_ram.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static int open_memfd(struct error *error)
{
	int fd = memfd_create("forkvm-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return error_set_errno(error, errno, "guest RAM: memfd_create");
	return fd;
}

static int open_file(const char *path, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;

	if (fd < 0)
		return error_set_errno(error, errno, "guest RAM: open %s", path);
	if (fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "guest RAM: stat %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(error, EINVAL, "guest RAM: %s is not a regular file", path);
	/* Another template's clones live on its content: cut, it would be all zeros to them. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(error, EBUSY,
				 "guest RAM: %s is in use by another template: name another file",
				 path);
	/* Old content would show through as the guest's memory. */
	if (ftruncate(fd, 0) < 0)
		return error_set_errno(error, errno, "guest RAM: truncate %s", path);
	return fd_steal(&fd);
}

static void lay_out(struct guest_ram *ram)
{
	uint64_t low = min_u64(ram->size, GPA_LOW_RAM_MAX);

	ram->regions[0] = (struct ram_region){.gpa = 0, .size = low, .offset = 0};
	ram->region_count = 1;
	if (ram->size > low) {
		ram->regions[1] = (struct ram_region){
			.gpa = GPA_HIGH_RAM, .size = ram->size - low, .offset = low};
		ram->region_count = 2;
	}
}

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define LARGE_PAGE (2 * MIB)

/* Left free above RAM: the stack may be there, and wants to grow. */
#define ROOM_ABOVE (64 * MIB)

/* Map the file, near the address if that can be. MAP_FAILED and errno. */
static void *map_shared(int fd, uint64_t size, const void *near)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_NORESERVE;
	char *wanted = (char *)round_up((uintptr_t)near, LARGE_PAGE);
	char *got = MAP_FAILED;

	if (near)
		got = mmap(wanted, size + ROOM_ABOVE, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);
	if (got == MAP_FAILED)
		return mmap(NULL, size, prot, flags, fd, 0);
	munmap(got + size, ROOM_ABOVE);
	return got;
}

int guest_ram_init_near(struct guest_ram *ram, uint64_t size, const char *path, const void *near,
			struct error *error)
{
	_cleanup_close_ int fd = path ? open_file(path, error) : open_memfd(error);
	void *host;

	*ram = (struct guest_ram){.fd = -1};
	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)size) < 0)
		return error_set_errno(error, errno, "guest RAM: set size to %llu MiB",
				       (unsigned long long)(size / MIB));
	host = map_shared(fd, size, near);
	if (host == MAP_FAILED)
		return error_set_errno(error, errno, "guest RAM: map %llu MiB",
				       (unsigned long long)(size / MIB));
	ram->fd = fd_steal(&fd);
	ram->host = host;
	ram->size = size;
	ram->is_memfd = !path;
	lay_out(ram);
	return 0;
}

int guest_ram_init(struct guest_ram *ram, uint64_t size, const char *path, struct error *error)
{
	return guest_ram_init_near(ram, size, path, NULL, error);
}

void guest_ram_done(struct guest_ram *ram)
{
	if (ram->host)
		munmap(ram->host, ram->size);
	fd_close(&ram->fd);
	*ram = (struct guest_ram){.fd = -1};
}

/*
 * A read-only descriptor of the same file, so that nothing here can write to it any more. It takes
 * over the lock on a file by name. A file system without locks has none to take over.
 */
static int reopen_read_only(int writable, struct error *error)
{
	_cleanup_close_ int fd = -1;
	char name[48];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", writable);
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(error, errno, "guest RAM: reopen read-only");
	if ((flock(writable, LOCK_SH | LOCK_NB) < 0 || flock(fd, LOCK_SH | LOCK_NB) < 0) &&
	    errno == EWOULDBLOCK)
		return error_set(error, EBUSY, "guest RAM: another program has taken the file");
	return fd_steal(&fd);
}

/*
 * The kernel refuses with EBUSY while anybody holds a page of the file for a moment longer (it
 * waits some 150 ms by itself): page reclaim and other housekeeping do, and let go.
 */
#define SEAL_TRIES 20

static int add_seals(int fd, int seals)
{
	int rc = -1;

	for (int i = 0; i < SEAL_TRIES && rc < 0; i++) {
		rc = fcntl(fd, F_ADD_SEALS, seals);
		if (rc < 0 && errno != EBUSY)
			break;
	}
	return rc;
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Is every page of this stretch there? */
static bool is_populated(const uint8_t *at)
{
	unsigned char resident[LARGE_PAGE / PAGE_BYTES];

	if (mincore((void *)(uintptr_t)at, LARGE_PAGE, resident) < 0)
		return false;
	for (size_t i = 0; i < sizeof(resident); i++)
		if (!(resident[i] & 1))
			return false;
	return true;
}

size_t guest_ram_collapse(const struct guest_ram *ram)
{
	size_t done = 0;

	for (uint64_t at = 0; at + LARGE_PAGE <= ram->size; at += LARGE_PAGE) {
		if (!is_populated(ram->host + at))
			continue;
		if (madvise(ram->host + at, LARGE_PAGE, MADV_COLLAPSE) == 0)
			done++;
		else if (errno == EINVAL)
			break; /* not this kernel, or not this file system */
	}
	return done;
}

int guest_ram_seal(struct guest_ram *ram, struct error *error)
{
	const int seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
	_cleanup_close_ int fd = -1;
	void *host;

	if (ram->sealed)
		return 0;
	fd = reopen_read_only(ram->fd, error);
	if (fd < 0)
		return fd;
	/* Over the shared mapping: from here on no writable mapping of the file is left ... */
	host = mmap(ram->host, ram->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, fd, 0);
	if (host == MAP_FAILED)
		return error_set_errno(error, errno, "guest RAM: map private");
	/* ... as sealing wants, which also wants the writable descriptor for the last time. */
	if (ram->is_memfd && add_seals(ram->fd, seals) < 0)
		return errno == EBUSY
			       ? error_set(error, EBUSY,
					   "guest RAM: cannot be sealed, because the kernel or a "
					   "program holds pages of it and does not let go: try "
					   "again")
			       : error_set_errno(error, errno, "guest RAM: seal the memfd");
	close(ram->fd);
	ram->fd = fd_steal(&fd);
	ram->sealed = true;
	return 0;
}

const struct ram_region *guest_ram_region(const struct guest_ram *ram, gpa_t gpa)
{
	for (unsigned int i = 0; i < ram->region_count; i++) {
		const struct ram_region *region = &ram->regions[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->size)
			return region;
	}
	return NULL;
}

void *guest_ram_at(const struct guest_ram *ram, gpa_t gpa, uint64_t size)
{
	const struct ram_region *region = guest_ram_region(ram, gpa);
	uint64_t inside;

	if (!region)
		return NULL;
	inside = gpa - region->gpa;
	if (size > region->size - inside)
		return NULL;
	return ram->host + region->offset + inside;
}

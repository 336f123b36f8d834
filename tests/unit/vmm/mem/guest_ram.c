/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/mem/guest_ram.c. */
#include "vmm/mem/guest_ram.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "vmm/base/util.h"

static void init(struct guest_ram *ram, uint64_t size, const char *path)
{
	struct error error = {0};

	cr_assert_eq(guest_ram_init(ram, size, path, &error), 0, "%s", error.text);
}

static void seal(struct guest_ram *ram)
{
	struct error error = {0};

	cr_assert_eq(guest_ram_seal(ram, &error), 0, "%s", error.text);
}

Test(guest_ram, small_ram_is_one_region_of_zeros)
{
	struct guest_ram ram;

	init(&ram, 4 * MIB, NULL);
	cr_assert(ram.is_memfd);
	cr_assert_not(ram.sealed);
	cr_assert_eq(ram.region_count, 1);
	cr_assert_eq(ram.regions[0].gpa, 0);
	cr_assert_eq(ram.regions[0].size, 4 * MIB);
	for (size_t i = 0; i < 4 * MIB; i += 512)
		cr_assert_eq(ram.host[i], 0);
	cr_assert(fcntl(ram.fd, F_GETFD) & FD_CLOEXEC);
	guest_ram_done(&ram);
}

Test(guest_ram, near_an_address_if_there_is_room)
{
	struct error error = {0};
	struct guest_ram first, second;
	/* Large enough that nobody else maps something there meanwhile. */
	char *room = mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *near = room + 4096;

	cr_assert_neq(room, MAP_FAILED);
	cr_assert_eq(munmap(room, GIB), 0);
	cr_assert_eq(guest_ram_init_near(&first, 4 * MIB, NULL, near, &error), 0);
	cr_assert_eq((uintptr_t)first.host, round_up((uintptr_t)near, 2 * MIB));
	/* Taken: then elsewhere. */
	cr_assert_eq(guest_ram_init_near(&second, 4 * MIB, NULL, near, &error), 0);
	cr_assert_neq(second.host, first.host);
	first.host[0] = 1;
	cr_assert_eq(second.host[0], 0);
	seal(&first);
	cr_assert_eq(first.host[0], 1);
	guest_ram_done(&first);
	guest_ram_done(&second);
}

Test(guest_ram, large_ram_leaves_the_hole_below_4_gib)
{
	struct guest_ram ram;
	char *low, *high;

	init(&ram, 6 * GIB, NULL);
	cr_assert_eq(ram.region_count, 2);
	cr_assert_eq(ram.regions[0].size, GPA_LOW_RAM_MAX);
	cr_assert_eq(ram.regions[1].gpa, GPA_HIGH_RAM);
	cr_assert_eq(ram.regions[1].size, 6 * GIB - GPA_LOW_RAM_MAX);
	cr_assert_eq(ram.regions[1].offset, GPA_LOW_RAM_MAX);

	low = guest_ram_at(&ram, GPA_LOW_RAM_MAX - 1, 1);
	high = guest_ram_at(&ram, GPA_HIGH_RAM, 1);
	cr_assert_not_null(low);
	cr_assert_eq(high, low + 1, "contiguous in the file");
	cr_assert_null(guest_ram_at(&ram, GPA_LOW_RAM_MAX - 1, 2), "a range over the hole");
	cr_assert_null(guest_ram_at(&ram, GPA_LOW_RAM_MAX, 1));
	cr_assert_null(guest_ram_at(&ram, GPA_LOW_RAM_MAX, 0));
	cr_assert_null(guest_ram_at(&ram, GPA_HIGH_RAM - 1, 1));
	cr_assert_not_null(guest_ram_at(&ram, GPA_HIGH_RAM, 6 * GIB - GPA_LOW_RAM_MAX));
	cr_assert_null(guest_ram_at(&ram, GPA_HIGH_RAM, 6 * GIB - GPA_LOW_RAM_MAX + 1));
	cr_assert_null(guest_ram_region(&ram, GPA_HIGH_RAM + 3 * GIB));
	guest_ram_done(&ram);
}

Test(guest_ram, ram_of_exactly_3_gib_is_one_region)
{
	struct guest_ram ram;

	init(&ram, GPA_LOW_RAM_MAX, NULL);
	cr_assert_eq(ram.region_count, 1);
	guest_ram_done(&ram);
	init(&ram, GPA_LOW_RAM_MAX + PAGE_BYTES, NULL);
	cr_assert_eq(ram.region_count, 2);
	cr_assert_eq(ram.regions[1].size, PAGE_BYTES);
	guest_ram_done(&ram);
}

Test(guest_ram, at_refuses_what_is_not_inside)
{
	const uint64_t size = 2 * MIB;
	struct guest_ram ram;

	init(&ram, size, NULL);
	cr_assert_eq(guest_ram_at(&ram, 0, size), ram.host);
	cr_assert_eq(guest_ram_at(&ram, size - 1, 1), ram.host + size - 1);
	cr_assert_eq(guest_ram_at(&ram, size - 1, 0), ram.host + size - 1);
	cr_assert_null(guest_ram_at(&ram, size, 0));
	cr_assert_null(guest_ram_at(&ram, size - 1, 2));
	cr_assert_null(guest_ram_at(&ram, 0, size + 1));
	cr_assert_null(guest_ram_at(&ram, 1, size));
	/* Sums that wrap around. */
	cr_assert_null(guest_ram_at(&ram, 1, UINT64_MAX));
	cr_assert_null(guest_ram_at(&ram, PAGE_BYTES, UINT64_MAX - PAGE_BYTES + 1));
	cr_assert_null(guest_ram_at(&ram, UINT64_MAX, 1));
	cr_assert_null(guest_ram_at(&ram, UINT64_MAX, 2));
	cr_assert_null(guest_ram_at(&ram, UINT64_MAX - 15, 32));
	guest_ram_done(&ram);
}

Test(guest_ram, sealed_memory_is_private_and_cannot_be_changed)
{
	struct guest_ram ram;
	char byte = 0;

	init(&ram, 2 * MIB, NULL);
	ram.host[5] = 'a';
	seal(&ram);
	cr_assert(ram.sealed);
	cr_assert_eq(ram.host[5], 'a', "content stays");
	cr_assert(fcntl(ram.fd, F_GETFD) & FD_CLOEXEC);

	ram.host[5] = 'b';
	cr_assert_eq(pread(ram.fd, &byte, 1, 5), 1);
	cr_assert_eq(byte, 'a', "a write stays in this process");

	cr_assert_lt(pwrite(ram.fd, "c", 1, 5), 0);
	cr_assert_lt(ftruncate(ram.fd, 0), 0);
	cr_assert_lt(ftruncate(ram.fd, 1 << 30), 0);
	cr_assert_eq(mmap(NULL, PAGE_BYTES, PROT_WRITE, MAP_SHARED, ram.fd, 0), MAP_FAILED);
	cr_assert_eq(fcntl(ram.fd, F_GET_SEALS),
		     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	guest_ram_done(&ram);
}

/* A new descriptor with write permission would be a way around a read-only one; not around a seal.
 */
Test(guest_ram, sealed_memory_cannot_be_reopened_for_writing)
{
	struct guest_ram ram;
	char name[64];
	int fd;

	init(&ram, 2 * MIB, NULL);
	seal(&ram);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", ram.fd);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		cr_assert_lt(pwrite(fd, "c", 1, 0), 0);
		cr_assert_eq(errno, EPERM);
		close(fd);
	}
	guest_ram_done(&ram);
}

Test(guest_ram, sealing_twice_is_fine)
{
	struct guest_ram ram;

	init(&ram, 2 * MIB, NULL);
	seal(&ram);
	ram.host[0] = 'x';
	seal(&ram);
	cr_assert_eq(ram.host[0], 'x', "not mapped again");
	guest_ram_done(&ram);
}

/* As whoever does I/O on guest memory holds it, and as reclaim does for a moment. */
Test(guest_ram, a_page_that_is_held_cannot_be_sealed_until_it_is_let_go)
{
	struct guest_ram ram;
	struct error error = {0};
	struct iovec page = {.iov_len = PAGE_BYTES};
	int pipe_fds[2];

	init(&ram, 2 * MIB, NULL);
	ram.host[5] = 'a';
	page.iov_base = ram.host;
	cr_assert_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	cr_assert_eq(vmsplice(pipe_fds[1], &page, 1, 0), PAGE_BYTES);
	cr_assert_eq(guest_ram_seal(&ram, &error), -EBUSY);
	cr_assert_not_null(strstr(error.text, "holds pages of it"), "%s", error.text);
	cr_assert_not(ram.sealed);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	seal(&ram);
	cr_assert_eq(ram.host[5], 'a', "content stays");
	guest_ram_done(&ram);
}

Test(guest_ram, collapsing_changes_nothing_but_the_size_of_pages)
{
	const uint64_t size = 8 << 20, large = 2 << 20;
	struct guest_ram ram;
	struct error error;

	cr_assert_eq(guest_ram_init(&ram, size, NULL, &error), 0, "%s", error.text);
	/* One stretch is full, one is not, one is empty. */
	for (uint64_t at = 0; at < large; at += 4096)
		memset(ram.host + at, (int)(at >> 12 & 0xff), 4096);
	memset(ram.host + large, 0x5a, 4096);
	/* 0 where this kernel cannot. */
	cr_assert_leq(guest_ram_collapse(&ram), 1);
	cr_assert_eq(guest_ram_seal(&ram, &error), 0, "%s", error.text);
	for (uint64_t at = 0; at < large; at += 512)
		cr_assert_eq(ram.host[at], at >> 12 & 0xff);
	cr_assert_eq(ram.host[large], 0x5a);
	cr_assert_eq(ram.host[large + 4096], 0);
	ram.host[4096] = 0xff;
	cr_assert_eq(ram.host[0], 0);
	guest_ram_done(&ram);
}

Test(guest_ram, seal_fails_while_somebody_else_can_write)
{
	struct error error = {0};
	struct guest_ram ram;
	void *other;

	init(&ram, 2 * MIB, NULL);
	other = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ram.fd, 0);
	cr_assert_neq(other, MAP_FAILED);
	cr_assert_eq(guest_ram_seal(&ram, &error), -EBUSY);
	cr_assert_not_null(strstr(error.text, "seal"));
	munmap(other, PAGE_BYTES);
	guest_ram_done(&ram);
}

static int write_and_verify(void *context)
{
	struct guest_ram *ram = context;

	for (size_t i = 0; i < 2 * MIB; i += PAGE_BYTES) {
		if (ram->host[i] != (uint8_t)(i / PAGE_BYTES))
			return 1;
		ram->host[i] = 0xee;
	}
	return 0;
}

Test(guest_ram, children_do_not_see_one_another)
{
	struct guest_ram ram;

	init(&ram, 2 * MIB, NULL);
	for (size_t i = 0; i < 2 * MIB; i += PAGE_BYTES)
		ram.host[i] = (uint8_t)(i / PAGE_BYTES);
	seal(&ram);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(helper_in_child(write_and_verify, &ram), 0);
	cr_assert_eq(write_and_verify(&ram), 0, "nor does the parent see them");
	guest_ram_done(&ram);
}

Test(guest_ram, file_is_made_with_owner_only_permission)
{
	char path[HELPER_PATH_SIZE];
	struct guest_ram ram;
	struct stat st;

	helper_path(path, ".ram");
	init(&ram, 4 * MIB, path);
	cr_assert_not(ram.is_memfd);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_size, (off_t)(4 * MIB));
	cr_assert_eq(st.st_mode & 0777, 0600);
	guest_ram_done(&ram);
	unlink(path);
}

Test(guest_ram, file_forgets_its_old_content)
{
	char path[HELPER_PATH_SIZE], old[PAGE_BYTES];
	struct guest_ram ram;

	memset(old, 'o', sizeof(old));
	helper_file(path, ".ram", old, sizeof(old));
	init(&ram, 2 * MIB, path);
	for (size_t i = 0; i < PAGE_BYTES; i++)
		cr_assert_eq(ram.host[i], 0);
	guest_ram_done(&ram);
	unlink(path);
}

Test(guest_ram, file_holds_what_the_template_wrote_and_nothing_later)
{
	char path[HELPER_PATH_SIZE];
	struct guest_ram ram;
	char byte = 0;
	int fd;

	helper_path(path, ".ram");
	init(&ram, 2 * MIB, path);
	ram.host[7] = 'a';
	seal(&ram);
	ram.host[7] = 'b';
	cr_assert_lt(pwrite(ram.fd, "c", 1, 7), 0);
	cr_assert_eq(fcntl(ram.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, &byte, 1, 7), 1);
	cr_assert_eq(byte, 'a');
	close(fd);
	guest_ram_done(&ram);
	unlink(path);
}

/* guest_ram_init of path fails with code, says the path, and leaves nothing to be given back. */
static void refuse_path(const char *path, int code)
{
	size_t before = helper_count_fds();
	struct error error = {0};
	struct guest_ram ram;

	cr_assert_eq(guest_ram_init(&ram, 2 * MIB, path, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, path), "'%s' does not say %s", error.text, path);
	cr_assert_eq(ram.fd, -1);
	cr_assert_null(ram.host);
	cr_assert_eq(helper_count_fds(), before);
	guest_ram_done(&ram);
}

/* Nobody else can take a file over, neither while its template boots nor when it is sealed. */
Test(guest_ram, file_is_locked)
{
	char path[HELPER_PATH_SIZE];
	struct guest_ram ram;

	helper_path(path, ".ram");
	init(&ram, 2 * MIB, path);
	ram.host[7] = 'a';
	refuse_path(path, EBUSY);
	seal(&ram);
	refuse_path(path, EBUSY);
	cr_assert_eq(ram.host[7], 'a');
	guest_ram_done(&ram);
	init(&ram, 2 * MIB, path);
	cr_assert_eq(ram.host[7], 0);
	guest_ram_done(&ram);
	unlink(path);
}

Test(guest_ram, file_that_cannot_be)
{
	char path[HELPER_PATH_SIZE], link[HELPER_PATH_SIZE];

	refuse_path("/nowhere/at/all", ENOENT);
	refuse_path("/dev/null", EINVAL);
	refuse_path("/tmp", EISDIR);
	helper_file(path, ".ram", "x", 1);
	helper_path(link, ".link");
	cr_assert_eq(symlink(path, link), 0);
	refuse_path(link, ELOOP);
	unlink(link);
	unlink(path);
}

Test(guest_ram, more_than_the_address_space_is_an_error)
{
	struct error error = {0};
	struct guest_ram ram;

	cr_assert_eq(guest_ram_init(&ram, 1ull << 48, NULL, &error), -ENOMEM);
	cr_assert_not_null(strstr(error.text, "MiB"), "%s", error.text);
	cr_assert_eq(ram.fd, -1);
}

Test(guest_ram, more_than_a_file_may_have_is_an_error)
{
	const struct rlimit limit = {.rlim_cur = MIB, .rlim_max = MIB};
	char path[HELPER_PATH_SIZE];
	struct error error = {0};
	struct guest_ram ram;

	helper_path(path, ".ram");
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(guest_ram_init(&ram, 2 * MIB, path, &error), -EFBIG);
	cr_assert_not_null(strstr(error.text, "size"), "%s", error.text);
	unlink(path);
}

static int init_without_descriptors(void *context)
{
	struct error error = {0};
	struct guest_ram ram;

	(void)context;
	return guest_ram_init(&ram, 2 * MIB, NULL, &error) != -EMFILE ||
	       !strstr(error.text, "memfd_create");
}

static int seal_without_descriptors(void *context)
{
	struct guest_ram *ram = context;
	struct error error = {0};

	return guest_ram_seal(ram, &error) != -EMFILE || ram->sealed;
}

Test(guest_ram, no_descriptors_left_is_an_error)
{
	struct guest_ram ram;

	cr_assert_eq(helper_without_descriptors(init_without_descriptors, NULL), 0);
	init(&ram, 2 * MIB, NULL);
	cr_assert_eq(helper_without_descriptors(seal_without_descriptors, &ram), 0);
	guest_ram_done(&ram);
}

Test(guest_ram, done_takes_what_was_never_made)
{
	struct guest_ram ram = {.fd = -1};

	guest_ram_done(&ram);
	guest_ram_done(&ram);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/flush.c: what a durable disk has after a crash. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"
#include "vmm/block/internal.h"

#define SIZE (1 * MIB)

static struct disk *open_durable(uint64_t size, bool force_sync, const char *origin)
{
	struct disk_config config = fixture_config(-1);

	config.size = size;
	config.durable = true;
	config.force_sync = force_sync;
	config.overlay.data_fd = fixture_file(false);
	config.overlay.origin = origin;
	return fixture_open(&config);
}

/* What the file's bitmap says of a block. */
static bool is_stored(const struct disk *disk, uint64_t block)
{
	uint8_t byte = 0;

	EXPECT(pread(disk->top->file.fd, &byte, 1,
		     (off_t)(overlay_map_offset(disk->size) + block / 8)) == 1,
	       "");
	return byte >> block % 8 & 1;
}

static void write_block(struct disk *disk, uint64_t block)
{
	uint8_t memory[DISK_BLOCK] = {1};

	EXPECT(fixture_io(disk, DISK_WRITE, block * DISK_BLOCK, DISK_BLOCK, memory) == 0, "");
}

Test(flush, stores_what_was_written_before_it)
{
	for (int i = 0; i < 2; i++) {
		struct disk *disk = open_durable(SIZE, i, NULL);
		struct disk_request flush = {.op = DISK_FLUSH}, write = {.op = DISK_WRITE};
		uint8_t memory[DISK_BLOCK] = {0};
		struct iovec iov = {memory, sizeof(memory)};

		fixture_start(disk);
		write_block(disk, 5);
		cr_assert_not(is_stored(disk, 5));
		write.offset = 6ull * DISK_BLOCK;
		write.length = DISK_BLOCK;
		write.iov = &iov;
		write.iov_count = 1;
		disk_submit(disk, &flush);
		disk_submit(disk, &write);
		disk_kick_wait(disk);
		while (disk_reap(disk))
			;
		cr_assert_eq(flush.result, 0);
		cr_assert(is_stored(disk, 5));
		cr_assert_not(is_stored(disk, 6), "its data is not known to be there");
		cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
		cr_assert(is_stored(disk, 6));
		disk_free(disk);
	}
}

Test(flush, of_more_pages_than_it_copies_at_a_time)
{
	const uint64_t pages = 2 * DISK_FLUSH_PAGES + 3, step = OVERLAY_PAGE_BLOCKS;

	for (int i = 0; i < 2; i++) {
		struct disk *disk = open_durable(pages * step * DISK_BLOCK, i, NULL);

		fixture_start(disk);
		for (uint64_t page = 0; page < pages; page++)
			write_block(disk, page * step + page % 7);
		cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
		for (uint64_t page = 0; page < pages; page++) {
			cr_assert(is_stored(disk, page * step + page % 7));
			cr_assert_not(is_stored(disk, page * step + page % 7 + 1));
		}
		disk_free(disk);
	}
}

Test(flush, nobody_is_held_up)
{
	struct disk *disk = open_durable(SIZE, false, NULL);
	struct disk_request flushes[3], *request;
	struct pollfd event;
	uint32_t done = 0;

	fixture_start(disk);
	event = (struct pollfd){.fd = disk_event_fd(disk), .events = POLLIN};
	write_block(disk, 9);
	for (int i = 0; i < 3; i++) {
		flushes[i] = (struct disk_request){.op = DISK_FLUSH};
		disk_submit(disk, &flushes[i]);
		disk_kick(disk);
	}
	cr_assert_eq(disk->flush.stage, FLUSH_DATA);
	while (done < 3) {
		cr_assert_eq(poll(&event, 1, 10000), 1);
		while ((request = disk_reap(disk))) {
			cr_assert_eq(request, &flushes[done++], "in their order");
			cr_assert_eq(request->result, 0);
		}
	}
	cr_assert(is_stored(disk, 9));
	cr_assert_eq(disk_get_stats(disk)->sync, 0);
	disk_free(disk);
}

Test(flush, is_free_unless_the_disk_is_durable)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk *disk;

	config.overlay.data_fd = fixture_file(false);
	disk = fixture_open(&config);
	fixture_start(disk);
	write_block(disk, 1);
	cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
	cr_assert_not(is_stored(disk, 1));
	disk_free(disk);
}

static int fail_to_flush(void *context)
{
	struct disk *disk = context;
	struct error error = {0};

	fixture_start(disk);
	write_block(disk, 3);
	fixture_refuse(SYS_fdatasync, EIO);
	if (fixture_io(disk, DISK_FLUSH, 0, 0, NULL) != -EIO)
		return 1;
	if (is_stored(disk, 3))
		return 2;
	if (!disk_take_trouble(disk, &error) || !strstr(error.text, "flush has failed"))
		return 3;
	if (fixture_io(disk, DISK_FLUSH, 0, 0, NULL) != -EIO)
		return 4;
	return disk_freeze(disk, &error) == -EIO ? 0 : 5;
}

Test(flush, that_fails)
{
	struct disk *disk = open_durable(SIZE, true, NULL);

	cr_assert_eq(helper_in_child(fail_to_flush, disk), 0);
	disk_free(disk);
}

Test(flush, at_the_freeze)
{
	struct disk *disk = open_durable(SIZE, false, NULL);
	uint8_t byte = 0;

	fixture_start(disk);
	write_block(disk, 3);
	fixture_freeze(disk);
	cr_assert_eq(pread(disk->overlays[0].file.fd, &byte, 1, (off_t)overlay_map_offset(SIZE)),
		     1);
	cr_assert_eq(byte, 8);
	disk_free(disk);
}

/* One durable clone among others that are not. */
Test(flush, durable_by_its_overlay)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk_overlay storage = {.data_fd = fixture_file(false), .durable = true};
	struct disk *disk = fixture_open(&config);

	fixture_freeze(disk);
	fixture_clone(disk, &storage);
	fixture_start(disk);
	write_block(disk, 3);
	cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
	cr_assert(is_stored(disk, 3));
	disk_free(disk);
}

#define CRASH_BLOCKS 256u
#define CRASHES	     12

/* What the writer says of itself, in memory that outlives it. */
struct diary {
	uint32_t begun[CRASH_BLOCKS];	/* the latest version of a block that was submitted */
	uint32_t flushed[CRASH_BLOCKS]; /* one that a flush was done for */
	uint32_t flushes;
};

struct writer {
	struct disk *disk;
	struct diary *diary;
	uint64_t random;
};

/* A few blocks at once, each full of its version. */
static void write_some(struct writer *writer, uint32_t *versions)
{
	enum {
		COUNT = 8
	};
	static uint32_t memory[COUNT][DISK_BLOCK / sizeof(uint32_t)];
	struct disk_request requests[COUNT];
	struct iovec iov[COUNT];

	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t block =
			(uint32_t)(fixture_random(&writer->random) % (CRASH_BLOCKS / COUNT));

		block = block * COUNT + i;
		writer->diary->begun[block] = ++versions[block];
		for (uint32_t j = 0; j < ARRAY_SIZE(memory[i]); j++)
			memory[i][j] = versions[block];
		iov[i] = (struct iovec){memory[i], DISK_BLOCK};
		requests[i] = (struct disk_request){.op = DISK_WRITE,
						    .offset = (uint64_t)block * DISK_BLOCK,
						    .length = DISK_BLOCK,
						    .iov = &iov[i],
						    .iov_count = 1};
		disk_submit(writer->disk, &requests[i]);
	}
	disk_kick_wait(writer->disk);
	while (disk_reap(writer->disk))
		;
}

/* Until it is killed. */
static int write_for_ever(struct writer *writer)
{
	uint32_t versions[CRASH_BLOCKS] = {0};

	fixture_start(writer->disk);
	for (;;) {
		write_some(writer, versions);
		if (fixture_random(&writer->random) % 4)
			continue;
		if (fixture_io(writer->disk, DISK_FLUSH, 0, 0, NULL) != 0)
			return 1;
		memcpy(writer->diary->flushed, versions, sizeof(versions));
		writer->diary->flushes++;
	}
}

static void check_block(const struct diary *diary, const uint32_t *content, uint32_t block)
{
	const uint32_t *at = content + (uint64_t)block * DISK_BLOCK / sizeof(*content);

	cr_assert_geq(*at, diary->flushed[block], "block %u", block);
	cr_assert_leq(*at, diary->begun[block], "block %u", block);
	for (uint32_t i = 0; i < DISK_BLOCK / sizeof(*at); i++)
		cr_assert_eq(at[i], *at, "block %u", block);
}

static void check_after_crash(const char *path, const struct diary *diary)
{
	uint32_t *content = malloc(SIZE);
	struct export_source source;
	struct error error = {0};
	int out = fixture_file(true);

	cr_assert_eq(export_open_chain(path, &source, &error), 0, "%s", error.text);
	cr_assert_eq(source.size, SIZE);
	cr_assert_eq(export_write(&source, out, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(pread(out, content, SIZE, 0), (ssize_t)SIZE);
	for (uint32_t block = 0; block < CRASH_BLOCKS; block++)
		check_block(diary, content, block);
	export_close_chain(&source);
	close(out);
	free(content);
}

static void crash(uint64_t seed, bool force_sync, enum disk_direct direct)
{
	struct diary *diary = mmap(NULL, sizeof(*diary), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct disk_config config = fixture_config(-1);
	struct writer writer = {.diary = diary, .random = seed};
	char path[HELPER_PATH_SIZE];
	uint32_t wanted;
	pid_t pid;

	fixture_path(path);
	config.size = SIZE;
	config.durable = true;
	config.force_sync = force_sync;
	config.direct = direct;
	config.overlay.data_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	writer.disk = fixture_open(&config);
	wanted = 1 + (uint32_t)(fixture_random(&seed) % 8);
	pid = fork();
	if (pid == 0)
		_exit(write_for_ever(&writer));
	while (__atomic_load_n(&diary->flushes, __ATOMIC_ACQUIRE) < wanted)
		cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0);
	for (uint64_t i = fixture_random(&seed) % 200000; i > 0; i--)
		__asm__ volatile("pause");
	kill(pid, SIGKILL);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	disk_free(writer.disk);
	check_after_crash(path, diary);
	unlink(path);
	munmap(diary, sizeof(*diary));
}

Test(flush, everything_flushed_is_there_after_a_crash)
{
	for (uint64_t i = 0; i < CRASHES; i++)
		crash(i, false, i % 2 ? DISK_DIRECT_OFF : DISK_DIRECT_AUTO);
}

Test(flush, everything_flushed_is_there_after_a_crash_without_a_ring)
{
	for (uint64_t i = 0; i < CRASHES; i++)
		crash(100 + i, true, i % 2 ? DISK_DIRECT_OFF : DISK_DIRECT_AUTO);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/overlay.c and overlay_file.c. */
#include "vmm/block/overlay.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/block/fixture.h"

static int init(struct overlay *overlay, int data_fd, uint64_t size, uint64_t limit, bool durable,
		struct error *error)
{
	struct disk_overlay storage = {.data_fd = data_fd, .limit = limit, .origin = "below"};
	struct overlay_config config = {.storage = &storage, .size = size, .durable = durable};

	return overlay_init(overlay, &config, error);
}

static struct overlay make(int data_fd, uint64_t size, uint64_t limit, bool durable)
{
	struct error error = {0};
	struct overlay overlay;

	cr_assert_eq(init(&overlay, data_fd, size, limit, durable, &error), 0, "%s", error.text);
	if (!overlay_is_made(&overlay))
		cr_assert_eq(overlay_make(&overlay), 0);
	return overlay;
}

static void mark(struct overlay *overlay, uint64_t first, uint64_t end)
{
	uint64_t missing = overlay_missing(overlay, first, end);

	cr_assert(overlay_claim(overlay, missing));
	overlay_wrote(overlay, first, end, missing);
}

static uint64_t run(const struct overlay *overlay, uint64_t first, uint64_t end, bool held)
{
	bool is_held = !held;
	uint64_t count = overlay_run(overlay, first, end, &is_held);

	cr_assert_eq(is_held, held);
	return count;
}

Test(overlay, runs_of_blocks)
{
	const uint64_t page = OVERLAY_PAGE_BLOCKS, blocks = 4 * page;
	struct overlay overlay = make(-1, blocks * DISK_BLOCK, 0, false);

	cr_assert_eq(run(&overlay, 0, blocks, false), blocks);
	mark(&overlay, 5, 6);
	mark(&overlay, 60, 70);
	mark(&overlay, page - 1, page + 1);
	mark(&overlay, 3 * page, 3 * page + 200);
	cr_assert_eq(run(&overlay, 0, blocks, false), 5);
	cr_assert_eq(run(&overlay, 5, blocks, true), 1);
	cr_assert_eq(run(&overlay, 6, 30, false), 24);
	cr_assert_eq(run(&overlay, 60, blocks, true), 10);
	cr_assert_eq(run(&overlay, 60, 64, true), 4);
	cr_assert_eq(run(&overlay, page - 1, blocks, true), 2);
	cr_assert_eq(run(&overlay, page + 1, blocks, false), 2 * page - 1);
	cr_assert_eq(run(&overlay, 3 * page, blocks, true), 200);
	cr_assert_eq(overlay.data, 1 + 10 + 2 + 200);
	overlay_done(&overlay);
}

Test(overlay, the_last_block_of_a_full_page)
{
	struct overlay overlay = make(-1, 2 * OVERLAY_PAGE_BLOCKS * DISK_BLOCK, 0, false);

	mark(&overlay, 0, OVERLAY_PAGE_BLOCKS);
	cr_assert_eq(run(&overlay, 0, OVERLAY_PAGE_BLOCKS, true), OVERLAY_PAGE_BLOCKS);
	cr_assert_eq(run(&overlay, 0, 2 * OVERLAY_PAGE_BLOCKS, true), OVERLAY_PAGE_BLOCKS);
	overlay_done(&overlay);
}

Test(overlay, holes_do_not_count)
{
	struct overlay overlay = make(-1, 1000 * DISK_BLOCK, 100 * DISK_BLOCK + 5, false);

	mark(&overlay, 0, 80);
	cr_assert_eq(overlay_missing(&overlay, 70, 100), 20);
	overlay_punched(&overlay, 10, 900);
	cr_assert_eq(overlay.data, 10);
	cr_assert(overlay_holds(&overlay, 500));
	cr_assert(overlay_is_hole(&overlay, 500));
	cr_assert_not(overlay_is_hole(&overlay, 5));
	cr_assert_not(overlay_is_hole(&overlay, 950));
	cr_assert_eq(overlay_missing(&overlay, 0, 1000), 990);
	mark(&overlay, 600, 690);
	cr_assert_not(overlay_is_hole(&overlay, 600));
	cr_assert_eq(overlay.data, 100);
	cr_assert_not(overlay_claim(&overlay, 1), "100 blocks and a bit are 100 blocks");
	cr_assert(overlay_claim(&overlay, 0));
	overlay_punched(&overlay, 600, 601);
	cr_assert(overlay_claim(&overlay, 1));
	cr_assert_not(overlay_claim(&overlay, 1));
	overlay_unclaim(&overlay, 1);
	overlay_done(&overlay);
}

Test(overlay, what_is_never_written_costs_nothing)
{
	const uint64_t size = 10ull << 40;
	struct overlay overlay = make(-1, size, 0, false);

	cr_assert_eq(run(&overlay, 0, size / DISK_BLOCK, false), size / DISK_BLOCK);
	cr_assert_eq(overlay_missing(&overlay, 12345, 99999999), 99999999 - 12345);
	cr_assert_eq(fixture_allocated(overlay.file.fd), 0);
	mark(&overlay, 1ull << 30, (1ull << 30) + 1);
	cr_assert_eq(run(&overlay, 0, size / DISK_BLOCK, false), 1ull << 30);
	cr_assert_eq(fixture_allocated(overlay.file.fd), 4096);
	overlay_done(&overlay);
}

static int make_without_descriptors(void *context)
{
	return overlay_make(context) == -EMFILE && !overlay_is_made(context) ? 0 : 1;
}

Test(overlay, in_memory_it_is_made_late)
{
	const struct disk_overlay storage = {.data_fd = -1, .data_number = 90};
	const struct overlay_config config = {.storage = &storage, .size = MIB};
	size_t before = helper_count_fds();
	struct error error = {0};
	struct overlay overlay;

	cr_assert_eq(overlay_init(&overlay, &config, &error), 0, "%s", error.text);
	cr_assert_not(overlay_is_made(&overlay));
	cr_assert_eq(helper_count_fds(), before);
	cr_assert_eq(run(&overlay, 0, 256, false), 256);
	cr_assert_eq(overlay_missing(&overlay, 3, 17), 14);
	cr_assert_not(overlay_holds(&overlay, 3));
	cr_assert_not(overlay_is_hole(&overlay, 3));
	cr_assert_eq(helper_without_descriptors(make_without_descriptors, &overlay), 0);
	cr_assert_eq(overlay_make(&overlay), 0);
	cr_assert_eq(overlay.file.fd, 90);
	cr_assert_eq(helper_count_fds(), before + 1);
	mark(&overlay, 3, 4);
	cr_assert_eq(run(&overlay, 3, 256, true), 1);
	overlay_done(&overlay);
	cr_assert_eq(helper_count_fds(), before);
}

Test(overlay, in_a_folder_it_is_made_late)
{
	const struct disk_overlay storage = {
		.data_fd = -1,
		.folder_fd = open(fixture_folder(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.data_number = 90,
		.map_number = 91,
	};
	const struct overlay_config config = {.storage = &storage, .size = MIB};
	size_t before = helper_count_fds();
	struct error error = {0};
	struct overlay overlay;
	struct stat st;

	cr_assert_geq(storage.folder_fd, 0);
	cr_assert_eq(overlay_init(&overlay, &config, &error), 0, "%s", error.text);
	cr_assert_not(overlay_is_made(&overlay));
	cr_assert_not(overlay.file.in_memory, "its transfers may wait");
	cr_assert_eq(helper_count_fds(), before);
	cr_assert_eq(helper_without_descriptors(make_without_descriptors, &overlay), 0);
	cr_assert_eq(overlay_make(&overlay), 0);
	cr_assert_eq(overlay.file.fd, 90);
	cr_assert_eq(overlay.map_fd, 91);
	cr_assert_eq(helper_count_fds(), before + 2);
	cr_assert_eq(fstat(90, &st), 0);
	cr_assert_eq(st.st_nlink, 0);
	cr_assert_eq(st.st_mode & 0777, OVERLAY_MODE);
	mark(&overlay, 3, 4);
	cr_assert_eq(run(&overlay, 3, 256, true), 1);
	overlay_done(&overlay);
	cr_assert_eq(helper_count_fds(), before);
	close(storage.folder_fd);
}

/* Nothing is left open: the next descriptor has the number that it had before. */
static int make_without_files(void *context)
{
	int before = dup(STDIN_FILENO), after;

	close(before);
	fixture_refuse(SYS_openat, ENOSPC);
	if (overlay_make(context) != -ENOSPC || overlay_is_made(context))
		return 1;
	after = dup(STDIN_FILENO);
	return after == before ? 0 : 2;
}

Test(overlay, whose_file_is_refused_can_be_made_later)
{
	const struct disk_overlay storage = {
		.data_fd = -1,
		.folder_fd = open(fixture_folder(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	};
	const struct overlay_config config = {.storage = &storage, .size = MIB};
	struct error error = {0};
	struct overlay overlay;

	cr_assert_eq(overlay_init(&overlay, &config, &error), 0, "%s", error.text);
	cr_assert_eq(helper_in_child(make_without_files, &overlay), 0);
	cr_assert_eq(overlay_make(&overlay), 0);
	cr_assert_geq(overlay.map_fd, 0);
	overlay_done(&overlay);
	close(storage.folder_fd);
}

Test(overlay, where_the_bitmap_is)
{
	size_t before = helper_count_fds();
	struct overlay overlay = make(-1, 1 * MIB, 0, false);

	cr_assert_eq(overlay.map_fd, -1);
	cr_assert_eq(helper_count_fds(), before + 1);
	overlay_done(&overlay);
	overlay = make(fixture_file(false), 1 * MIB, 0, false);
	cr_assert_geq(overlay.map_fd, 0);
	overlay_done(&overlay);
	overlay = make(fixture_mounted_file("tmpfs", "size=1m"), 64 * MIB, 0, false);
	cr_assert(overlay.file.in_memory);
	cr_assert_geq(overlay.map_fd, 0, "a full file system cannot refuse a page of the bitmap");
	overlay_done(&overlay);
	cr_assert_eq(helper_count_fds(), before);
}

Test(overlay, refused_storage)
{
	struct error error = {0};
	struct overlay overlay;
	size_t before = helper_count_fds();
	int sealed = fixture_file(true);

	cr_assert_eq(init(&overlay, fixture_image(false, 1, 10), MIB, 0, false, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "not empty"), "%s", error.text);
	cr_assert_eq(init(&overlay, -1, MIB, 0, true, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "needs a file"), "%s", error.text);
	cr_assert_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW), 0);
	cr_assert_eq(init(&overlay, sealed, MIB, 0, false, &error), -EPERM);
	cr_assert_not_null(strstr(error.text, "size of the overlay"), "%s", error.text);
	cr_assert_eq(init(&overlay, open("/dev/null", O_RDWR | O_CLOEXEC), MIB, 0, false, &error),
		     -EINVAL);
	cr_assert_eq(helper_count_fds(), before);
}

Test(overlay, a_bitmap_from_outside)
{
	struct disk_overlay storage = {.data_fd = fixture_file(false),
				       .map_fd = memfd_create("map", MFD_CLOEXEC)};
	struct overlay_config config = {.storage = &storage, .size = MIB};
	int copy = dup(storage.map_fd);
	struct error error = {0};
	struct overlay overlay;
	uint8_t byte = 0;

	cr_assert_eq(overlay_init(&overlay, &config, &error), 0, "%s", error.text);
	mark(&overlay, 9, 11);
	cr_assert_eq(pread(copy, &byte, 1, 1), 1);
	cr_assert_eq(byte, 6);
	overlay_done(&overlay);
	close(copy);
	storage = (struct disk_overlay){.data_fd = -1, .map_fd = memfd_create("map", MFD_CLOEXEC)};
	cr_assert_eq(overlay_init(&overlay, &config, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "in its file"), "%s", error.text);
}

Test(overlay, origins)
{
	char origin[OVERLAY_ORIGIN_SIZE + 1];
	struct disk_overlay storage = {.origin = origin, .durable = true};
	struct overlay_config config = {.storage = &storage, .size = MIB, .durable = true};
	struct overlay_header header;
	struct error error = {0};
	struct overlay overlay;

	memset(origin, 'o', sizeof(origin));
	origin[OVERLAY_ORIGIN_SIZE] = '\0';
	storage.data_fd = fixture_file(false);
	cr_assert_eq(overlay_init(&overlay, &config, &error), -ENAMETOOLONG);
	origin[OVERLAY_ORIGIN_SIZE - 1] = '\0';
	storage.data_fd = fixture_file(false);
	cr_assert_eq(overlay_init(&overlay, &config, &error), 0, "%s", error.text);
	cr_assert_eq(pread(overlay.file.fd, &header, sizeof(header), MIB), (ssize_t)sizeof(header));
	cr_assert_eq(header.magic, OVERLAY_MAGIC);
	cr_assert_eq(header.size, MIB);
	cr_assert_eq(header.above, OVERLAY_ABOVE_NOTHING);
	cr_assert_str_eq(header.origin, origin);
	overlay_done(&overlay);
}

Test(overlay, dirty_pages_are_taken_once)
{
	const uint64_t blocks = 300 * OVERLAY_PAGE_BLOCKS;
	struct overlay overlay = make(fixture_file(false), blocks * DISK_BLOCK, 0, true);
	uint64_t copy[PAGE_BYTES / 8], page = 0;

	cr_assert_not(overlay_take_dirty(&overlay, 0, &page, copy));
	mark(&overlay, 1, 2);
	mark(&overlay, 200 * OVERLAY_PAGE_BLOCKS + 64, 200 * OVERLAY_PAGE_BLOCKS + 65);
	cr_assert(overlay_take_dirty(&overlay, 0, &page, copy));
	cr_assert_eq(page, 0);
	cr_assert_eq(copy[0], 2);
	cr_assert(overlay_take_dirty(&overlay, 1, &page, copy));
	cr_assert_eq(page, 200);
	cr_assert_eq(copy[1], 1);
	cr_assert_not(overlay_take_dirty(&overlay, 201, &page, copy));
	cr_assert_not(overlay_take_dirty(&overlay, 0, &page, copy));
	mark(&overlay, 1, 2);
	cr_assert_not(overlay_take_dirty(&overlay, 0, &page, copy), "nothing has changed");
	overlay_done(&overlay);
}

/* Neither by its descriptor, nor by its mapping, nor opened anew. */
static void check_frozen(struct overlay *overlay, bool sealed)
{
	char path[HELPER_PATH_SIZE];
	int fd;

	cr_assert_eq(pwrite(overlay->file.fd, "x", 1, 0), -1);
	cr_assert_eq(mprotect(overlay->held, PAGE_BYTES, PROT_READ | PROT_WRITE), -1);
	cr_assert_eq(errno, EACCES);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", overlay->file.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert(!sealed || (pwrite(fd, "x", 1, 0) == -1 && errno == EPERM));
	cr_assert(!sealed || ftruncate(fd, 0) == -1);
	close(fd);
	cr_assert_eq(run(overlay, 3, 100, true), 4);
	cr_assert_eq(run(overlay, 7, 100, false), 93);
}

static void check_stored(const struct overlay *overlay)
{
	uint8_t byte = 0;

	cr_assert_eq(pread(overlay->file.fd, &byte, 1, (off_t)overlay_map_offset(MIB)), 1);
	cr_assert_eq(byte, 0x78);
}

Test(overlay, frozen_in_memory)
{
	struct overlay overlay = make(-1, MIB, 0, false);
	struct error error = {0};

	mark(&overlay, 3, 7);
	cr_assert_eq(overlay_freeze(&overlay, false, &error), 0, "%s", error.text);
	check_frozen(&overlay, true);
	check_stored(&overlay);
	overlay_done(&overlay);
}

Test(overlay, frozen_file)
{
	struct overlay overlay = make(fixture_file(false), MIB, 0, false);
	struct error error = {0};

	mark(&overlay, 3, 7);
	cr_assert_eq(overlay_freeze(&overlay, false, &error), 0, "%s", error.text);
	cr_assert_eq(overlay.map_fd, -1, "a mapping is enough");
	check_frozen(&overlay, false);
	check_stored(&overlay);
	overlay_done(&overlay);
}

Test(overlay, frozen_memory_that_cannot_be_sealed)
{
	struct overlay overlay = make(memfd_create("plain", MFD_CLOEXEC), MIB, 0, false);
	struct error error = {0};

	mark(&overlay, 3, 7);
	cr_assert_eq(overlay_freeze(&overlay, false, &error), 0, "%s", error.text);
	check_frozen(&overlay, false);
	overlay_done(&overlay);
}

/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/export.c and chain.c. */
#include "vmm/block/export.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"
#include "vmm/block/overlay.h"

#define SIZE (1 * MIB + 1024)

static void write_some(struct disk *disk, uint8_t *model, uint64_t offset, uint64_t length,
		       int byte)
{
	memset(model + offset, byte, length);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, offset, length, model + offset), 0);
}

/* A live clone, by descriptors that its owner kept. */
static void export_live(struct disk_overlay storage)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk *disk = fixture_open(&config);
	struct export_layer kept = {dup(storage.data_fd), -1};
	uint8_t *model = malloc(SIZE);
	struct export_source source;

	if (storage.map_fd > 0)
		kept.map_fd = dup(storage.map_fd);
	fixture_fill(1, model, SIZE);
	fixture_start(disk);
	write_some(disk, model, 4096, 8192, 1);
	fixture_freeze(disk);
	disk_get_source(disk, &source);
	source.overlays[source.overlay_count++] = kept;
	fixture_clone(disk, &storage);
	fixture_start(disk);
	write_some(disk, model, 8192, 8192, 2);
	write_some(disk, model, SIZE - 512, 512, 3);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, 300 * KIB, 40 * KIB, NULL), 0);
	memset(model + 300 * KIB, 0, 40 * KIB);
	fixture_check_export(&source, model);
	disk_free(disk);
	close(kept.data_fd);
	if (kept.map_fd >= 0)
		close(kept.map_fd);
	free(model);
}

Test(export, live_clone)
{
	export_live((struct disk_overlay){.data_fd = fixture_file(true)});
	export_live((struct disk_overlay){.data_fd = fixture_file(false),
					  .map_fd = fixture_file(true)});
}

Test(export, holes_stay_holes)
{
	const uint64_t size = 300 * MIB;
	struct disk_config config = fixture_config(fixture_file(false));
	int out = fixture_file(false), image = dup(config.image_fd);
	struct export_source source;
	struct error error = {0};
	struct disk *disk;
	uint8_t block[DISK_BLOCK];

	cr_assert_eq(ftruncate(config.image_fd, (off_t)size), 0);
	cr_assert_eq(pwrite(image, "a", 1, 200 * MIB), 1);
	memset(block, 'b', sizeof(block));
	disk = fixture_open(&config);
	fixture_start(disk);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 250 * MIB, sizeof(block), block), 0);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, 0, 100 * MIB, NULL), 0);
	disk_get_source(disk, &source);
	cr_assert_eq(export_write(&source, out, NULL, NULL, &error), 0, "%s", error.text);
	cr_assert_leq(fixture_allocated(out), 64 * KIB);
	cr_assert_eq(pread(out, block, 2, 200 * MIB), 2);
	cr_assert_eq(memcmp(block, "a", 2), 0);
	cr_assert_eq(pread(out, block, 1, 250 * MIB + 4095), 1);
	cr_assert_eq(block[0], 'b');
	disk_free(disk);
	close(out);
	close(image);
}

static int export_by_hand(void *context)
{
	struct export_source source;
	uint8_t *model = malloc(SIZE);

	fixture_refuse(SYS_copy_file_range, EXDEV);
	fixture_fill(1, model, SIZE);
	disk_get_source(context, &source);
	fixture_check_export(&source, model);
	free(model);
	return 0;
}

Test(export, where_the_kernel_cannot_copy)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk *disk = fixture_open(&config);

	cr_assert_eq(helper_in_child(export_by_hand, disk), 0);
	disk_free(disk);
}

struct progress {
	uint64_t calls, done;
};

static void note_progress(void *ctx, uint64_t done)
{
	struct progress *progress = ctx;

	cr_assert_geq(done, progress->done);
	progress->calls++;
	progress->done = done;
}

Test(export, progress)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk *disk = fixture_open(&config);
	struct progress progress = {0};
	struct export_source source;
	struct error error = {0};
	int out = fixture_file(true);

	disk_get_source(disk, &source);
	cr_assert_eq(export_write(&source, out, note_progress, &progress, &error), 0);
	cr_assert_geq(progress.calls, 1);
	cr_assert_eq(progress.done, SIZE);
	disk_free(disk);
	close(out);
}

static void refuse(const struct export_source *source, int out, int code, const char *words)
{
	struct error error = {0};

	cr_assert_eq(export_write(source, out, NULL, NULL, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	close(out);
}

Test(export, refused)
{
	int fd = fixture_image(false, 1, SIZE), copy = dup(fd);
	struct disk_config config = fixture_config(fd);
	struct disk *disk = fixture_open(&config);
	struct export_source source;

	disk_get_source(disk, &source);
	refuse(&source, fixture_image(true, 1, 5), EINVAL, "not an empty");
	refuse(&source, open("/dev/null", O_RDWR | O_CLOEXEC), EINVAL, "not an empty");
	refuse(&source, open("/dev/null", O_PATH | O_CLOEXEC), EINVAL, "not an empty");
	refuse(&source, fixture_mounted_file("tmpfs", "size=64k"), ENOSPC, "write");
	cr_assert_eq(ftruncate(copy, SIZE - 512), 0);
	refuse(&source, fixture_file(true), EIO, "and had");
	close(copy);
	disk_free(disk);
}

/* Durable overlays on a named image, by named files. */
struct chain {
	char image[HELPER_PATH_SIZE], overlays[3][HELPER_PATH_SIZE];
	uint8_t *model;
};

static int create(char *path)
{
	int fd;

	fixture_path(path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	return fd;
}

/* The names of the second and third layer are relative ones. */
static struct chain make_chain(void)
{
	struct chain chain = {.model = malloc(SIZE)};
	struct disk_config config;
	struct disk *disk;

	fixture_fill(1, chain.model, SIZE);
	fixture_named_image(chain.image, 1, SIZE);
	config = fixture_config(open(chain.image, O_RDONLY | O_CLOEXEC));
	config.durable = true;
	config.overlay.data_fd = create(chain.overlays[0]);
	config.overlay.origin = chain.image;
	disk = fixture_open(&config);
	for (int i = 0; i < 3; i++) {
		fixture_start(disk);
		write_some(disk, chain.model, (uint64_t)(i + 1) * 10240, 15360, i);
		if (i == 2) {
			cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
			break;
		}
		fixture_freeze(disk);
		config.overlay.data_fd = create(chain.overlays[i + 1]);
		config.overlay.origin = strrchr(chain.overlays[i], '/') + 1;
		fixture_clone(disk, &config.overlay);
	}
	disk_free(disk);
	return chain;
}

static void free_chain(struct chain *chain)
{
	unlink(chain->image);
	for (int i = 0; i < 3; i++)
		unlink(chain->overlays[i]);
	free(chain->model);
}

static void refuse_chain(const char *path, int code, const char *words)
{
	size_t before = helper_count_fds();
	struct error error = {0};
	struct export_source source;

	cr_assert_eq(export_open_chain(path, &source, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	cr_assert_eq(helper_count_fds(), before);
}

Test(chain, all_layers)
{
	size_t before = helper_count_fds();
	struct chain chain = make_chain();
	struct export_source source;
	struct error error = {0};

	cr_assert_eq(export_open_chain(chain.overlays[2], &source, &error), 0, "%s", error.text);
	cr_assert_eq(source.overlay_count, 3);
	cr_assert_eq(source.size, SIZE);
	fixture_check_export(&source, chain.model);
	export_close_chain(&source);
	free_chain(&chain);
	cr_assert_eq(helper_count_fds(), before);
}

Test(chain, something_below_has_changed)
{
	const struct timespec times[] = {{.tv_sec = 5}, {.tv_sec = 5}};
	char elsewhere[HELPER_PATH_SIZE + 4];
	struct chain chain = make_chain();
	struct stat st;

	cr_assert_eq(stat(chain.image, &st), 0);
	cr_assert_eq(utimensat(AT_FDCWD, chain.image, times, 0), 0);
	refuse_chain(chain.overlays[2], ESTALE, chain.image);
	cr_assert_eq(utimensat(AT_FDCWD, chain.image,
			       &(struct timespec[]){st.st_atim, st.st_mtim}[0], 0),
		     0);
	snprintf(elsewhere, sizeof(elsewhere), "%s.old", chain.overlays[0]);
	cr_assert_eq(rename(chain.overlays[0], elsewhere), 0);
	refuse_chain(chain.overlays[1], ENOENT, chain.overlays[0]);
	close(open(chain.overlays[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	refuse_chain(chain.overlays[1], ESTALE, chain.overlays[0]);
	unlink(elsewhere);
	free_chain(&chain);
}

static void patch(const char *path, size_t offset, const void *bytes, size_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	cr_assert_eq(pwrite(fd, bytes, size, (off_t)(overlay_header_offset(SIZE) + offset)),
		     (ssize_t)size);
	close(fd);
}

Test(chain, what_is_no_overlay)
{
	const uint64_t wild = 0x4141414141414141;
	char text[OVERLAY_ORIGIN_SIZE], path[HELPER_PATH_SIZE];
	struct chain chain = make_chain();

	memset(text, '/', sizeof(text));
	refuse_chain("/nowhere/at/all", ENOENT, "/nowhere/at/all");
	refuse_chain("/", EISDIR, "directory");
	refuse_chain("/dev/null", EINVAL, "character device");
	refuse_chain(chain.image, EUCLEAN, "no overlay");
	fixture_named_image(path, 1, 12288);
	refuse_chain(path, EUCLEAN, "no overlay");
	unlink(path);
	patch(chain.overlays[0], offsetof(struct overlay_header, above), &wild, sizeof(wild));
	refuse_chain(chain.overlays[0], EUCLEAN, "no overlay");
	patch(chain.overlays[1], offsetof(struct overlay_header, size), &wild, sizeof(wild));
	refuse_chain(chain.overlays[1], EUCLEAN, "no overlay");
	patch(chain.overlays[2], offsetof(struct overlay_header, origin), text, sizeof(text));
	refuse_chain(chain.overlays[2], EUCLEAN, "no overlay");
	text[sizeof(text) - 1] = '\0';
	patch(chain.overlays[2], offsetof(struct overlay_header, origin), text, sizeof(text));
	refuse_chain(chain.overlays[2], EISDIR, "directory");
	patch(chain.overlays[2], offsetof(struct overlay_header, origin), "", 1);
	refuse_chain(chain.overlays[2], ENOENT, "does not say");
	free_chain(&chain);
}

Test(chain, sizes_that_cannot_be)
{
	struct chain chain = make_chain();
	const uint64_t less = SIZE - 512;

	patch(chain.overlays[2], offsetof(struct overlay_header, size), &less, sizeof(less));
	refuse_chain(chain.overlays[2], ESTALE, "another size");
	patch(chain.overlays[0], offsetof(struct overlay_header, size), &less, sizeof(less));
	refuse_chain(chain.overlays[0], EUCLEAN, "larger than the disk");
	free_chain(&chain);
}

Test(chain, paths_that_are_too_long)
{
	char path[PATH_MAX + 10];

	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	refuse_chain(path, ENAMETOOLONG, "too long");
}

/* A file that names itself as what it lies on. */
Test(chain, in_a_circle)
{
	struct chain chain = make_chain();
	const uint64_t above = OVERLAY_ABOVE_OVERLAY;
	struct overlay_header header = {0};
	struct timespec times[2];
	struct stat st;

	patch(chain.overlays[0], offsetof(struct overlay_header, above), &above, sizeof(above));
	cr_assert_eq(stat(chain.overlays[0], &st), 0);
	header.lower_size = (uint64_t)st.st_size;
	header.lower_inode = st.st_ino;
	header.lower_mtime_ns =
		(uint64_t)st.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)st.st_mtim.tv_nsec;
	patch(chain.overlays[0], offsetof(struct overlay_header, lower_size), &header.lower_size,
	      3 * sizeof(uint64_t));
	patch(chain.overlays[0], offsetof(struct overlay_header, origin), chain.overlays[0],
	      strlen(chain.overlays[0]) + 1);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	cr_assert_eq(utimensat(AT_FDCWD, chain.overlays[0], times, 0), 0);
	refuse_chain(chain.overlays[0], ELOOP, "more than 8");
	free_chain(&chain);
}

/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a driver at a virtio-blk device. The input is a program of steps. Some are a hostile
 * driver's: bytes and descriptors anywhere in RAM, chains offered, registers accessed in every way.
 * Others are whole requests, in any layout and mostly sensible: what becomes of them is held
 * against a model of the disk, a plain array. Forks in between add layers to the disk.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"
#include "vmm/base/util.h"
#include "vmm/virtio/blk.h"
#include "vmm/virtio/mmio.h"

#define RAM_SIZE   0x40000u
#define DESC	   0x1000u
#define AVAIL	   0x2000u
#define USED	   0x3000u
#define TABLE	   0x4000u
#define HEADER	   0x6000u
#define STATUS	   0x6800u
#define DATA	   0x10000u
#define DATA_MAX   0x8000u
#define QUEUE_SIZE 64u
#define DISK_SIZE  0xfe00u /* the last block is a part of one */
#define SECTORS	   (DISK_SIZE / DISK_SECTOR)
#define STEPS_MAX  500
#define UNTOUCHED  0xa5u

static struct guest_ram ram;

struct fuzz {
	struct input *input;
	struct virtio_blk blk;
	struct virtio_mmio mmio;
	struct disk *disk;
	unsigned int forks;
	uint8_t model[DISK_SIZE];
};

static void complain(void *ctx, const char *device, const struct error *error)
{
	(void)ctx;
	(void)device;
	FUZZ_CHECK(error->code == EPROTO && error->text[0] != '\0');
}

static void write32(struct fuzz *fuzz, uint64_t offset, uint32_t value)
{
	struct mmio_access access = {
		.offset = offset, .size = 4, .is_write = true, .data = (uint8_t *)&value};

	FUZZ_CHECK(virtio_mmio_access(&fuzz->mmio, &access, NULL) == 0);
}

static uint32_t read32(struct fuzz *fuzz, uint64_t offset)
{
	uint32_t value = 0;
	struct mmio_access access = {.offset = offset, .size = 4, .data = (uint8_t *)&value};

	FUZZ_CHECK(virtio_mmio_access(&fuzz->mmio, &access, NULL) == 0);
	return value;
}

/* A driver that knows how. without: features that it does not take. */
static void start(struct fuzz *fuzz, uint32_t without)
{
	write32(fuzz, VIRTIO_MMIO_STATUS, 0);
	memset(ram.host + AVAIL, 0, 2ull * 0x1000);
	write32(fuzz, VIRTIO_MMIO_STATUS, 3);
	write32(fuzz, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	write32(fuzz, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)fuzz->blk.device.offered & ~without);
	write32(fuzz, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write32(fuzz, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write32(fuzz, VIRTIO_MMIO_STATUS, 11);
	write32(fuzz, VIRTIO_MMIO_QUEUE_SEL, 0);
	write32(fuzz, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
	write32(fuzz, VIRTIO_MMIO_QUEUE_DESC_LOW, DESC);
	write32(fuzz, VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAIL);
	write32(fuzz, VIRTIO_MMIO_QUEUE_USED_LOW, USED);
	write32(fuzz, VIRTIO_MMIO_QUEUE_READY, 1);
	write32(fuzz, VIRTIO_MMIO_STATUS, 15);
	FUZZ_CHECK(read32(fuzz, VIRTIO_MMIO_STATUS) == 15);
}

/* ---- Whole requests ---- */

struct request {
	struct virtio_blk_outhdr header;
	uint32_t len;
	uint32_t header_parts, data_parts;
	bool merged, indirect, is_in;
};

struct chain {
	uint32_t table, count;
};

static void add(struct chain *chain, uint32_t gpa, uint32_t len, uint32_t flags)
{
	struct vring_desc *desc = (struct vring_desc *)(void *)(ram.host + chain->table);

	if (chain->count > 0) {
		desc[chain->count - 1].flags |= VRING_DESC_F_NEXT;
		desc[chain->count - 1].next = (uint16_t)chain->count;
	}
	desc[chain->count++] =
		(struct vring_desc){.addr = gpa, .len = len, .flags = (uint16_t)flags};
}

static void add_parts(struct chain *chain, uint32_t gpa, uint32_t len, uint32_t parts,
		      uint32_t flags)
{
	uint32_t each = len / parts;

	for (uint32_t i = 1; i < parts && each > 0; i++, gpa += each, len -= each)
		add(chain, gpa, each, flags);
	if (len > 0)
		add(chain, gpa, len, flags);
}

/* Returns where its status is. */
static uint32_t lay_out(const struct request *request)
{
	struct chain chain = {.table = request->indirect ? TABLE : DESC};
	uint32_t status = STATUS, before = 0, behind = 0;

	if (request->merged && request->is_in)
		behind = 1;
	else if (request->merged)
		before = sizeof(request->header);
	memcpy(ram.host + (before ? DATA - before : HEADER), &request->header,
	       sizeof(request->header));
	if (!before)
		add_parts(&chain, HEADER, sizeof(request->header), request->header_parts, 0);
	if (behind)
		status = DATA + request->len;
	add_parts(&chain, DATA - before, request->len + before + behind, request->data_parts,
		  request->is_in ? VRING_DESC_F_WRITE : 0);
	if (!behind)
		add(&chain, status, 1, VRING_DESC_F_WRITE);
	ram.host[status] = UNTOUCHED;
	if (request->indirect) {
		struct chain outer = {.table = DESC};

		add(&outer, TABLE, chain.count * (uint32_t)sizeof(struct vring_desc),
		    VRING_DESC_F_INDIRECT);
	}
	return status;
}

static uint16_t *ring(uint32_t gpa)
{
	return (uint16_t *)(void *)(ram.host + gpa);
}

static bool inside(uint64_t sector, uint64_t sectors)
{
	return sector <= SECTORS && sectors <= SECTORS - sector;
}

/* Discard and write zeroes, by the rules of 5.2.6.2. */
static uint8_t expect_ranges(struct fuzz *fuzz, const struct request *request)
{
	bool is_discard = request->header.type == VIRTIO_BLK_T_DISCARD;
	struct virtio_blk_discard_write_zeroes list[VIRTIO_BLK_RANGES_MAX];
	uint32_t count = request->len / sizeof(list[0]);
	unsigned int bit = is_discard ? VIRTIO_BLK_F_DISCARD : VIRTIO_BLK_F_WRITE_ZEROES;

	if (!(fuzz->blk.device.features & 1ull << bit))
		return VIRTIO_BLK_S_UNSUPP;
	if (request->len % sizeof(list[0]) || count == 0 || count > VIRTIO_BLK_RANGES_MAX)
		return VIRTIO_BLK_S_IOERR;
	memcpy(list, ram.host + DATA, request->len);
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].flags & ~(is_discard ? 0u : 1u))
			return VIRTIO_BLK_S_UNSUPP;
		if (!inside(list[i].sector, list[i].num_sectors))
			return VIRTIO_BLK_S_IOERR;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint64_t from = list[i].sector * DISK_SECTOR;
		uint64_t to = from + (uint64_t)list[i].num_sectors * DISK_SECTOR;

		/* Of a block a discard keeps what it does not cover all of. */
		if (is_discard) {
			from = round_up(from, DISK_BLOCK);
			to = to == DISK_SIZE ? to : round_down(to, DISK_BLOCK);
		}
		if (from < to)
			memset(fuzz->model + from, 0, to - from);
	}
	return VIRTIO_BLK_S_OK;
}

/* What must become of it; the model is the disk's state afterwards. */
static uint8_t expect(struct fuzz *fuzz, const struct request *request)
{
	uint64_t sector = request->header.sector;

	switch (request->header.type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		if (request->len % DISK_SECTOR || !inside(sector, request->len / DISK_SECTOR))
			return VIRTIO_BLK_S_IOERR;
		if (!request->is_in)
			memcpy(fuzz->model + sector * DISK_SECTOR, ram.host + DATA, request->len);
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_FLUSH:
	case VIRTIO_BLK_T_GET_ID:
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_DISCARD:
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return expect_ranges(fuzz, request);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static void carry_out(struct fuzz *fuzz, const struct request *request)
{
	uint16_t index = ring(USED)[1];
	uint32_t status = lay_out(request), used[2];
	uint8_t wanted = expect(fuzz, request);
	bool reads = request->header.type == VIRTIO_BLK_T_IN && wanted == VIRTIO_BLK_S_OK;

	ring(AVAIL)[2 + index % QUEUE_SIZE] = 0;
	ring(AVAIL)[1] = (uint16_t)(index + 1);
	write32(fuzz, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	FUZZ_CHECK(ring(USED)[1] == (uint16_t)(index + 1));
	memcpy(used, ram.host + USED + 4 + 8ull * (index % QUEUE_SIZE), sizeof(used));
	FUZZ_CHECK(used[0] == 0 && used[1] >= 1);
	FUZZ_CHECK(ram.host[status] == wanted);
	if (!reads)
		return;
	FUZZ_CHECK(used[1] == request->len + 1);
	FUZZ_CHECK(memcmp(ram.host + DATA, fuzz->model + request->header.sector * DISK_SECTOR,
			  request->len) == 0);
}

/* Ranges where the request has its data. */
static void put_ranges(struct input *input, struct request *request)
{
	uint32_t count = 1 + (uint32_t)input_take(input, 1) % 4;

	for (uint32_t i = 0; i < count; i++) {
		struct virtio_blk_discard_write_zeroes range = {
			.sector = input_take(input, 1),
			.num_sectors = (uint32_t)input_take(input, 1) % 64,
		};
		uint32_t odd = (uint32_t)input_take(input, 1);

		if (odd >= 0xf0)
			range.sector |= input_take(input, 1) << 56;
		if (odd >= 0xe0)
			range.flags = odd & 3;
		memcpy(ram.host + DATA + i * sizeof(range), &range, sizeof(range));
	}
	request->len = count * (uint32_t)sizeof(struct virtio_blk_discard_write_zeroes);
}

static void step_request(struct fuzz *fuzz)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_IN,	    VIRTIO_BLK_T_OUT,
					 VIRTIO_BLK_T_OUT,	    VIRTIO_BLK_T_FLUSH,
					 VIRTIO_BLK_T_GET_ID,	    VIRTIO_BLK_T_DISCARD,
					 VIRTIO_BLK_T_WRITE_ZEROES, 77};
	struct input *input = fuzz->input;
	uint32_t how = (uint32_t)input_take(input, 2), seed;
	struct request request = {
		.header = {.type = types[how & 7], .sector = input_take(input, 1)},
		.len = (uint32_t)input_take(input, 1) % (DATA_MAX / DISK_SECTOR) * DISK_SECTOR,
		.header_parts = how & 8 ? 16 : 1,
		.data_parts = 1 + (how >> 8 & 15),
		.merged = how & 16,
		.indirect =
			how & 32 && fuzz->blk.device.features & 1ull << VIRTIO_RING_F_INDIRECT_DESC,
		.is_in = types[how & 7] == VIRTIO_BLK_T_IN || types[how & 7] == VIRTIO_BLK_T_GET_ID,
	};

	if (request.header.type == VIRTIO_BLK_T_FLUSH)
		request.len = 0;
	if ((how & 0xc0) == 0xc0)
		request.len += (uint32_t)input_take(input, 1) * 2;
	if ((how & 0xf000) == 0xf000)
		request.header.sector |= input_take(input, 1) << 54;
	seed = (uint32_t)input_take(input, 1);
	for (uint32_t i = 0; i < request.len; i++)
		ram.host[DATA + i] = (uint8_t)(seed + i * 7 + i / 512);
	if (request.header.type == VIRTIO_BLK_T_DISCARD ||
	    request.header.type == VIRTIO_BLK_T_WRITE_ZEROES)
		put_ranges(input, &request);
	carry_out(fuzz, &request);
}

/* ---- A hostile driver ---- */

static void step_bytes(struct input *input)
{
	uint32_t at = (uint32_t)input_take(input, 3), len = (uint32_t)input_take(input, 1);

	for (; len && input->left; len--)
		ram.host[at++ % RAM_SIZE] = (uint8_t)input_take(input, 1);
}

static void step_descriptor(struct input *input)
{
	uint32_t where = (uint32_t)input_take(input, 1);
	struct vring_desc desc = {.addr = input_take(input, 3),
				  .len = (uint32_t)input_take(input, 2)};

	desc.flags = (uint16_t)input_take(input, 1);
	desc.next = (uint16_t)input_take(input, 1);
	if (desc.flags & 0x80)
		desc.len |= (uint32_t)input_take(input, 2) << 16;
	memcpy(ram.host + (where & 0x80 ? TABLE : DESC) + 16ull * (where & 0x3f), &desc,
	       sizeof(desc));
}

static void step_offer(struct fuzz *fuzz)
{
	uint32_t how = (uint32_t)input_take(fuzz->input, 1), count = how & 15;
	uint16_t index = ring(AVAIL)[1];

	for (; count; count--, index++)
		ring(AVAIL)[2 + index % QUEUE_SIZE] = (uint16_t)input_take(fuzz->input, 1);
	ring(AVAIL)[1] = how & 0x80 ? (uint16_t)input_take(fuzz->input, 2) : index;
	write32(fuzz, VIRTIO_MMIO_QUEUE_NOTIFY, how >> 4 & 1);
}

static void step_access(struct fuzz *fuzz)
{
	uint32_t how = (uint32_t)input_take(fuzz->input, 1);
	uint8_t data[8] = {0};
	uint64_t value;
	struct mmio_access access = {.offset = input_take(fuzz->input, 1), .size = 4, .data = data};

	access.is_write = how & 1;
	if (how & 2)
		access.size = 1 + (how >> 2 & 7);
	if (how & 0x20)
		access.offset += VIRTIO_MMIO_CONFIG;
	value = access.is_write ? input_take(fuzz->input, access.size) : 0;
	memcpy(data, &value, sizeof(value));
	FUZZ_CHECK(virtio_mmio_access(&fuzz->mmio, &access, NULL) == 0);
}

/* The model is made of what the disk has now: after steps whose outcome it does not follow. */
static void look(struct fuzz *fuzz)
{
	struct iovec iov = {.iov_base = fuzz->model, .iov_len = DISK_SIZE};
	struct disk_request request = {
		.op = DISK_READ, .length = DISK_SIZE, .iov = &iov, .iov_count = 1};

	disk_submit(fuzz->disk, &request);
	disk_kick_wait(fuzz->disk);
	FUZZ_CHECK(disk_reap(fuzz->disk) == &request && request.result == 0);
}

static void step_fork(struct fuzz *fuzz)
{
	const struct disk_overlay overlay = DISK_OVERLAY_IN_MEMORY;
	struct error error = {0};

	if (fuzz->forks++ >= DISK_LAYERS_MAX - 1)
		return;
	FUZZ_CHECK(virtio_mmio_fork_before(&fuzz->mmio, &error) == 0);
	FUZZ_CHECK(disk_in_flight(fuzz->disk) == 0 && !fuzz->blk.records);
	FUZZ_CHECK(disk_clone(fuzz->disk, &overlay, &error) == 0);
	FUZZ_CHECK(disk_start(fuzz->disk, &error) == 0);
	FUZZ_CHECK(virtio_mmio_fork_child(&fuzz->mmio, &error) == 0);
}

/* ---- All of it ---- */

static int image(void)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && ftruncate(fd, DISK_SIZE) == 0);
	for (uint32_t i = 0; i < DISK_SIZE; i += 512)
		FUZZ_CHECK(pwrite(fd, &i, sizeof(i), (off_t)i) == sizeof(i));
	return fd;
}

static void set_up(struct fuzz *fuzz, uint32_t how)
{
	const struct irq_line irq = {0};
	const struct virtio_log log = {.error = complain};
	uint32_t depth = 1u << (how & 3);
	struct disk_config config = {
		.image_fd = image(), .depth = depth, .overlay = DISK_OVERLAY_IN_MEMORY};
	struct error error = {0};

	if (!ram.host)
		FUZZ_CHECK(guest_ram_init(&ram, RAM_SIZE, NULL, &error) == 0);
	memset(ram.host, 0, RAM_SIZE);
	FUZZ_CHECK(disk_open(&config, &fuzz->disk, &error) == 0);
	FUZZ_CHECK(disk_start(fuzz->disk, &error) == 0);
	virtio_blk_init(&fuzz->blk, fuzz->disk, 0, 1 + (how >> 2 & 1), depth);
	fuzz->blk.waits = how & 8;
	virtio_mmio_init(&fuzz->mmio, &fuzz->blk.device, &ram, &irq, &log);
	start(fuzz, 0);
	look(fuzz);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.at = data, .left = size};
	struct fuzz fuzz = {.input = &input};
	bool is_good = true;

	set_up(&fuzz, (uint32_t)input_take(&input, 1));
	for (int step = 0; input.left && step < STEPS_MAX; step++) {
		uint32_t what = (uint32_t)input_take(&input, 1);

		if ((what & 7) < 3 && !is_good) {
			start(&fuzz, what & 0x80 ? (uint32_t)input_take(&input, 4) : 0);
			look(&fuzz);
		}
		is_good = (what & 7) < 4 && is_good;
		switch (what & 7) {
		case 0:
		case 1:
		case 2:
			step_request(&fuzz);
			is_good = true;
			break;
		case 3:
			step_fork(&fuzz);
			break;
		case 4:
			step_bytes(&input);
			break;
		case 5:
			step_descriptor(&input);
			break;
		case 6:
			step_offer(&fuzz);
			break;
		default:
			step_access(&fuzz);
			break;
		}
		virtio_blk_poll(&fuzz.blk);
		FUZZ_CHECK(disk_in_flight(fuzz.disk) == 0);
	}
	virtio_blk_done(&fuzz.blk);
	disk_free(fuzz.disk);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The blk stub's misuses: see blk_misuse.h.
 */
#include "guest-stubs/stubs/blk_misuse.h"

#define RESET	    (-1) /* the device must ask for one */
#define STATUS(n)   (n)
#define WAIT_CYCLES 20000000000ull /* some 7 s */
#define MANY	    64u

/* What a misuse works on: a slot whose header, status and table it fills, and memory for data. */
struct attempt {
	struct blk_job *job;
	struct blk_disk *disk;
	struct blk_slot *slot;
	struct desc *table;
	char *data;
	uint64_t capacity; /* sectors */
};

static void desc(const struct attempt *a, uint16_t index, const volatile void *at, uint32_t len,
		 uint32_t flags)
{
	a->table[index] = (struct desc){(uintptr_t)at, len, (uint16_t)flags, (uint16_t)(index + 1)};
}

static void header(const struct attempt *a, uint32_t type, uint64_t sector)
{
	a->slot->header = (struct blk_header){type, 0, sector};
}

/* Header, data, status. */
static void plain(const struct attempt *a, uint32_t type, uint64_t sector, uint32_t len,
		  uint32_t data_flags)
{
	header(a, type, sector);
	desc(a, 0, &a->slot->header, BLK_HEADER, F_NEXT);
	if (len > 0)
		desc(a, 1, a->data, len, F_NEXT | data_flags);
	desc(a, len > 0 ? 2 : 1, &a->slot->status, 1, F_WRITE);
}

/* ---- Chains that are no requests: the device cannot say so in them ---- */

static void no_status(const struct attempt *a)
{
	header(a, BLK_FLUSH, 0);
	desc(a, 0, &a->slot->header, BLK_HEADER, 0);
}

static void no_header(const struct attempt *a)
{
	desc(a, 0, &a->slot->status, 1, F_WRITE);
}

static void header_short(const struct attempt *a)
{
	header(a, BLK_FLUSH, 0);
	desc(a, 0, &a->slot->header, BLK_HEADER - 1, F_NEXT);
	desc(a, 1, &a->slot->status, 1, F_WRITE);
}

static void status_readable(const struct attempt *a)
{
	plain(a, BLK_FLUSH, 0, 0, 0);
	a->table[1].flags = 0;
}

static void status_outside(const struct attempt *a)
{
	plain(a, BLK_FLUSH, 0, 0, 0);
	a->table[1].addr = stub_boot->low_ram_end;
}

static void data_outside(const struct attempt *a)
{
	plain(a, BLK_IN, 0, 4096, F_WRITE);
	a->table[1].addr = stub_boot->low_ram_end - 2048;
}

static void data_device(const struct attempt *a)
{
	plain(a, BLK_IN, 0, 512, F_WRITE);
	a->table[1].addr = a->disk->base;
}

static void loop(const struct attempt *a)
{
	plain(a, BLK_OUT, 0, 512, 0);
	a->table[1].next = 0;
}

/* ---- Requests that cannot be: a status says so ---- */

static void type_unknown(const struct attempt *a)
{
	plain(a, 0x7777, 0, 512, F_WRITE);
}

static void type_scsi(const struct attempt *a)
{
	plain(a, 2, 0, 512, F_WRITE);
}

static void type_erase(const struct attempt *a)
{
	plain(a, 14, 0, sizeof(struct blk_range), 0);
}

static void read_at_end(const struct attempt *a)
{
	plain(a, BLK_IN, a->capacity, 512, F_WRITE);
}

static void read_over_end(const struct attempt *a)
{
	plain(a, BLK_IN, a->capacity - 1, 1024, F_WRITE);
}

static void read_wraps(const struct attempt *a)
{
	plain(a, BLK_IN, UINT64_MAX, 1024, F_WRITE);
}

static void read_wraps_bytes(const struct attempt *a)
{
	plain(a, BLK_IN, 1ull << 55, 512, F_WRITE);
}

static void read_odd(const struct attempt *a)
{
	plain(a, BLK_IN, 0, 100, F_WRITE);
}

static void read_to_readable(const struct attempt *a)
{
	plain(a, BLK_IN, 0, 100, 0);
	a->table[1].flags = F_NEXT;
	desc(a, 2, a->data, 100, F_NEXT | F_WRITE);
	desc(a, 3, &a->slot->status, 1, F_WRITE);
}

static void write_at_end(const struct attempt *a)
{
	plain(a, BLK_OUT, a->capacity, 512, 0);
}

static void write_over_end(const struct attempt *a)
{
	plain(a, BLK_OUT, a->capacity - 1, 1024, 0);
}

static void write_odd(const struct attempt *a)
{
	plain(a, BLK_OUT, 0, 511, 0);
}

static void range(const struct attempt *a, uint32_t type, struct blk_range range, uint32_t len)
{
	for (uint32_t i = 0; i < BLK_BLOCK / sizeof(range); i++)
		((struct blk_range *)a->data)[i] = range;
	plain(a, type, 0, len, 0);
}

static void discard_odd(const struct attempt *a)
{
	range(a, BLK_DISCARD, (struct blk_range){0, 8, 0}, 17);
}

static void discard_nothing(const struct attempt *a)
{
	plain(a, BLK_DISCARD, 0, 0, 0);
}

static void discard_at_end(const struct attempt *a)
{
	range(a, BLK_DISCARD, (struct blk_range){a->capacity, 8, 0}, 16);
}

static void discard_wraps(const struct attempt *a)
{
	range(a, BLK_DISCARD, (struct blk_range){UINT64_MAX - 3, 8, 0}, 16);
}

static void discard_huge(const struct attempt *a)
{
	range(a, BLK_DISCARD, (struct blk_range){0, UINT32_MAX, 0}, 16);
}

static void discard_many(const struct attempt *a)
{
	range(a, BLK_DISCARD, (struct blk_range){0, 0, 0}, BLK_BLOCK);
}

static void discard_unmap(const struct attempt *a)
{
	range(a, BLK_DISCARD, (struct blk_range){0, 8, 1}, 16);
}

static void discard_flags(const struct attempt *a)
{
	range(a, BLK_DISCARD, (struct blk_range){0, 8, 2}, 16);
}

static void zero_flags(const struct attempt *a)
{
	range(a, BLK_WRITE_ZEROES, (struct blk_range){0, 8, 0x80000000u}, 16);
}

static void zero_over_end(const struct attempt *a)
{
	range(a, BLK_WRITE_ZEROES, (struct blk_range){a->capacity - 1, 2, 0}, 16);
}

/* ---- Unusual, and fine ---- */

static void read_nothing(const struct attempt *a)
{
	plain(a, BLK_IN, 0, 0, 0);
}

static void id_short(const struct attempt *a)
{
	plain(a, BLK_GET_ID, 0, 3, F_WRITE);
}

static void id_long(const struct attempt *a)
{
	plain(a, BLK_GET_ID, 0, 4096, F_WRITE);
}

static void flush_anywhere(const struct attempt *a)
{
	plain(a, BLK_FLUSH, UINT64_MAX, 0, 0);
}

static const struct {
	const char *name;
	int outcome; /* RESET, or the status */
	void (*build)(const struct attempt *a);
} misuses[] = {
	{"no-status", RESET, no_status},
	{"no-header", RESET, no_header},
	{"header-short", RESET, header_short},
	{"status-readable", RESET, status_readable},
	{"status-outside", RESET, status_outside},
	{"data-outside", RESET, data_outside},
	{"data-device", RESET, data_device},
	{"chain-loop", RESET, loop},
	{"type-unknown", STATUS(BLK_UNSUPP), type_unknown},
	{"type-scsi", STATUS(BLK_UNSUPP), type_scsi},
	{"type-erase", STATUS(BLK_UNSUPP), type_erase},
	{"read-at-end", STATUS(BLK_IOERR), read_at_end},
	{"read-over-end", STATUS(BLK_IOERR), read_over_end},
	{"read-wraps", STATUS(BLK_IOERR), read_wraps},
	{"read-wraps-bytes", STATUS(BLK_IOERR), read_wraps_bytes},
	{"read-odd", STATUS(BLK_IOERR), read_odd},
	{"read-to-readable", STATUS(BLK_IOERR), read_to_readable},
	{"write-at-end", STATUS(BLK_IOERR), write_at_end},
	{"write-over-end", STATUS(BLK_IOERR), write_over_end},
	{"write-odd", STATUS(BLK_IOERR), write_odd},
	{"discard-odd", STATUS(BLK_IOERR), discard_odd},
	{"discard-nothing", STATUS(BLK_IOERR), discard_nothing},
	{"discard-at-end", STATUS(BLK_IOERR), discard_at_end},
	{"discard-wraps", STATUS(BLK_IOERR), discard_wraps},
	{"discard-huge", STATUS(BLK_IOERR), discard_huge},
	{"discard-many", STATUS(BLK_IOERR), discard_many},
	{"discard-unmap", STATUS(BLK_UNSUPP), discard_unmap},
	{"discard-flags", STATUS(BLK_UNSUPP), discard_flags},
	{"zero-flags", STATUS(BLK_UNSUPP), zero_flags},
	{"zero-over-end", STATUS(BLK_IOERR), zero_over_end},
	{"read-nothing", STATUS(BLK_OK), read_nothing},
	{"id-short", STATUS(BLK_OK), id_short},
	{"id-long", STATUS(BLK_OK), id_long},
	{"flush-anywhere", STATUS(BLK_OK), flush_anywhere},
};

static bool wait_broken(const struct blk_disk *disk)
{
	uint64_t start = stub_rdtsc();

	while (!(blk_reg(disk, REG_STATUS) & STATUS_BROKEN)) {
		if (stub_rdtsc() - start > WAIT_CYCLES)
			return false;
		stub_pause();
	}
	return true;
}

static const char *read_good(struct blk_job *job)
{
	struct blk_request request = {.type = BLK_IN,
				      .data = blk_buffer(job, 0, BLK_BLOCK),
				      .len = BLK_BLOCK,
				      .device_writes = true};

	return blk_do(job->disk, &request) == BLK_OK ? NULL : "not-good-afterwards";
}

static void offer(const struct attempt *a)
{
	uint16_t head = (uint16_t)(a->slot - a->disk->slots);

	a->disk->free_count--;
	a->slot->status = BLK_UNTOUCHED;
	a->disk->desc[head] =
		(struct desc){(uintptr_t)a->table, sizeof(a->slot->table), F_INDIRECT, 0};
	blk_offer_head(a->disk, head);
	blk_notify(a->disk);
}

/* A device that is reset, or loses its queue, with much under way: nothing of it may come later. */
static const char *in_flight(struct blk_job *job, bool whole)
{
	struct blk_disk *disk = job->disk;
	const char *wrong;

	job->depth = MANY;
	for (uint64_t i = 0; i < MANY; i++) {
		struct blk_request request = {.type = BLK_IN,
					      .data = blk_buffer(job, blk_next_slot(disk), 65536),
					      .len = 65536,
					      .device_writes = true};

		if (request.data == NULL || !blk_offer(disk, &request))
			return "not-enough-ram";
	}
	blk_notify(disk);
	if (!whole) {
		blk_set_reg(disk, REG_QUEUE_SEL, 0);
		blk_set_reg(disk, REG_QUEUE_READY, 0);
		if (blk_reg(disk, REG_QUEUE_READY) != 0)
			return "queue-lives-on";
	}
	wrong = blk_start(job->index);
	if (wrong != NULL)
		return wrong;
	memset(blk_buffer(job, 0, 65536), 0x5a, 65536);
	wrong = read_good(job);
	return wrong == NULL && disk->used.index != 1 ? "answers-of-before" : wrong;
}

static const char *attempt(struct blk_job *job, size_t which)
{
	struct blk_disk *disk = job->disk;
	struct attempt a = {
		.job = job,
		.disk = disk,
		.slot = &disk->slots[blk_next_slot(disk)],
		.data = blk_buffer(job, 0, BLK_BLOCK),
		.capacity = blk_capacity(disk),
	};
	int outcome = misuses[which].outcome;
	const char *wrong = NULL;

	a.table = a.slot->table;
	misuses[which].build(&a);
	offer(&a);
	if (outcome == RESET) {
		if (!wait_broken(disk))
			return "no-reset-wanted";
		wrong = blk_start(job->index);
	} else {
		const struct blk_slot *slot = blk_wait(disk);

		if (slot == NULL)
			return "no-answer";
		job->status = slot->status;
		if (job->status != outcome)
			return "other-status";
		if (blk_reg(disk, REG_STATUS) != STATUS_STARTED)
			return "broken";
	}
	return wrong != NULL ? wrong : read_good(job);
}

const char *blk_misuse(struct blk_job *job, const char *name, size_t len)
{
	const char *wrong = "unknown-op";

	for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
		if (args_is(name, len, misuses[i].name))
			wrong = attempt(job, i);
	}
	if (args_is(name, len, "reset-in-flight"))
		wrong = in_flight(job, true);
	if (args_is(name, len, "stop-in-flight"))
		wrong = in_flight(job, false);
	text_printf(job->answer, "status=%u\n", job->status);
	return wrong;
}

size_t blk_misuse_list(struct text *answer)
{
	for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
		text_printf(answer, "%s:", misuses[i].name);
		if (misuses[i].outcome == RESET)
			text_string(answer, "reset\n");
		else
			text_printf(answer, "%u\n", (unsigned int)misuses[i].outcome);
	}
	text_string(answer, "reset-in-flight:0\nstop-in-flight:0\n");
	return answer->len;
}

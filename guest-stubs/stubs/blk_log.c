/* SPDX-License-Identifier: MIT */
/*
 * The blk stub's log: records with sequence numbers, written round and round over a range of
 * blocks, flushed now and then, so that what is on the disk after any crash can be judged.
 *
 * Record q is block `block` + q % `count`, with q as the seed of its sectors' pattern.
 */
#include "guest-stubs/stubs/blk.h"

struct log {
	uint64_t from; /* sequence number of the stream's first record */
};

static void plan_log(struct blk_job *job, void *ctx, uint64_t i, struct blk_request *request)
{
	const struct log *log = ctx;
	uint64_t sequence = log->from + i;

	request->type = BLK_OUT;
	request->sector = (job->block + sequence % job->count) * (job->size / BLK_SECTOR);
	blk_pattern(request->data, request->sector, job->size, sequence);
}

static const char *flush(struct blk_job *job)
{
	struct blk_request request = blk_plan(job, BLK_FLUSH);

	return blk_run(job, &request);
}

const char *blk_op_log(struct blk_job *job)
{
	uint64_t n = 0, every = 64, left;
	struct log log = {.from = 1};
	struct blk_stream stream = {.plan = plan_log, .ctx = &log};
	bool quiet = blk_word(job, "quiet", "1");
	const char *wrong = NULL;

	if (!blk_number(job, "n", &n) || !blk_number(job, "flush", &every) ||
	    !blk_number(job, "from", &log.from) || every == 0)
		return "bad-number";
	for (left = n; wrong == NULL && (n == 0 || left > 0); left -= n ? stream.count : 0) {
		stream.count = n != 0 && left < every ? left : every;
		/* Two of the same block must not be under way: nothing says which comes last. */
		if (stream.count > job->count)
			stream.count = job->count;
		wrong = blk_stream(job, &stream);
		if (wrong == NULL)
			wrong = flush(job);
		log.from += stream.count;
		if (wrong == NULL && !quiet)
			stub_console("flushed %lu\n", log.from - 1);
	}
	text_printf(job->answer, "last=%lu\n", log.from - 1);
	return wrong;
}

/* ---- What is there afterwards ---- */

struct check {
	uint64_t from, last; /* records that were flushed */
	uint64_t zero, whole, torn, newest;
};

static void plan_check(struct blk_job *job, void *ctx, uint64_t i, struct blk_request *request)
{
	(void)ctx;
	request->type = BLK_IN;
	request->device_writes = true;
	request->sector = (job->block + i) * (job->size / BLK_SECTOR);
	memset(request->data, 0xa5, job->size);
}

/* The newest record that was flushed to the i-th block; 0: none. */
static uint64_t flushed(const struct blk_job *job, const struct check *check, uint64_t i)
{
	uint64_t back = (check->last + job->count - i) % job->count;

	return check->last >= back && check->last - back >= check->from ? check->last - back : 0;
}

/*
 * Each sector must have what was flushed, or something newer of the same block; one of which
 * nothing was flushed may still be zeros.
 */
static const char *done_check(struct blk_job *job, void *ctx, uint64_t i, const char *data)
{
	struct check *check = ctx;
	uint64_t floor = flushed(job, check, i), first = 0, sequence = 0;
	bool torn = false;

	for (uint64_t at = 0; at < job->size; at += BLK_SECTOR, job->sector++) {
		sequence = 0;
		if (!blk_is_zero(data + at, BLK_SECTOR)) {
			if (!blk_pattern_seed(data + at, job->sector, &sequence) ||
			    sequence % job->count != i || sequence < check->from)
				return "bad";
		}
		if (sequence < floor)
			return "lost";
		if (at == 0)
			first = sequence;
		torn |= sequence != first;
		if (sequence > check->newest)
			check->newest = sequence;
	}
	check->torn += torn;
	check->zero += !torn && first == 0;
	check->whole += !torn && first != 0;
	return NULL;
}

const char *blk_op_check(struct blk_job *job)
{
	struct check check = {.from = 1};
	const struct blk_stream stream = {
		.count = job->count, .plan = plan_check, .done = done_check, .ctx = &check};
	const char *wrong;

	if (!blk_number(job, "from", &check.from) || !blk_number(job, "last", &check.last))
		return "bad-number";
	wrong = blk_stream(job, &stream);
	text_printf(job->answer, "blocks=%lu zero=%lu whole=%lu torn=%lu newest=%lu\n", job->count,
		    check.zero, check.whole, check.torn, check.newest);
	return wrong;
}

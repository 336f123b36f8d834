/* SPDX-License-Identifier: MIT */
/*
 * The blk stub's operations on blocks: written, compared, timed, logged.
 */
#include "guest-stubs/stubs/blk.h"

/* ---- Many requests ---- */

struct progress {
	uint64_t done;
	const char *wrong; /* the first */
};

static const char *offer(struct blk_job *job, const struct blk_stream *stream, uint64_t i)
{
	uint32_t slot = blk_next_slot(job->disk);
	struct blk_request request = blk_plan(job, BLK_IN);

	request.data = blk_buffer(job, slot, job->size);
	if (request.data == NULL)
		return "not-enough-ram";
	request.len = (uint32_t)job->size;
	request.tag = i;
	stream->plan(job, stream->ctx, i, &request);
	return blk_offer(job->disk, &request) ? NULL : "no-slot";
}

static const char *finish(struct blk_job *job, const struct blk_stream *stream,
			  const struct blk_slot *slot)
{
	uint32_t index = (uint32_t)(slot - job->disk->slots);
	const char *data = blk_buffer(job, index, job->size);
	bool is_merged = job->layout == BLK_MERGED && slot->header.type == BLK_IN;

	job->status = is_merged ? (uint8_t)data[job->size] : slot->status;
	job->sector = slot->header.sector;
	if (job->status != BLK_OK)
		return "status";
	return stream->done != NULL ? stream->done(job, stream->ctx, slot->tag, data) : NULL;
}

/* Take what is back, at least one. */
static const char *reap(struct blk_job *job, const struct blk_stream *stream,
			struct progress *progress)
{
	do {
		const struct blk_slot *slot = blk_wait(job->disk);

		if (slot == NULL)
			return "no-answer";
		progress->done++;
		if (progress->wrong == NULL)
			progress->wrong = finish(job, stream, slot);
	} while (blk_is_ready(job->disk));
	return NULL;
}

const char *blk_stream(struct blk_job *job, const struct blk_stream *stream)
{
	struct progress progress = {0};
	uint64_t next = 0;
	const char *wrong;

	while (progress.done < next || (next < stream->count && progress.wrong == NULL)) {
		while (next < stream->count && progress.wrong == NULL &&
		       blk_busy(job->disk) < job->depth) {
			progress.wrong = offer(job, stream, next);
			next += progress.wrong == NULL;
		}
		blk_notify(job->disk);
		if (progress.done == next)
			break;
		wrong = reap(job, stream, &progress);
		if (wrong != NULL)
			return wrong;
	}
	return progress.wrong;
}

/* The same, and what it took goes into the answer. */
static const char *measured(struct blk_job *job, const struct blk_stream *stream)
{
	uint64_t notifies = job->disk->notifies, start = stub_rdtsc();
	const char *wrong = blk_stream(job, stream);
	uint64_t cycles = stub_rdtsc() - start;

	if (wrong == NULL)
		text_printf(job->answer, "requests=%lu bytes=%lu notifies=%lu cycles=%lu\n",
			    stream->count, stream->count * job->size,
			    job->disk->notifies - notifies, cycles);
	return wrong;
}

static uint64_t sectors_of(const struct blk_job *job)
{
	return job->size / BLK_SECTOR;
}

static void as_read(struct blk_request *request)
{
	request->type = BLK_IN;
	request->device_writes = true;
}

/* ---- fill, verify ---- */

static void plan_fill(struct blk_job *job, void *ctx, uint64_t i, struct blk_request *request)
{
	(void)ctx;
	request->type = BLK_OUT;
	request->sector = (job->block + i) * sectors_of(job);
	blk_pattern(request->data, request->sector, job->size, job->seed);
}

const char *blk_op_fill(struct blk_job *job)
{
	const struct blk_stream stream = {.count = job->count, .plan = plan_fill};

	return measured(job, &stream);
}

static void plan_verify(struct blk_job *job, void *ctx, uint64_t i, struct blk_request *request)
{
	(void)ctx;
	as_read(request);
	request->sector = (job->block + i) * sectors_of(job);
	/* What the device does not write cannot pass. */
	memset(request->data, 0xa5, job->size);
}

static const char *done_verify(struct blk_job *job, void *ctx, uint64_t i, const char *data)
{
	const bool *wants_zero = ctx;
	uint64_t seed;

	(void)i;
	for (uint64_t at = 0; at < job->size; at += BLK_SECTOR, job->sector++) {
		bool fine = *wants_zero ? blk_is_zero(data + at, BLK_SECTOR)
					: blk_pattern_seed(data + at, job->sector, &seed) &&
						  seed == job->seed;
		if (!fine)
			return "differs";
	}
	return NULL;
}

const char *blk_op_verify(struct blk_job *job)
{
	bool wants_zero = blk_word(job, "expect", "zero");
	const struct blk_stream stream = {
		.count = job->count, .plan = plan_verify, .done = done_verify, .ctx = &wants_zero};

	return measured(job, &stream);
}

/* ---- peek, poke ---- */

const char *blk_op_peek(struct blk_job *job)
{
	struct blk_request request = blk_plan(job, BLK_IN);
	const char *wrong;

	as_read(&request);
	request.data = blk_buffer(job, 0, job->size);
	request.len = (uint32_t)job->size;
	request.sector = job->block * sectors_of(job);
	wrong = request.data == NULL ? "not-enough-ram" : blk_run(job, &request);
	if (wrong != NULL)
		return wrong;
	text_string(job->answer, "data=");
	text_bytes(job->answer, request.data,
		   job->size < BLK_SHOWN_MAX ? job->size : BLK_SHOWN_MAX);
	text_char(job->answer, '\n');
	return NULL;
}

const char *blk_op_poke(struct blk_job *job)
{
	struct blk_request request = blk_plan(job, BLK_OUT);
	const char *text;
	size_t len;

	if (!args_find(job->request, job->request_len, "text", &text, &len) || len > job->size)
		return "text-wanted";
	request.data = blk_buffer(job, 0, job->size);
	request.len = (uint32_t)job->size;
	request.sector = job->block * sectors_of(job);
	if (request.data == NULL)
		return "not-enough-ram";
	memset(request.data, 0, job->size);
	memcpy(request.data, text, len);
	text_printf(job->answer, "sector=%lu\n", request.sector);
	return blk_run(job, &request);
}

/* ---- loop ---- */

struct loop {
	bool is_random, writes, mixed;
};

static void plan_loop(struct blk_job *job, void *ctx, uint64_t i, struct blk_request *request)
{
	const struct loop *loop = ctx;
	uint64_t dice = stub_mix(job->seed ^ stub_mix(i + 1));
	uint64_t block = loop->is_random ? dice % job->count : i % job->count;

	request->sector = (job->block + block) * sectors_of(job);
	if (loop->writes || (loop->mixed && dice >> 63))
		request->type = BLK_OUT;
	else
		as_read(request);
}

const char *blk_op_loop(struct blk_job *job)
{
	struct loop loop = {
		.is_random = blk_word(job, "kind", "randread") ||
			     blk_word(job, "kind", "randwrite") || blk_word(job, "kind", "randmix"),
		.writes = blk_word(job, "kind", "write") || blk_word(job, "kind", "randwrite"),
		.mixed = blk_word(job, "kind", "randmix"),
	};
	struct blk_stream stream = {.count = 1000, .plan = plan_loop, .ctx = &loop};

	if (!loop.is_random && !loop.writes && !blk_word(job, "kind", "read"))
		return "bad-kind";
	if (!blk_number(job, "n", &stream.count))
		return "bad-number";
	if (!job->has_count)
		job->count = blk_capacity(job->disk) / sectors_of(job) - job->block;
	if (job->count == 0)
		return "empty-disk";
	return measured(job, &stream);
}

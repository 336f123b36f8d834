/* SPDX-License-Identifier: MIT */
/*
 * blk: drives the virtio-blk disks of its machine, well and badly. README.md of guest-stubs/ has
 * all requests and answers.
 *
 * Boot arguments: disks=N          so many disks, in slots 1 and up (default 1, at most 4)
 *                 fill=MIB seed=S  have the template write that much to disk 0, from its beginning
 *                 pending=N        have the template write N blocks more, and be frozen without
 *                                  having waited for them: the clone finds them done
 */
#include "guest-stubs/stubs/blk.h"

#include "guest-stubs/stubs/blk_misuse.h"

STUB_NEEDS(0);

#define FILL_SIZE  65536u
#define FILL_DEPTH 16u
#define ID_BYTES   20u
#define RANGES_MAX (BLK_BLOCK / sizeof(struct blk_range))

static uint64_t disk_count = 1;

bool blk_number(const struct blk_job *job, const char *key, uint64_t *ret)
{
	return stub_number(job->request, job->request_len, key, ret);
}

bool blk_word(const struct blk_job *job, const char *key, const char *word)
{
	const char *value;
	size_t len;

	return args_find(job->request, job->request_len, key, &value, &len) &&
	       args_is(value, len, word);
}

/*
 * Page-aligned but for misalign=. A page is left between two, because a merged layout puts the
 * header before the data and the status behind them.
 */
char *blk_buffer(const struct blk_job *job, uint32_t slot, uint64_t size)
{
	uint64_t pages = (size + job->misalign + STUB_PAGE_SIZE - 1) / STUB_PAGE_SIZE + 1;
	uint64_t first = 1 + pages * slot;

	if (first + pages > (stub_boot->low_ram_end - stub_boot->free_start) / STUB_PAGE_SIZE)
		return NULL;
	return (char *)stub_free_page(first) + job->misalign;
}

struct blk_request blk_plan(const struct blk_job *job, uint32_t type)
{
	return (struct blk_request){
		.type = type,
		.segments = (uint32_t)job->segments,
		.layout = job->layout,
		.direct = job->direct,
	};
}

const char *blk_run(struct blk_job *job, const struct blk_request *request)
{
	job->sector = request->sector;
	job->status = blk_do(job->disk, request);
	return job->status == BLK_OK ? NULL : "status";
}

static const char *op_info(struct blk_job *job)
{
	const struct blk_disk *disk = job->disk;
	uint32_t features = blk_features(disk), why = blk_reg(disk, REG_INTERRUPT);

	blk_set_reg(disk, REG_ACK, why & INTERRUPT_CONFIG);
	text_printf(job->answer,
		    "sectors=%lu block=%u physical=%u segments=%u queues=%u wce=%u ro=%u "
		    "discard=%u zeroes=%u changed=%u features=%x status=%x\n",
		    blk_capacity(disk), blk_reg(disk, BLK_CONFIG_BLOCK),
		    blk_reg(disk, BLK_CONFIG_BLOCK) << blk_config8(disk, BLK_CONFIG_TOPOLOGY),
		    blk_reg(disk, BLK_CONFIG_SEG_MAX),
		    features & BLK_F_MQ ? blk_config16(disk, BLK_CONFIG_QUEUES) : 1u,
		    blk_config8(disk, BLK_CONFIG_WCE), (features & BLK_F_RO) != 0,
		    (features & BLK_F_DISCARD) != 0, (features & BLK_F_ZEROES) != 0,
		    (why & INTERRUPT_CONFIG) != 0, features, blk_reg(disk, REG_STATUS));
	return NULL;
}

static const char *op_flush(struct blk_job *job)
{
	struct blk_request request = blk_plan(job, BLK_FLUSH);
	const char *wrong = blk_run(job, &request);

	text_string(job->answer, "flushed\n");
	return wrong;
}

/* Discard or write zeroes: count blocks in so many ranges, one behind the other. */
static const char *ranges(struct blk_job *job, uint32_t type, uint32_t flags)
{
	struct blk_request request = blk_plan(job, type);
	struct blk_range *list = (struct blk_range *)blk_buffer(job, 0, BLK_BLOCK);
	uint64_t parts = 1, each, sectors = job->size / BLK_SECTOR;
	const char *wrong;

	if (!blk_number(job, "ranges", &parts) || parts == 0 || parts > RANGES_MAX ||
	    parts > job->count)
		return "bad-number";
	each = job->count / parts;
	if (list == NULL || job->misalign % 8 != 0)
		return "not-enough-ram";
	for (uint64_t i = 0; i < parts; i++) {
		uint64_t blocks = i == parts - 1 ? job->count - each * i : each;

		list[i] = (struct blk_range){(job->block + each * i) * sectors,
					     (uint32_t)(blocks * sectors), flags};
	}
	request.data = list;
	request.len = (uint32_t)(parts * sizeof(*list));
	request.sector = 0;
	wrong = blk_run(job, &request);
	text_printf(job->answer, "blocks=%lu ranges=%lu\n", job->count, parts);
	return wrong;
}

static const char *op_discard(struct blk_job *job)
{
	return ranges(job, BLK_DISCARD, 0);
}

static const char *op_zero(struct blk_job *job)
{
	return ranges(job, BLK_WRITE_ZEROES, blk_word(job, "unmap", "1"));
}

static const char *op_id(struct blk_job *job)
{
	struct blk_request request = blk_plan(job, BLK_GET_ID);
	const char *wrong;

	request.data = blk_buffer(job, 0, BLK_BLOCK);
	request.len = ID_BYTES;
	request.device_writes = true;
	wrong = request.data == NULL ? "not-enough-ram" : blk_run(job, &request);
	if (wrong != NULL)
		return wrong;
	text_string(job->answer, "id=");
	for (const char *at = request.data; at < (char *)request.data + ID_BYTES && *at; at++)
		text_char(job->answer, *at);
	text_char(job->answer, '\n');
	return NULL;
}

/* The cache's mode: 1: writes wait for a flush; 0: each is on stable storage when it is done. */
static const char *op_wce(struct blk_job *job)
{
	uint64_t value = 1;

	if (!blk_number(job, "value", &value))
		return "bad-number";
	*(volatile uint8_t *)(job->disk->base + BLK_CONFIG_WCE) = (uint8_t)value;
	text_printf(job->answer, "wce=%u\n", blk_config8(job->disk, BLK_CONFIG_WCE));
	return NULL;
}

/* What leaving the guest costs: a register is read, which the host's program answers. */
static const char *op_exits(struct blk_job *job)
{
	uint64_t count = 1000, start = stub_rdtsc();

	if (!blk_number(job, "n", &count))
		return "bad-number";
	for (uint64_t i = 0; i < count; i++)
		(void)blk_reg(job->disk, REG_STATUS);
	text_printf(job->answer, "exits=%lu cycles=%lu\n", count, stub_rdtsc() - start);
	return NULL;
}

static const char *op_reset(struct blk_job *job)
{
	text_string(job->answer, "reset\n");
	return blk_start(job->index);
}

static const struct {
	const char *name;
	const char *(*run)(struct blk_job *job);
} ops[] = {
	{"info", op_info},	 {"fill", blk_op_fill},	  {"verify", blk_op_verify},
	{"peek", blk_op_peek},	 {"poke", blk_op_poke},	  {"loop", blk_op_loop},
	{"log", blk_op_log},	 {"check", blk_op_check}, {"flush", op_flush},
	{"discard", op_discard}, {"zero", op_zero},	  {"id", op_id},
	{"wce", op_wce},	 {"exits", op_exits},	  {"reset", op_reset},
};

static const char *run(struct blk_job *job, const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (args_is(name, len, ops[i].name))
			return ops[i].run(job);
	}
	return blk_misuse(job, name, len);
}

static struct blk_job job_good(struct text *answer, uint32_t index)
{
	return (struct blk_job){.answer = answer,
				.index = index,
				.disk = &blk_disks[index],
				.count = 1,
				.size = BLK_BLOCK,
				.depth = 1,
				.seed = 1};
}

static const char *parse(struct blk_job *job, const char *request, size_t len)
{
	uint64_t index = 0, indirect = 1;
	const char *value;
	size_t value_len;

	job->request = request;
	job->request_len = len;
	if (!blk_number(job, "disk", &index) || !blk_number(job, "block", &job->block) ||
	    !blk_number(job, "count", &job->count) || !blk_number(job, "size", &job->size) ||
	    !blk_number(job, "depth", &job->depth) || !blk_number(job, "seed", &job->seed) ||
	    !blk_number(job, "segments", &job->segments) ||
	    !blk_number(job, "misalign", &job->misalign) || !blk_number(job, "indirect", &indirect))
		return "bad-number";
	if (index >= disk_count)
		return "no-such-disk";
	if (job->count == 0 || job->size == 0 || job->size > BLK_SIZE_MAX ||
	    job->size % BLK_SECTOR || job->depth == 0 || job->depth > BLK_SLOTS ||
	    job->segments > BLK_SEGMENTS || job->misalign >= STUB_PAGE_SIZE)
		return "out-of-range";
	if (indirect == 0 && job->depth > 1)
		return "direct-needs-depth-1";
	job->has_count = args_find(request, len, "count", &value, &value_len);
	job->index = (uint32_t)index;
	job->disk = &blk_disks[index];
	job->direct = indirect == 0;
	if (blk_word(job, "layout", "merged"))
		job->layout = BLK_MERGED;
	else if (blk_word(job, "layout", "bytes"))
		job->layout = BLK_BYTES;
	return NULL;
}

static const char *fill(uint64_t mib, uint64_t seed)
{
	static char unused[128];
	struct text answer = text_on(unused, sizeof(unused));
	struct blk_job job = job_good(&answer, 0);

	job.size = FILL_SIZE;
	job.depth = FILL_DEPTH;
	job.count = (mib << 20) / FILL_SIZE;
	job.seed = seed;
	return blk_op_fill(&job);
}

/* Writes behind what was filled, under way. */
static const char *leave_pending(uint64_t mib, uint64_t seed, uint64_t count)
{
	struct blk_job job = job_good(NULL, 0);

	for (uint64_t i = 0; i < count; i++) {
		struct blk_request request = blk_plan(&job, BLK_OUT);

		request.data = blk_buffer(&job, blk_next_slot(job.disk), FILL_SIZE);
		request.len = FILL_SIZE;
		request.sector = (mib << 20) / BLK_SECTOR + i * FILL_SIZE / BLK_SECTOR;
		if (request.data == NULL)
			return "not-enough-ram";
		blk_pattern(request.data, request.sector, FILL_SIZE, seed);
		if (!blk_offer(job.disk, &request))
			return "no-slot";
	}
	blk_notify(job.disk);
	return NULL;
}

/* What the template had not waited for. */
static const char *collect_pending(void)
{
	while (blk_busy(&blk_disks[0]) > 0) {
		const struct blk_slot *slot = blk_wait(&blk_disks[0]);

		if (slot == NULL)
			return "pending-not-answered";
		if (slot->status != BLK_OK)
			return "pending-failed";
	}
	return NULL;
}

void stub_setup(void)
{
	uint64_t mib = 0, seed = 1, pending = 0;
	const char *wrong = NULL;

	if (!stub_number(NULL, 0, "disks", &disk_count) || disk_count > BLK_DISKS ||
	    !stub_number(NULL, 0, "fill", &mib) || !stub_number(NULL, 0, "seed", &seed) ||
	    !stub_number(NULL, 0, "pending", &pending))
		stub_fail("blk: disks= (to 4), fill=MIB, seed= and pending= want numbers");
	for (uint32_t i = 0; wrong == NULL && i < disk_count; i++)
		wrong = blk_start(i);
	if (wrong == NULL && mib > 0)
		wrong = fill(mib, seed);
	if (wrong == NULL && pending > 0)
		wrong = leave_pending(mib, seed, pending);
	if (wrong != NULL)
		stub_fail("blk: %s", wrong);
}

/* status=N: that the device answers so is what is wanted. */
static const char *judge(struct blk_job *job, const char *wrong)
{
	uint64_t wanted = BLK_OK;

	if (!blk_number(job, "status", &wanted))
		return "bad-number";
	if (wanted == BLK_OK || (wrong != NULL && !args_is(wrong, text_length(wrong), "status")))
		return wrong;
	if (job->status != wanted)
		return "other-status";
	text_printf(job->answer, "status=%u\n", job->status);
	return NULL;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);
	struct blk_job job = job_good(&answer, 0);
	const char *name = "info", *wrong;
	size_t len = 4;

	(void)args_find(request, request_len, "op", &name, &len);
	if (args_is(name, len, "list"))
		return blk_misuse_list(&answer);
	text_string(&answer, "ok op=");
	for (size_t i = 0; i < len; i++)
		text_char(&answer, name[i]);
	text_char(&answer, ' ');
	if (args_is(name, len, "nop")) {
		text_char(&answer, '\n');
		return answer.len;
	}
	wrong = collect_pending();
	if (wrong == NULL)
		wrong = parse(&job, request, request_len);
	if (wrong == NULL)
		wrong = run(&job, name, len);
	wrong = judge(&job, wrong);
	if (wrong == NULL)
		return answer.len;
	/* The first word, "ok", is taken back. */
	answer.len = 0;
	text_string(&answer, "FAIL op=");
	for (size_t i = 0; i < len; i++)
		text_char(&answer, name[i]);
	text_printf(&answer, " reason=%s sector=%lu status=%u\n", wrong, job.sector, job.status);
	return answer.len;
}

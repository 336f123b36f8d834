/* SPDX-License-Identifier: MIT */
/*
 * The blk stub's operations: what a request asks for, and what its parts share.
 */
#ifndef FORKVM_STUB_BLK_H
#define FORKVM_STUB_BLK_H

#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/blk_driver.h"

#define BLK_BLOCK     4096u
#define BLK_SIZE_MAX  (1u << 20)
#define BLK_WORDS     (BLK_SECTOR / sizeof(uint64_t))
#define BLK_SHOWN_MAX 512u

/* One request, taken apart. */
struct blk_job {
	const char *request;
	size_t request_len;
	struct text *answer; /* behind "ok op=NAME " */
	uint32_t index;	     /* of the disk */
	struct blk_disk *disk;
	uint64_t block, count, size, depth, seed, segments, misalign;
	bool has_count;
	enum blk_layout layout;
	bool direct;
	/* of a failure: the sector it is about, and the device's status */
	uint64_t sector;
	uint8_t status;
};

/* A number of the request; false when it is none. */
bool blk_number(const struct blk_job *job, const char *key, uint64_t *ret);

/* Is there key=word? */
bool blk_word(const struct blk_job *job, const char *key, const char *word);

/* Memory for a request's data, of at least size + BLK_BLOCK bytes, by slot; NULL: RAM ends. */
char *blk_buffer(const struct blk_job *job, uint32_t slot, uint64_t size);

/* A request with the job's layout and no data. */
struct blk_request blk_plan(const struct blk_job *job, uint32_t type);

/* Do it: NULL, or what is wrong. */
const char *blk_run(struct blk_job *job, const struct blk_request *request);

/*
 * Many requests of job->size bytes each, at most job->depth of them under way. plan says what the
 * i-th is, having its data at hand; done (may be NULL) looks at it when it is back, and says what
 * is wrong or NULL.
 */
struct blk_stream {
	uint64_t count;
	void (*plan)(struct blk_job *job, void *ctx, uint64_t i, struct blk_request *request);
	const char *(*done)(struct blk_job *job, void *ctx, uint64_t i, const char *data);
	void *ctx;
};
const char *blk_stream(struct blk_job *job, const struct blk_stream *stream);

/* blk_pattern.c: sectors that say what they are. */
void blk_pattern(char *data, uint64_t sector, uint64_t bytes, uint64_t seed);

/* Whether this is that sector with a pattern of some seed. */
bool blk_pattern_seed(const char *data, uint64_t sector, uint64_t *ret_seed);
bool blk_is_zero(const char *data, uint64_t bytes);

/* The operations: NULL, or what is wrong, the answer having what is to be told of success. */
const char *blk_op_fill(struct blk_job *job);
const char *blk_op_verify(struct blk_job *job);
const char *blk_op_peek(struct blk_job *job);
const char *blk_op_poke(struct blk_job *job);
const char *blk_op_loop(struct blk_job *job);
const char *blk_op_log(struct blk_job *job);
const char *blk_op_check(struct blk_job *job);

#endif

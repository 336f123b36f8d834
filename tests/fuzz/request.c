/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a client's bytes, as the server cuts them into lines and reads each as a request;
 * and base64, which must survive a round trip.
 */
#include <errno.h>
#include <string.h>

#include "forkserver/proto/base64.h"
#include "forkserver/proto/line.h"
#include "forkserver/proto/request.h"
#include "tests/fuzz/fuzz.h"
#include "vmm/base/util.h"

#define LINE_MAX 4096 /* of the buffer here: small, so that lines that do not fit happen too */

static struct request request;

static void check_tag(const struct request *parsed)
{
	size_t len = strnlen(parsed->tag, REQUEST_TAG_SIZE);

	FUZZ_CHECK(len < REQUEST_TAG_SIZE);
	for (size_t i = 0; i < len; i++)
		FUZZ_CHECK(parsed->tag[i] >= 0x20 && parsed->tag[i] < 0x7f);
}

static void parse(const char *line, size_t len)
{
	struct error error = {0};
	int rc = request_parse(line, len, &request, &error);

	check_tag(&request);
	if (rc < 0) {
		FUZZ_CHECK(rc == -error.code);
		FUZZ_CHECK(error.text[0] != '\0');
		return;
	}
	FUZZ_CHECK(rc == 0 && error.code == 0);
	FUZZ_CHECK(request.op < REQUEST_OP_COUNT_);
	FUZZ_CHECK(request.body_len <= FORKVM_PROTOCOL_MAX_REQUEST);
	FUZZ_CHECK(strcmp(request_op_name(request.op), "unknown") != 0);
	FUZZ_CHECK(!request.session || request.answer);
	FUZZ_CHECK(request.disk_count <= FORKVM_PROTOCOL_MAX_DISKS);
	FUZZ_CHECK(request.op != REQUEST_CLONE ||
		   request.descriptors ==
			   (unsigned int)request.answer + request.console + request.disk_count);
	for (unsigned int i = 0; i < request.disk_count; i++)
		FUZZ_CHECK(request.disks[i].slot < FORKVM_PROTOCOL_MAX_DISKS);
	FUZZ_CHECK(request.count <= FORKVM_PROTOCOL_MAX_BATCH &&
		   request.body_len <= FORKVM_PROTOCOL_MAX_REQUEST);
	FUZZ_CHECK(!request.has_parts || request.part_ends[request.count - 1] == request.body_len);
	for (uint32_t i = 1; request.has_parts && i < request.count; i++)
		FUZZ_CHECK(request.part_ends[i - 1] <= request.part_ends[i]);
	FUZZ_CHECK(request.op != REQUEST_KILL || request.has_id != request.all);
}

/* As the server does: into a buffer, a piece at a time, every whole line out of it. */
static void cut(const uint8_t *data, size_t size)
{
	static char memory[LINE_MAX];
	struct line_buffer buffer;

	line_buffer_init(&buffer, memory, sizeof(memory));
	while (size) {
		size_t room, len, piece = 1 + data[0] % 97;
		char *space = line_buffer_space(&buffer, &room);
		char *line;

		if (!room)
			return; /* a line that is too long: the server closes the connection */
		piece = min_u64(min_u64(piece, room), size);
		memcpy(space, data, piece);
		line_buffer_received(&buffer, piece);
		data += piece;
		size -= piece;
		while (line_buffer_has_line(&buffer)) {
			FUZZ_CHECK(line_buffer_next(&buffer, &line, &len));
			FUZZ_CHECK(!memchr(line, '\n', len));
			parse(line, len);
		}
		FUZZ_CHECK(!line_buffer_next(&buffer, &line, &len));
	}
}

static void round_trip(const uint8_t *data, size_t size)
{
	static char text[BASE64_LENGTH(LINE_MAX)];
	static uint8_t back[LINE_MAX];
	size_t len = 0;

	if (size > sizeof(back))
		return;
	base64_encode(data, size, text);
	FUZZ_CHECK(base64_decode(text, BASE64_LENGTH(size), back, sizeof(back), &len) == 0);
	FUZZ_CHECK(len == size && memcmp(back, data, size) == 0);
	/* And what decodes at all is the one text of its bytes. */
	if (base64_decode((const char *)data, size, back, sizeof(back), &len) == 0) {
		FUZZ_CHECK(BASE64_LENGTH(len) == size);
		base64_encode(back, len, text);
		FUZZ_CHECK(memcmp(text, data, size) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse((const char *)data, size);
	cut(data, size);
	round_trip(data, size);
	return 0;
}

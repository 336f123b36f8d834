/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/proto/request.c. */
#include "forkserver/proto/request.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/util.h"

static struct request request;
static struct error error;

static int parse(const char *line)
{
	error = (struct error){0};
	memset(&request, 0xee, sizeof(request));
	return request_parse(line, strlen(line), &request, &error);
}

static void accept(const char *line)
{
	cr_assert_eq(parse(line), 0, "%s: %s", line, error.text);
}

static void refuse(const char *line, int code)
{
	cr_assert_eq(parse(line), -code, "%s: %s", line, error.text);
	cr_assert_eq(error.code, code);
	cr_assert_str_not_empty(error.text);
}

Test(request, every_op_by_its_name)
{
	static const char *const names[] = {"hello", "clone",  "list", "inspect",
					    "stats", "freeze", "stop"};
	char line[64];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(line, sizeof(line), "{\"op\":\"%s\"}", names[i]);
		accept(line);
		cr_assert_str_eq(request_op_name(request.op), names[i]);
		cr_assert_str_empty(request.tag);
	}
	accept("{\"op\":\"kill\",\"all\":true}");
	cr_assert_eq(request.op, REQUEST_KILL);
	cr_assert_str_eq(request_op_name(REQUEST_OP_COUNT_), "unknown");
}

Test(request, a_clone_with_nothing)
{
	accept("{\"op\":\"clone\"}");
	cr_assert_eq(request.op, REQUEST_CLONE);
	cr_assert_not(request.answer);
	cr_assert_not(request.console);
	cr_assert_not(request.session);
	cr_assert_not(request.detach);
	cr_assert_not(request.progress);
	cr_assert_not(request.has_timeout);
	cr_assert_eq(request.body_len, 0);
}

Test(request, a_clone_with_everything)
{
	accept("{\"op\":\"clone\",\"tag\":-7,\"answer\":true,\"console\":true,\"session\":true,"
	       "\"detach\":true,\"progress\":true,\"timeout_ms\":1000000000000,"
	       "\"request\":\"a\\u0000\\u00e4\"}");
	cr_assert_str_eq(request.tag, "-7");
	cr_assert(request.answer);
	cr_assert(request.console);
	cr_assert(request.session);
	cr_assert(request.detach);
	cr_assert(request.progress);
	cr_assert(request.has_timeout);
	cr_assert_eq(request.timeout_ms, 1000000000000);
	cr_assert_eq(request.body_len, 4);
	cr_assert_eq(memcmp(request.body, "a\0\xc3\xa4", 4), 0);
}

Test(request, spares)
{
	accept("{\"op\":\"clone\"}");
	cr_assert_eq(request.spare, REQUEST_SPARE_ANY);
	accept("{\"op\":\"clone\",\"spare\":\"any\"}");
	cr_assert_eq(request.spare, REQUEST_SPARE_ANY);
	accept("{\"op\":\"clone\",\"spare\":\"never\"}");
	cr_assert_eq(request.spare, REQUEST_SPARE_NEVER);
	accept("{\"op\":\"clone\",\"spare\":\"only\"}");
	cr_assert_eq(request.spare, REQUEST_SPARE_ONLY);
	accept("{\"op\":\"clone\",\"spare\":\"wait\"}");
	cr_assert_eq(request.spare, REQUEST_SPARE_WAIT);
	refuse("{\"op\":\"clone\",\"spare\":\"\"}", EINVAL);
	refuse("{\"op\":\"clone\",\"spare\":\"only\\u0000\"}", EINVAL);
	refuse("{\"op\":\"clone\",\"spare\":true}", EINVAL);
	refuse("{\"op\":\"list\",\"spare\":\"any\"}", EINVAL);
}

Test(request, bodies_in_base64)
{
	accept("{\"op\":\"clone\",\"request_b64\":\"AAH/\"}");
	cr_assert_eq(request.body_len, 3);
	cr_assert_eq(memcmp(request.body, "\0\1\xff", 3), 0);
	accept("{\"op\":\"clone\",\"request_b64\":\"\"}");
	cr_assert_eq(request.body_len, 0);
	refuse("{\"op\":\"clone\",\"request_b64\":\"AAH\"}", EINVAL);
	refuse("{\"op\":\"clone\",\"request_b64\":7}", EINVAL);
	refuse("{\"op\":\"clone\",\"request\":\"\",\"request_b64\":\"\"}", EINVAL);
}

/* A line with a body of len times the character. */
static int parse_body(const char *member, char character, size_t len)
{
	size_t size = len + 100;
	char *line = malloc(size);
	int used = snprintf(line, size, "{\"op\":\"clone\",\"%s\":\"", member), rc;

	memset(line + used, character, len);
	memcpy(line + (size_t)used + len, "\"}", 3);
	error = (struct error){0};
	rc = request_parse(line, (size_t)used + len + 2, &request, &error);
	free(line);
	return rc;
}

Test(request, bodies_up_to_64_kib)
{
	cr_assert_eq(parse_body("request", 'a', 65536), 0, "%s", error.text);
	cr_assert_eq(request.body_len, 65536);
	cr_assert_eq(parse_body("request", 'a', 65537), -EMSGSIZE);
	cr_assert_eq(parse_body("request_b64", 'A', 87380), 0, "%s", error.text);
	cr_assert_eq(request.body_len, 65535);
	cr_assert_eq(parse_body("request_b64", 'A', 87384), -EMSGSIZE);
}

Test(request, batches)
{
	accept("{\"op\":\"clone\",\"count\":4096,\"request\":\"abc\"}");
	cr_assert_eq(request.count, 4096);
	cr_assert_eq(request.at_once, 0);
	cr_assert_not(request.has_parts);
	cr_assert_eq(request.body_len, 3);
	accept("{\"op\":\"clone\"}");
	cr_assert_eq(request.count, 0);
	cr_assert_null(request.batch);
	accept("{\"op\":\"clone\",\"requests\":[\"a\",\"\",\"bcd\"],\"at_once\":2}");
	cr_assert_eq(request.count, 3);
	cr_assert_eq(request.at_once, 2);
	cr_assert(request.has_parts);
	cr_assert_eq(request.part_ends[0], 1);
	cr_assert_eq(request.part_ends[1], 1);
	cr_assert_eq(request.part_ends[2], 4);
	cr_assert_arr_eq(request.body, "abcd", 4);
	accept("{\"op\":\"clone\",\"requests_b64\":[\"AAH/\",\"YQ==\"]}");
	cr_assert_eq(request.count, 2);
	cr_assert_eq(request.part_ends[0], 3);
	cr_assert_eq(request.part_ends[1], 4);
	cr_assert_arr_eq(request.body, "\0\1\xff\x61", 4);
}

Test(request, batches_that_are_none)
{
	static const char *const members[] = {
		"\"count\":0",
		"\"count\":4097",
		"\"count\":-1",
		"\"count\":1.0",
		"\"count\":\"1\"",
		"\"at_once\":1",
		"\"count\":2,\"at_once\":0",
		"\"count\":2,\"at_once\":1,\"detach\":true",
		"\"count\":1,\"requests\":[\"a\"]",
		"\"requests\":[\"a\"],\"count\":1",
		"\"requests\":[]",
		"\"requests\":{}",
		"\"requests\":[\"a\",1]",
		"\"requests\":[\"a\"],\"request\":\"b\"",
		"\"requests\":[\"a\"],\"requests_b64\":[\"YQ==\"]",
		"\"request_b64\":\"YQ==\",\"requests_b64\":[\"YQ==\"]",
		"\"requests_b64\":[\"YQ\"]",
		"\"count\":2,\"console\":true",
		"\"count\":2,\"spare\":\"wait\"",
		"\"count\":2,\"answer\":true,\"session\":true",
		"\"count\":2,\"disks\":[{\"slot\":0}]",
	};
	char line[200];

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		snprintf(line, sizeof(line), "{\"op\":\"clone\",%s}", members[i]);
		refuse(line, EINVAL);
	}
	refuse("{\"op\":\"list\",\"count\":1}", EINVAL);
}

/* So many strings of so many characters each. */
static char *make_batch(const char *member, size_t count, size_t len)
{
	size_t room = 64 + count * (len + 3);
	char *line = malloc(room);
	size_t at = (size_t)snprintf(line, room, "{\"op\":\"clone\",\"%s\":[", member);

	for (size_t i = 0; i < count; i++) {
		line[at++] = i ? ',' : ' ';
		line[at++] = '"';
		memset(line + at, 'A', len);
		at += len;
		line[at++] = '"';
	}
	memcpy(line + at, "]}", 3);
	return line;
}

Test(request, batches_up_to_64_kib_and_4096)
{
	static const struct {
		const char *member;
		size_t count;
		size_t len;
		int code;
	} cases[] = {
		{"requests", 4096, 16, 0},
		{"requests", 4096, 17, EMSGSIZE},
		{"requests", 4097, 0, EINVAL},
		{"requests", 1, 65536, 0},
		{"requests", 2, 32769, EMSGSIZE},
		{"requests_b64", 4, 21844, 0},
		{"requests_b64", 4, 21852, EMSGSIZE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *line = make_batch(cases[i].member, cases[i].count, cases[i].len);

		if (cases[i].code)
			refuse(line, cases[i].code);
		else
			accept(line);
		free(line);
	}
}

Test(request, tags)
{
	accept("{\"op\":\"stats\",\"tag\":9223372036854775807}");
	cr_assert_str_eq(request.tag, "9223372036854775807");
	accept("{\"op\":\"stats\",\"tag\":\"a b'c\"}");
	cr_assert_str_eq(request.tag, "\"a b'c\"", "as JSON again");
	refuse("{\"op\":\"stats\",\"tag\":\"\"}", EINVAL);
	refuse("{\"op\":\"stats\",\"tag\":1.5}", EINVAL);
	refuse("{\"op\":\"stats\",\"tag\":true}", EINVAL);
	refuse("{\"op\":\"stats\",\"tag\":[]}", EINVAL);
	refuse("{\"op\":\"stats\",\"tag\":\"\\\"\"}", EINVAL);
	refuse("{\"op\":\"stats\",\"tag\":\"\\\\\"}", EINVAL);
	refuse("{\"op\":\"stats\",\"tag\":\"\\u00e4\"}", EINVAL);
	refuse("{\"op\":\"stats\",\"tag\":\"\\u0000\"}", EINVAL);
}

Test(request, the_longest_tag)
{
	char line[128];

	snprintf(line, sizeof(line), "{\"op\":\"stats\",\"tag\":\"%064d\"}", 0);
	accept(line);
	cr_assert_eq(strlen(request.tag), 66);
	snprintf(line, sizeof(line), "{\"op\":\"stats\",\"tag\":\"%065d\"}", 0);
	refuse(line, EINVAL);
}

Test(request, disks)
{
	static const char *const bad[] = {
		"1",
		"{}",
		"[1]",
		"[{}]",
		"[{\"slot\":4}]",
		"[{\"slot\":-1}]",
		"[{\"slot\":\"1\"}]",
		"[{\"slot\":1.5}]",
		"[{\"slot\":1,\"mode\":1}]",
		"[{\"slot\":1,\"mode\":\"w\"}]",
		"[{\"slot\":1,\"name\":\"x\"}]",
		"[{\"slot\":1},{\"slot\":1}]",
		"[{\"slot\":0},{\"slot\":1},{\"slot\":2},{\"slot\":3},{\"slot\":0}]",
	};
	char line[200];

	accept("{\"op\":\"clone\",\"disks\":[]}");
	cr_assert_eq(request.disk_count, 0);
	accept("{\"op\":\"clone\",\"console\":true,\"disks\":[{\"slot\":2,\"mode\":\"rw\"},"
	       "{\"slot\":0},{\"mode\":\"ro\",\"slot\":1},{\"slot\":3,\"mode\":\"overlay\"}]}");
	cr_assert_eq(request.disk_count, 4);
	cr_assert_eq(request.descriptors, 5);
	cr_assert_eq(request.disks[0].slot, 2);
	cr_assert_eq(request.disks[0].mode, REQUEST_DISK_WRITE);
	cr_assert_eq(request.disks[1].slot, 0);
	cr_assert_eq(request.disks[1].mode, REQUEST_DISK_OVERLAY);
	cr_assert_eq(request.disks[2].mode, REQUEST_DISK_READ_ONLY);
	cr_assert_eq(request.disks[3].slot, 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(line, sizeof(line), "{\"op\":\"clone\",\"disks\":%s}", bad[i]);
		refuse(line, EINVAL);
	}
	refuse("{\"op\":\"list\",\"disks\":[]}", EINVAL);
}

Test(request, exports)
{
	accept("{\"op\":\"export\",\"id\":7}");
	cr_assert_eq(request.id, 7);
	cr_assert_eq(request.disk, 0);
	accept("{\"op\":\"export\",\"id\":7,\"disk\":3,\"timeout_ms\":5}");
	cr_assert_eq(request.disk, 3);
	cr_assert_eq(request.timeout_ms, 5);
	accept("{\"op\":\"release\",\"id\":7}");
	refuse("{\"op\":\"export\"}", EINVAL);
	refuse("{\"op\":\"release\"}", EINVAL);
	refuse("{\"op\":\"export\",\"id\":7,\"disk\":4}", EINVAL);
	refuse("{\"op\":\"release\",\"id\":7,\"disk\":1}", EINVAL);
}

/* Who asked, and which descriptors came with it, is known even where the request is refused. */
Test(request, what_a_refusal_still_tells)
{
	refuse("{\"op\":\"clone\",\"tag\":5,\"answer\":true,\"bogus\":1}", EINVAL);
	cr_assert_str_eq(request.tag, "5");
	cr_assert_eq(request.descriptors, 1);
	refuse("{\"op\":\"nonsense\",\"tag\":6,\"console\":true}", ENOSYS);
	cr_assert_str_eq(request.tag, "6");
	cr_assert_eq(request.descriptors, 1);
	refuse("{\"tag\":\"\",\"answer\":true,\"console\":true}", EINVAL);
	cr_assert_eq(request.descriptors, 2);
	refuse("{\"op\":\"clone\",\"answer\":true,\"disks\":[1,2,3,4,5,6,7]}", EINVAL);
	cr_assert_eq(request.descriptors, 8);
	refuse("[", EBADMSG);
	cr_assert_str_empty(request.tag);
	cr_assert_eq(request.descriptors, 0);
}

Test(request, not_json)
{
	static const char *const lines[] = {
		"",
		"{",
		"}",
		"nul",
		"{\"op\":\"stats\"}x",
		"{\"op\":\"stats\",\"op\":\"stop\"}",
		"\"op\"",
		"[]",
		"1",
		"null",
		"{\"op\":\"\xff\"}",
		"{\"op\":\"kill\",\"id\":99999999999999999999}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		refuse(lines[i], EBADMSG);
}

Test(request, depth_is_bounded)
{
	char line[100001];

	memset(line, '[', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	refuse(line, EBADMSG);
}

Test(request, nothing_is_read_beyond_the_line)
{
	static const char line[] = "{\"op\":\"stats\"}";
	size_t len = sizeof(line) - 1;
	char *exact = malloc(len);

	/* On the heap and not terminated: the address sanitizer sees a byte too many. */
	memcpy(exact, line, len);
	cr_assert_eq(request_parse(exact, len, &request, &error), 0);
	for (size_t cut = 0; cut < len; cut++) {
		char *shorter = malloc(cut ? cut : 1);

		memcpy(shorter, line, cut);
		cr_assert_eq(request_parse(shorter, cut, &request, &error), -EBADMSG);
		free(shorter);
	}
	free(exact);
}

Test(request, types_and_ranges)
{
	static const char *const lines[] = {
		"{}",
		"{\"op\":null}",
		"{\"op\":\"stats\",\"extra\":1}",
		"{\"op\":\"stop\",\"id\":1}",
		"{\"op\":\"freeze\",\"timeout_ms\":1}",
		"{\"op\":\"clone\",\"id\":1}",
		"{\"op\":\"clone\",\"answer\":0}",
		"{\"op\":\"clone\",\"detach\":null}",
		"{\"op\":\"clone\",\"timeout_ms\":-1}",
		"{\"op\":\"clone\",\"timeout_ms\":1000000000001}",
		"{\"op\":\"clone\",\"timeout_ms\":1.0}",
		"{\"op\":\"clone\",\"request\":[]}",
		"{\"op\":\"clone\",\"session\":true}",
		"{\"op\":\"clone\",\"session\":true,\"answer\":false}",
		"{\"op\":\"list\",\"after\":-1}",
		"{\"op\":\"list\",\"after\":\"0\"}",
		"{\"op\":\"inspect\",\"id\":-1}",
		"{\"op\":\"kill\"}",
		"{\"op\":\"kill\",\"all\":false}",
		"{\"op\":\"kill\",\"all\":true,\"id\":1}",
		"{\"op\":\"hello\",\"protocol\":\"1\"}",
		"{\"op\":\"hello\",\"protocol\":-1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		refuse(lines[i], EINVAL);
	refuse("{\"op\":\"Clone\"}", ENOSYS);
	refuse("{\"op\":\"\"}", ENOSYS);
	refuse("{\"op\":\"hello\",\"protocol\":2}", EPROTONOSUPPORT);
	refuse("{\"op\":\"hello\",\"protocol\":0}", EPROTONOSUPPORT);
	accept("{\"op\":\"hello\",\"protocol\":1}");
	accept("{\"op\":\"kill\",\"id\":9223372036854775807}");
	cr_assert_eq(request.id, INT64_MAX);
	accept("{\"op\":\"kill\",\"id\":3,\"all\":false}");
	accept("{\"op\":\"list\",\"after\":500}");
	cr_assert_eq(request.after, 500);
	accept("{\"op\":\"inspect\",\"id\":0}");
	cr_assert(request.has_id);
}

/* A member with a zero byte does not pass for the one it begins with. */
Test(request, names_with_zeros)
{
	refuse("{\"op\":\"stats\",\"tag\\u0000\":1}", EBADMSG);
	refuse("{\"op\":\"stop\\u0000\"}", ENOSYS);
}

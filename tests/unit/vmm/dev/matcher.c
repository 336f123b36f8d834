/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/matcher.c. */
#include "vmm/dev/matcher.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

#define ENDS_MAX 64

/* Where matches end in stream, found in pieces of piece bytes. Returns how many there are. */
static size_t find(const char *pattern, size_t pattern_len, const char *stream, size_t len,
		   size_t piece, size_t ends[ENDS_MAX])
{
	struct matcher matcher;
	size_t count = 0, end;

	cr_assert_eq(matcher_init(&matcher, pattern, pattern_len), 0);
	for (size_t at = 0; at < len; at += piece) {
		size_t stop = min_u64(at + piece, len), from = at;

		while (matcher_feed(&matcher, stream + from, stop - from, &end)) {
			cr_assert_geq(end, 1);
			from += end;
			cr_assert_leq(from, stop);
			cr_assert_lt(count, ENDS_MAX);
			ends[count++] = from;
		}
	}
	return count;
}

/* The same, by looking everywhere. */
static size_t look(const char *pattern, size_t pattern_len, const char *stream, size_t len,
		   size_t ends[ENDS_MAX])
{
	size_t count = 0;

	for (size_t end = pattern_len; end <= len; end++)
		if (memcmp(stream + end - pattern_len, pattern, pattern_len) == 0)
			ends[count++] = end;
	return count;
}

static void compare(const char *pattern, size_t pattern_len, const char *stream, size_t len)
{
	size_t expected[ENDS_MAX], ends[ENDS_MAX], count;

	count = look(pattern, pattern_len, stream, len, expected);
	for (size_t piece = 1; piece <= len; piece++) {
		cr_assert_eq(find(pattern, pattern_len, stream, len, piece, ends), count,
			     "%.*s in %.*s", (int)pattern_len, pattern, (int)len, stream);
		cr_assert_eq(memcmp(ends, expected, count * sizeof(ends[0])), 0, "%.*s in %.*s",
			     (int)pattern_len, pattern, (int)len, stream);
	}
}

static void compare_text(const char *pattern, const char *stream)
{
	compare(pattern, strlen(pattern), stream, strlen(stream));
}

Test(matcher, lengths)
{
	struct matcher matcher;
	char pattern[256];

	memset(pattern, 'x', sizeof(pattern));
	cr_assert_eq(matcher_init(&matcher, pattern, 0), -EINVAL);
	cr_assert_eq(matcher_init(&matcher, pattern, 256), -EINVAL);
	cr_assert_eq(matcher_init(&matcher, pattern, 255), 0);
	cr_assert_eq(matcher_init(&matcher, pattern, 1), 0);
}

Test(matcher, texts)
{
	compare_text("login:", "Debian GNU/Linux\r\nhost login: ");
	compare_text("login:", "logilogin:loginlogin::login");
	compare_text("a", "banana");
	compare_text("ana", "bananana");
	compare_text("aab", "aaaaaab");
	compare_text("abcabd", "abcabcabdabcabcabd");
	compare_text("aaaa", "aaaaaaaaaa");
	compare_text("long", "no");
}

Test(matcher, any_bytes)
{
	compare("\0\xff\0", 3, "\0\xff\0\xff\0\0\xff", 7);
	compare("\0", 1, "\0\0a\0", 4);
}

Test(matcher, nothing_new_is_no_match)
{
	struct matcher matcher;
	size_t end = 77;

	matcher_init(&matcher, "ab", 2);
	cr_assert_not(matcher_feed(&matcher, "a", 1, &end));
	cr_assert_not(matcher_feed(&matcher, NULL, 0, &end));
	cr_assert_eq(end, 77);
	cr_assert(matcher_feed(&matcher, "b", 1, &end));
	cr_assert_eq(end, 1);
	cr_assert_not(matcher_feed(&matcher, "b", 1, &end));
}

/* Every pattern of up to 5 bytes in every stream of 11, of two letters. */
Test(matcher, exhaustive)
{
	char pattern[5], stream[11];

	for (unsigned int s = 0; s < 1u << sizeof(stream); s++) {
		for (size_t i = 0; i < sizeof(stream); i++)
			stream[i] = s >> i & 1 ? 'a' : 'b';
		for (unsigned int p = 0; p < 1u << sizeof(pattern); p++) {
			for (size_t i = 0; i < sizeof(pattern); i++)
				pattern[i] = p >> i & 1 ? 'a' : 'b';
			for (size_t len = 1; len <= sizeof(pattern); len++)
				if (p < 1u << len)
					compare(pattern, len, stream, sizeof(stream));
		}
	}
}

/* The longest pattern, with borders of up to 254 bytes. */
Test(matcher, long_patterns)
{
	char pattern[255], stream[300];
	size_t ends[ENDS_MAX];

	memset(pattern, 'x', sizeof(pattern));
	memset(stream, 'x', sizeof(stream));
	cr_assert_eq(find(pattern, 255, stream, sizeof(stream), 7, ends), 46);
	cr_assert_eq(ends[0], 255);
	cr_assert_eq(ends[45], 300);
	pattern[254] = 'y';
	cr_assert_eq(find(pattern, 255, stream, sizeof(stream), 300, ends), 0);
	stream[280] = 'y';
	cr_assert_eq(find(pattern, 255, stream, sizeof(stream), 100, ends), 1);
	cr_assert_eq(ends[0], 281);
}

/* SPDX-License-Identifier: MIT */
/* Is that what the guest should have answered? See check.h, and each stub's head for its answer. */
#define _GNU_SOURCE
#include "bench/storm/check.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO "ok hello clone="
#define ECHO  "echo "

/* FNV-1a, begun with the kind, so that a clone number and a draw that look alike are two things. */
static uint64_t hash(char kind, const char *text, size_t length)
{
	uint64_t value = 0xcbf29ce484222325u;

	value = (value ^ (unsigned char)kind) * 0x100000001b3u;
	for (size_t i = 0; i < length; i++)
		value = (value ^ (unsigned char)text[i]) * 0x100000001b3u;
	return value;
}

/* The value of a word KEY=VALUE in a line; commas end it too. NULL when it is not there. */
static const char *find_value(const char *line, size_t length, const char *key, size_t *ret_length)
{
	size_t key_length = strlen(key);
	const char *end = line + length, *at = line;

	while ((at = memmem(at, (size_t)(end - at), key, key_length))) {
		const char *value = at + key_length, *stop = value;

		if (at == line || at[-1] == ' ') {
			while (stop < end && !isspace((unsigned char)*stop) && *stop != ',')
				stop++;
			*ret_length = (size_t)(stop - value);
			return value;
		}
		at = value;
	}
	return NULL;
}

/* Remember the value of key, which no other clone may show. False when there is none. */
static bool seen_once(struct checker *checker, const char *answer, size_t length, const char *key)
{
	size_t value_length = 0;
	const char *value = find_value(answer, length, key, &value_length);

	if (!value || value_length == 0)
		return false;
	samples_add(&checker->once, hash(key[0], value, value_length));
	return true;
}

static enum check_verdict bad(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return CHECK_BAD;
}

static enum check_verdict check_same(const char *expected, size_t expected_length,
				     const char *answer, size_t length, const char **ret_reason)
{
	size_t common = length < expected_length ? length : expected_length;

	if (memcmp(answer, expected, common) != 0)
		return bad(ret_reason, "wrong answer: not the request's bytes");
	if (length > expected_length)
		return bad(ret_reason, "wrong answer: more bytes than the request had");
	return length == expected_length ? CHECK_GOOD : CHECK_SHORT;
}

const char *check_request(const struct checker *checker, uint64_t token,
			  char buffer[CHECK_ECHO_LENGTH + 1])
{
	if (checker->by != CHECK_BY_ECHO)
		return checker->request;
	snprintf(buffer, CHECK_ECHO_LENGTH + 1, ECHO "t%016" PRIx64, token);
	return buffer;
}

/* A Linux guest's agent repeats what follows "echo ", and nothing more. */
static enum check_verdict check_word(const struct checker *checker, uint64_t token,
				     const char *answer, size_t length, const char **ret_reason)
{
	char buffer[CHECK_ECHO_LENGTH + 1];
	const char *word = check_request(checker, token, buffer) + strlen(ECHO);

	return check_same(word, strlen(word), answer, length, ret_reason);
}

/* An identity as the agent tells it: all that must be a clone's own, and that it was renewed. */
static enum check_verdict check_identity(struct checker *checker, const char *answer, size_t length,
					 const char **ret_reason)
{
	static const char *const own[] = {"generation_id", "machine_id", "hostname", "urandom",
					  "getrandom"};
	json_t *identity = json_loadb(answer, length, 0, NULL), *id;
	enum check_verdict verdict = CHECK_GOOD;

	id = json_object_get(identity, "clone_id");
	if (json_is_integer(id)) {
		json_int_t value = json_integer_value(id);

		samples_add(&checker->once, hash('c', (const char *)&value, sizeof(value)));
	} else {
		verdict = bad(ret_reason, "wrong answer: no identity in it");
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		const char *text = json_string_value(json_object_get(identity, own[i]));

		if (text && *text)
			samples_add(&checker->once, hash((char)('A' + i), text, strlen(text)));
		else
			verdict =
				bad(ret_reason, "wrong answer: a part of its identity is missing");
	}
	if (verdict == CHECK_GOOD && !json_is_true(json_object_get(identity, "reseeded")))
		verdict = bad(ret_reason, "its random numbers were not seeded anew");
	json_decref(identity);
	return verdict;
}

static enum check_verdict check_hello(struct checker *checker, const char *answer, size_t length,
				      const char **ret_reason)
{
	size_t at = strlen(HELLO);

	if (length <= at + 1 || memcmp(answer, HELLO, at) != 0 || answer[length - 1] != '\n')
		return bad(ret_reason, "wrong answer: not hello's greeting");
	for (; at < length - 1; at++)
		if (!isdigit((unsigned char)answer[at]))
			return bad(ret_reason, "wrong answer: hello's clone number is none");
	seen_once(checker, answer, length, "clone=");
	return CHECK_GOOD;
}

enum check_verdict check_answer(struct checker *checker, uint64_t token, const char *answer,
				size_t length, const char **ret_reason)
{
	if (checker->by == CHECK_BY_ECHO)
		return check_word(checker, token, answer, length, ret_reason);
	if (checker->by == CHECK_BY_ANYTHING)
		return length ? CHECK_GOOD : CHECK_SHORT;
	if (strcmp(checker->stub, "echo") == 0)
		return check_same(checker->request, checker->request_len, answer, length,
				  ret_reason);
	/* The others answer one line. */
	if (length == 0 || answer[length - 1] != '\n')
		return CHECK_SHORT;
	if (checker->by == CHECK_BY_IDENTITY)
		return check_identity(checker, answer, length, ret_reason);
	if (strcmp(checker->stub, "hello") == 0)
		return check_hello(checker, answer, length, ret_reason);
	if (length < 3 || memcmp(answer, "ok", 2) != 0 || !isspace((unsigned char)answer[2]))
		return bad(ret_reason, "the guest did not answer ok");
	if (strcmp(checker->stub, "unique") == 0) {
		if (!seen_once(checker, answer, length, "clone=") ||
		    !seen_once(checker, answer, length, "generation=") ||
		    !seen_once(checker, answer, length, "draws="))
			return bad(ret_reason, "wrong answer: no identity in it");
		return CHECK_GOOD;
	}
	seen_once(checker, answer, length, "clone="); /* where it says one */
	return CHECK_GOOD;
}

static int compare(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

size_t check_repeated(struct checker *checker)
{
	struct samples *once = &checker->once;
	size_t repeated = 0;

	if (once->count == 0)
		return 0;
	qsort(once->values, once->count, sizeof(*once->values), compare);
	for (size_t i = 1; i < once->count; i++)
		repeated += once->values[i] == once->values[i - 1];
	return repeated;
}

/* SPDX-License-Identifier: MIT */
/*
 * From words of the command line to numbers.
 */
#include "forkserver/cli/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <strings.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* The digits at the start of text. 0 with *ret_rest behind them; -EINVAL: none; -ERANGE. */
static int parse_digits(const char *text, uint64_t *ret_number, const char **ret_rest)
{
	uint64_t number = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
			return -ERANGE;
	}
	if (at == text)
		return -EINVAL;
	*ret_number = number;
	*ret_rest = at;
	return 0;
}

static int parse_with_unit(const char *text, const struct unit *units, uint64_t *ret_number)
{
	uint64_t number;
	const char *rest;
	int rc = parse_digits(text, &number, &rest);

	if (rc < 0)
		return rc;
	for (; units->suffix; units++) {
		if (strcasecmp(units->suffix, rest))
			continue;
		return __builtin_mul_overflow(number, units->factor, ret_number) ? -ERANGE : 0;
	}
	return -EINVAL;
}

int parse_number(const char *option, const char *text, uint64_t min, uint64_t max,
		 uint64_t *ret_number, struct error *error)
{
	uint64_t number;
	const char *rest;
	int rc = parse_digits(text, &number, &rest);

	if (rc == 0 && *rest)
		rc = -EINVAL;
	if (rc == -EINVAL)
		return error_set(error, EINVAL, "%s takes a whole number, not \"%.40s\"", option,
				 text);
	if (rc < 0 || number < min || number > max)
		return error_set(error, ERANGE,
				 "%s is %.40s where %" PRIu64 " to %" PRIu64 " are possible",
				 option, text, min, max);
	*ret_number = number;
	return 0;
}

int parse_size(const char *option, const char *text, uint64_t *ret_bytes, struct error *error)
{
	static const struct unit units[] = {
		{"", 1ull << 20},    {"B", 1},
		{"K", 1ull << 10},   {"KB", 1ull << 10},
		{"KiB", 1ull << 10}, {"M", 1ull << 20},
		{"MB", 1ull << 20},  {"MiB", 1ull << 20},
		{"G", 1ull << 30},   {"GB", 1ull << 30},
		{"GiB", 1ull << 30}, {"T", 1ull << 40},
		{"TB", 1ull << 40},  {"TiB", 1ull << 40},
		{NULL, 0},
	};
	int rc = parse_with_unit(text, units, ret_bytes);

	if (rc == -ERANGE)
		return error_set(error, ERANGE, "%s %.40s is more than any host has", option, text);
	if (rc < 0)
		return error_set(error, EINVAL,
				 "%s takes a size such as 128 (MiB), 512K, 4G or 4096B, not "
				 "\"%.40s\"",
				 option, text);
	return 0;
}

int parse_duration(const char *option, const char *text, uint64_t *ret_ms, struct error *error)
{
	static const struct unit units[] = {
		{"", 1000},	{"ms", 1},	{"s", 1000},	 {"m", 60000},
		{"min", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
	};
	int rc = parse_with_unit(text, units, ret_ms);

	if (rc < 0)
		return error_set(error, -rc,
				 "%s takes a time such as 5 (seconds), 250ms, 10m or 2h, not "
				 "\"%.40s\"",
				 option, text);
	/* 30 years: what the protocol can say, and what a deadline can hold. */
	if (*ret_ms > 946080000000ull)
		return error_set(error, ERANGE,
				 "%s %.40s is longer than 30 years: use 0 for "
				 "no limit",
				 option, text);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Base64 of RFC 4648, section 4: how bytes that are not text travel in a JSON line.
 */
#include "forkserver/proto/base64.h"

#include <errno.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t len, char *out)
{
	const uint8_t *in = data;

	for (; len >= 3; in += 3, len -= 3) {
		*out++ = digits[in[0] >> 2];
		*out++ = digits[(in[0] & 3) << 4 | in[1] >> 4];
		*out++ = digits[(in[1] & 15) << 2 | in[2] >> 6];
		*out++ = digits[in[2] & 63];
	}
	if (!len)
		return;
	*out++ = digits[in[0] >> 2];
	if (len == 1) {
		*out++ = digits[(in[0] & 3) << 4];
		*out++ = '=';
	} else {
		*out++ = digits[(in[0] & 3) << 4 | in[1] >> 4];
		*out++ = digits[(in[1] & 15) << 2];
	}
	*out = '=';
}

/* The value of one digit, or -1. */
static int digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	if (c == '/')
		return 63;
	return -1;
}

/* Four characters, the last pad of them '='; 24 bits, or -1. */
static int decode_group(const char *text, unsigned int pad)
{
	int bits = 0;

	for (unsigned int i = 0; i < 4; i++) {
		int value = i < 4 - pad ? digit_value(text[i]) : 0;

		if (value < 0)
			return -1;
		bits = bits << 6 | value;
	}
	/* The bits below a short group's last byte must be zero: one text for each value. */
	if ((pad == 1 && bits & 0xff) || (pad == 2 && bits & 0xffff))
		return -1;
	return bits;
}

int base64_decode(const char *text, size_t len, void *out, size_t capacity, size_t *ret_len)
{
	uint8_t *to = out;
	unsigned int pad = 0;
	size_t size;

	if (len % 4)
		return -EINVAL;
	if (len && text[len - 1] == '=')
		pad = text[len - 2] == '=' ? 2 : 1;
	size = len / 4 * 3 - pad;
	if (size > capacity)
		return -EMSGSIZE;
	for (size_t at = 0; at < len; at += 4) {
		unsigned int missing = at + 4 == len ? pad : 0;
		int bits = decode_group(text + at, missing);

		if (bits < 0)
			return -EINVAL;
		*to++ = (uint8_t)(bits >> 16);
		if (missing < 2)
			*to++ = (uint8_t)(bits >> 8);
		if (missing < 1)
			*to++ = (uint8_t)bits;
	}
	*ret_len = size;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Text in and out: see text.h.
 */
#include "guest-stubs/runtime/stub.h"

STUB_HOT_TEXT void text_char(struct text *text, char c)
{
	if (text->len < text->capacity)
		text->buffer[text->len++] = c;
}

void text_string(struct text *text, const char *string)
{
	while (*string != '\0')
		text_char(text, *string++);
}

STUB_HOT_TEXT void text_u64(struct text *text, uint64_t value)
{
	char digits[20];
	unsigned int count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (count > 0)
		text_char(text, digits[--count]);
}

void text_hex(struct text *text, uint64_t value, unsigned int digits)
{
	/* Computed, not looked up: a table would be another page for a clone to touch. */
	for (unsigned int left = 16; left > 0; left--) {
		unsigned int digit = (unsigned int)(value >> (4 * (left - 1))) & 0xf;

		if (left > 1 && left > digits && value >> (4 * (left - 1)) == 0)
			continue;
		text_char(text, (char)(digit < 10 ? '0' + digit : 'a' + digit - 10));
	}
}

void text_bytes(struct text *text, const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;

	while (count-- > 0)
		text_hex(text, *byte++, 2);
}

void text_vprintf(struct text *text, const char *format, va_list arguments)
{
	for (; *format != '\0'; format++) {
		unsigned int width = 0;
		bool wide = false;
		int64_t number;

		if (*format != '%') {
			text_char(text, *format);
			continue;
		}
		for (format++; *format >= '0' && *format <= '9'; format++)
			width = width * 10 + (unsigned int)(*format - '0');
		for (; *format == 'l'; format++)
			wide = true;

		switch (*format) {
		case 's':
			text_string(text, va_arg(arguments, const char *));
			break;
		case 'c':
			text_char(text, (char)va_arg(arguments, int));
			break;
		case 'd':
			number = wide ? va_arg(arguments, int64_t) : va_arg(arguments, int);
			if (number < 0)
				text_char(text, '-');
			text_u64(text, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
			break;
		case 'u':
			text_u64(text, wide ? va_arg(arguments, uint64_t)
					    : va_arg(arguments, unsigned int));
			break;
		case 'x':
			text_hex(text,
				 wide ? va_arg(arguments, uint64_t)
				      : va_arg(arguments, unsigned int),
				 width);
			break;
		case '%':
			text_char(text, '%');
			break;
		default:
			text_string(text, "(bad format)");
			return;
		}
	}
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_vprintf(text, format, arguments);
	va_end(arguments);
}

size_t text_length(const char *string)
{
	size_t len = 0;

	while (string[len] != '\0')
		len++;
	return len;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0';
}

bool args_is(const char *value, size_t len, const char *word)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (word[i] == '\0' || value[i] != word[i])
			return false;
	}
	return word[i] == '\0';
}

bool args_find(const char *text, size_t len, const char *key, const char **ret_value,
	       size_t *ret_len)
{
	bool found = false;
	size_t at = 0;

	while (at < len) {
		size_t word = at, equals, end;

		for (end = word; end < len && !is_space(text[end]); end++)
			;
		for (equals = word; equals < end && text[equals] != '='; equals++)
			;
		if (end > word && args_is(text + word, equals - word, key)) {
			size_t value = equals < end ? equals + 1 : end;

			*ret_value = text + value;
			*ret_len = end - value;
			found = true;
		}
		at = end + 1;
	}
	return found;
}

bool args_parse_u64(const char *value, size_t len, uint64_t *ret)
{
	unsigned int base = 10;
	uint64_t number = 0;

	if (len > 2 && value[0] == '0' && value[1] == 'x') {
		base = 16;
		value += 2;
		len -= 2;
	}
	if (len == 0)
		return false;
	for (; len > 0; value++, len--) {
		unsigned int digit;

		if (*value >= '0' && *value <= '9')
			digit = (unsigned int)(*value - '0');
		else if (*value >= 'a' && *value <= 'f')
			digit = (unsigned int)(*value - 'a') + 10;
		else if (*value >= 'A' && *value <= 'F')
			digit = (unsigned int)(*value - 'A') + 10;
		else
			return false;
		if (digit >= base || number > (UINT64_MAX - digit) / base)
			return false;
		number = number * base + digit;
	}
	*ret = number;
	return true;
}

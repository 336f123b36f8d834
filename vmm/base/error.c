/* SPDX-License-Identifier: MIT */
/*
 * Messages for people beside an errno: see error.h.
 */
#include "vmm/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int set_va(struct error *error, int code, const char *format, va_list args)
{
	int saved = errno;

	if (error) {
		error->code = code;
		vsnprintf(error->text, sizeof(error->text), format, args);
	}
	errno = saved;
	return -code;
}

int error_set(struct error *error, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_va(error, code, format, args);
	va_end(args);
	return -code;
}

int error_set_errno(struct error *error, int code, const char *format, ...)
{
	char reason[64];
	va_list args;

	va_start(args, format);
	set_va(error, code, format, args);
	va_end(args);
	if (error) {
		size_t used = strlen(error->text);

		snprintf(error->text + used, sizeof(error->text) - used, ": %s",
			 strerror_r(code, reason, sizeof(reason)));
	}
	return -code;
}

void error_prefix(struct error *error, const char *format, ...)
{
	char old[ERROR_TEXT_SIZE];
	va_list args;
	size_t used;

	if (!error)
		return;
	memcpy(old, error->text, sizeof(old));
	va_start(args, format);
	set_va(error, error->code, format, args);
	va_end(args);
	used = strlen(error->text);
	snprintf(error->text + used, sizeof(error->text) - used, ": %s", old);
}

void error_clear(struct error *error)
{
	if (error) {
		error->code = 0;
		error->text[0] = '\0';
	}
}

/* SPDX-License-Identifier: MIT */
/* Failures, counted by what they say. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/storm/storm.h"

void storm_fail(struct storm_failures *failures, const char *format, ...)
{
	char text[STORM_REASON_SIZE];
	va_list arguments;
	size_t i;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	failures->total++;
	for (i = 0; i < failures->kinds; i++)
		if (strcmp(failures->reasons[i].text, text) == 0)
			break;
	if (i == STORM_REASONS) /* no room for another kind: count it with the last */
		i--;
	else if (i == failures->kinds)
		memcpy(failures->reasons[failures->kinds++].text, text, sizeof(text));
	failures->reasons[i].count++;
}

/* SPDX-License-Identifier: MIT */
/*
 * Words of the kernel's command line: see cmdline.h.
 */
#include "guest-stubs/agent/cmdline.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define PREFIX "forkvm."

char *cmdline_next(char **line)
{
	char *from = *line, *to, *word;
	bool quoted = false;

	while (isspace((unsigned char)*from))
		from++;
	if (!*from) {
		*line = from;
		return NULL;
	}
	for (word = to = from; *from && (quoted || !isspace((unsigned char)*from)); from++) {
		if (*from == '"')
			quoted = !quoted;
		else
			*to++ = *from;
	}
	if (*from)
		from++;
	*to = '\0';
	*line = from;
	return word;
}

bool cmdline_option(char *word, char **ret_name, char **ret_value)
{
	char *name, *equals;

	if (strncmp(word, PREFIX, strlen(PREFIX)) != 0)
		return false;
	name = word + strlen(PREFIX);
	equals = strchr(name, '=');
	if (equals)
		*equals = '\0';
	for (char *at = name; *at; at++) {
		if (*at == '_')
			*at = '-';
	}
	*ret_name = name;
	*ret_value = equals ? equals + 1 : NULL;
	return true;
}

/* SPDX-License-Identifier: MIT */
/* How a command line is refused. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/storm/storm.h"

void storm_refuse(const char *format, ...)
{
	va_list arguments;

	fputs("clone_storm: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("\nclone_storm --help tells more\n", stderr);
	exit(2);
}

/* SPDX-License-Identifier: MIT */
/*
 * A message for people that travels beside an errno. Fixed size and without pointers, so that it
 * survives a fork and a pipe.
 */
#ifndef FORKVM_VMM_BASE_ERROR_H
#define FORKVM_VMM_BASE_ERROR_H

#include <stdarg.h>

#define ERROR_TEXT_SIZE 240

struct error {
	int code;		    /* a positive errno, 0 when there is no error */
	char text[ERROR_TEXT_SIZE]; /* what failed, on what, and what to do about it */
};

/*
 * Record code (a positive errno) with a formatted text and return -code. error may be NULL. A text
 * that does not fit is cut. Keeps errno.
 */
int error_set(struct error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, with ": " and the errno's own text at the end. */
int error_set_errno(struct error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put a formatted prefix and ": " before the text that is there. error may be NULL. */
void error_prefix(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* No error. */
void error_clear(struct error *error);

#endif

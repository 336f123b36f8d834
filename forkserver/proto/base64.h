/* SPDX-License-Identifier: MIT */
/*
 * Base64 of RFC 4648, section 4: padded, no line breaks.
 */
#ifndef FORKVM_FORKSERVER_PROTO_BASE64_H
#define FORKVM_FORKSERVER_PROTO_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Characters that len bytes become, terminating zero not counted. */
#define BASE64_LENGTH(len) (((len) + 2) / 3 * 4)

/* Encode len bytes; out has room for BASE64_LENGTH(len) characters; no zero is written. */
void base64_encode(const void *data, size_t len, char *out);

/*
 * Decode len characters into out, at most capacity bytes. *ret_len says how many.
 * -EINVAL for anything but canonical base64 (a stray character, wrong padding, leftover bits),
 * -EMSGSIZE when it would not fit.
 */
int base64_decode(const char *text, size_t len, void *out, size_t capacity, size_t *ret_len);

#endif

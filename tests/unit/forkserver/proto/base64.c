/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/proto/base64.c. */
#include "forkserver/proto/base64.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

/* RFC 4648, section 10. */
static const struct {
	const char *bytes, *text;
} vectors[] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
};

Test(base64, the_rfcs_own_examples)
{
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		size_t len = strlen(vectors[i].bytes), decoded = 99;
		char text[16] = "", bytes[16] = "";

		cr_assert_eq(BASE64_LENGTH(len), strlen(vectors[i].text));
		base64_encode(vectors[i].bytes, len, text);
		cr_assert_str_eq(text, vectors[i].text);
		cr_assert_eq(base64_decode(text, strlen(text), bytes, len, &decoded), 0);
		cr_assert_eq(decoded, len);
		cr_assert_eq(memcmp(bytes, vectors[i].bytes, len), 0);
	}
}

Test(base64, every_byte_survives)
{
	uint8_t bytes[259], back[259];
	char text[BASE64_LENGTH(sizeof(bytes))];
	size_t len = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (size_t size = 0; size <= sizeof(bytes); size++) {
		base64_encode(bytes, size, text);
		cr_assert_eq(base64_decode(text, BASE64_LENGTH(size), back, sizeof(back), &len), 0);
		cr_assert_eq(len, size);
		cr_assert_eq(memcmp(back, bytes, size), 0);
	}
}

static void refuse(const char *text)
{
	char out[64];
	size_t len = 77;

	cr_assert_eq(base64_decode(text, strlen(text), out, sizeof(out), &len), -EINVAL, "'%s'",
		     text);
	cr_assert_eq(len, 77, "untouched");
}

Test(base64, only_canonical_text)
{
	static const char *const bad[] = {
		"Z",	"Zg",	"Zg=",	   "Zm9v=",    "Zm9vYg=",  "=",	    "==",     "====",
		"Z===", "Zg=g", "Z=g=",	   "Zg==Zg==", "Zm8=Zm8=", "Zg\n=", "Z g=",   "Zm9\0",
		"Zm9-", "Zm9_", "\xffm9v", "Zh==",     "Zm9=",	   "Zm8 ",  "Zg==\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refuse(bad[i]);
}

Test(base64, no_more_than_fits)
{
	char out[4] = "xyz";
	size_t len = 77;

	cr_assert_eq(base64_decode("Zm9vYg==", 8, out, 3, &len), -EMSGSIZE);
	cr_assert_eq(len, 77);
	cr_assert_eq(memcmp(out, "xyz", 3), 0);
	cr_assert_eq(base64_decode("Zm9vYg==", 8, out, 4, &len), 0);
	cr_assert_eq(len, 4);
	cr_assert_eq(base64_decode("", 0, NULL, 0, &len), 0);
	cr_assert_eq(len, 0);
}

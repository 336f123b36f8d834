/* SPDX-License-Identifier: MIT */
/*
 * What a unit test may find missing on a host, and what it does then: skip and say so, or, with
 * FORKVM_REQUIRE_ALL=1 in the environment, fail.
 */
#ifndef FORKVM_TESTS_UNIT_REQUIRE_H
#define FORKVM_TESTS_UNIT_REQUIRE_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/error.h"
#include "vmm/kvm/host.h"

/* Go on only if available; reason says in words what is missing. */
static inline void require(bool available, const char *reason)
{
	const char *all = getenv("FORKVM_REQUIRE_ALL");

	if (available)
		return;
	if (all && strcmp(all, "1") == 0)
		cr_assert_fail("%s, and FORKVM_REQUIRE_ALL=1", reason);
	cr_skip_test("%s", reason);
}

/* An open KVM host; kvm_host_close() it. */
static inline struct kvm_host *require_kvm(void)
{
	struct kvm_host *host = NULL;
	struct error error = {0};

	require(kvm_host_open(NULL, &host, &error) == 0, error.text);
	return host;
}

#endif

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Run a test. Status 77 means "could not run here" and is a skip, unless FORKVM_REQUIRE_ALL=1.
"$@"
status=$?
if [ "$status" = 77 ] && [ "${FORKVM_REQUIRE_ALL:-}" = 1 ]; then
	echo "skipped, but FORKVM_REQUIRE_ALL=1 allows no skip: counted as a failure" >&2
	exit 1
fi
exit "$status"

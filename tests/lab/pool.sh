#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Run inside the lab (or on a host that needs none): resets, spares, sleep and batches of stubs, where
# page tables are nested and KVM does much of that by other means. A choice of what tests/integration has.
set -u

integration=$(dirname "$(readlink -f "$0")")/../integration
failed=0

run() {
	python3 -B "$integration/$1" "${@:2}" || failed=$((failed + 1))
}

run test_reset.py Reset.test_every_register Reset.test_everything_is_as_it_was \
	Tenants.test_never_share_one
run test_spares.py Claims.test_each_serves_once_with_its_own_identity
run test_sleep.py Sessions.test_the_guest_goes_on Sessions.test_time_passes \
	Sessions.test_many_asleep_at_once
run test_batch.py Batches.test_each_its_own_request
((failed == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Every shell script through shellcheck.
# Left out: SC1091 (a sourced file is looked at by itself) and SC2034 (its variables are for others).
set -eu

cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || {
	echo "shellcheck is not installed (package shellcheck)"
	exit 77
}
grep -rlE --exclude-dir=build --exclude-dir=.git '^#!/bin/(ba)?sh|^# shellcheck shell=' \
	.ci bench tests guest-stubs forkserver vmm |
	xargs -r shellcheck -x --exclude=SC1091,SC2034

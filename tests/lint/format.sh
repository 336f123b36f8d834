#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Is every C file as clang-format would have it? To repair: tests/lint/format.sh --fix
set -eu

cd "$(dirname "$0")/../.."
command -v clang-format >/dev/null || {
	echo "clang-format is not installed (package clang-format)"
	exit 77
}
mode="--dry-run -Werror"
[ "${1:-}" != --fix ] || mode=-i
# shellcheck disable=SC2086 # two words
find vmm forkserver guest-stubs bench tests \( -name '*.c' -o -name '*.h' \) -print0 |
	xargs -0 -r clang-format --style=file $mode

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# usage: static.sh cppcheck|clang-tidy BUILD_DIR
# Static analysis of everything BUILD_DIR/compile_commands.json names, except the guest stubs
# (freestanding, and their own build's business).
set -euo pipefail

cd "$(dirname "$0")/../.."
tool=$1
database=$2/compile_commands.json
command -v "$tool" >/dev/null || {
	echo "$tool is not installed (package $tool)"
	exit 77
}
[[ -e $database ]] || {
	echo "$database is missing: configure first"
	exit 77
}

case $tool in
cppcheck)
	# Left out: style checks (clang-format and clang-tidy have them), headers of the system, leaks
	# (it does not know the cleanup attribute; the sanitizers look for them), Criterion's macros.
	mkdir -p "$2/cppcheck"
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem \
		--suppress=memleak --suppress='*:*tests/unit/*' --suppress='*:*guest-stubs/*' \
		-j "$(nproc)" --cppcheck-build-dir="$2/cppcheck" --project="$database"
	;;
clang-tidy)
	# One file at a time: with several, its va_list check carries over from one to the next.
	sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$database" |
		grep -E '\.c$' | grep -vE '/(guest-stubs|tests/unit)/' | sort -u |
		xargs -r -P "$(nproc)" -n 1 clang-tidy -p "$2" --quiet --warnings-as-errors='*'
	;;
*)
	echo "usage: static.sh cppcheck|clang-tidy BUILD_DIR" >&2
	exit 2
	;;
esac

#!/bin/sh
# SPDX-License-Identifier: MIT
#
# usage: state.sh LIBRARY.a
# No mutable file-scope state: no object of the library may stand in .data, .bss or thread-local
# storage. Asked of the compiled library, because that cannot be fooled by style.
set -eu

if [ ! -e "$1" ]; then
	echo "$1 is not built"
	exit 77
fi
objdump -t "$1" | awk '
	/file format/ { file = $1; sub(/:$/, "", file) }
	/[[:space:]]O[[:space:]]+\.(data|bss|tdata|tbss)([[:space:]]|\.[^r])/ {
		print file ": " $NF " is mutable and outlives its function"
		bad = 1
	}
	END {
		if (!bad) print "no mutable file-scope state"
		exit bad
	}'

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Run inside the lab (or on a host that needs none): what the design leans on and forkvm itself, with
# KVM of this kind. Probes and floor first; then templates of stubs, on one vCPU and on two, are
# served and cloned, and the answers looked at.
set -u

build=${FORKVM_BUILD_DIR:-build/release}
guests=${FORKVM_GUEST_DIR:-$build/guest}
scratch=$(mktemp -d) || exit
trap '[[ ! ${server:-} ]] || kill "$server"; rm -rf "$scratch"' EXIT
failed=0

# clones STUB CPUS: five clones; every answer must start with "ok".
clones() {
	local stub=$1 socket=$scratch/$1.sock answers

	mkfifo "$scratch/ready"
	"$build/bin/forkvm" serve --stub "$guests/$stub" --cpus "$2" --socket "$socket" \
		--ready-fd 8 8>"$scratch/ready" 2>"$scratch/log" &
	server=$!
	if [[ $(timeout 60 cat "$scratch/ready") != ready ]]; then
		echo "FAILED $stub: the server did not start"
		cat "$scratch/log"
		failed=$((failed + 1))
	else
		answers=$(timeout 60 "$build/bin/forkvm" clone --socket "$socket" --count 5 2>&1)
		if [[ $(grep -c '^ok' <<<"$answers") == 5 ]]; then
			echo "ok     $stub, $2 vCPUs"
		else
			echo "FAILED $stub, $2 vCPUs"
			printf '%s\n' "$answers"
			failed=$((failed + 1))
		fi
		timeout 60 "$build/bin/forkvm" stop --socket "$socket"
	fi
	kill "$server" 2>/dev/null
	wait "$server"
	server=
	rm "$scratch/ready"
}

# passes PROGRAM ARGUMENT...
passes() {
	if "$@" >"$scratch/output" 2>&1; then
		echo "ok     ${1##*/}"
	else
		echo "FAILED $* (status $?)"
		tail -n 20 "$scratch/output"
		failed=$((failed + 1))
	fi
}

for probe in immediate_exit late_memslot; do
	passes "$build/tests/probes/probe_$probe"
done
passes "$build/bin/floor" --count 5
clones hello 1
clones clock 1
clones fpu 1
clones smp 2
((failed == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Run inside the lab (or on a host that needs none): is this a machine in which KVM guests can run?
set -u

build=${FORKVM_BUILD_DIR:-build/release}
scratch=$(mktemp -d) || exit
trap 'rm -rf "$scratch"' EXIT
failed=0

# check WHAT COMMAND...: one line for each; what a failed one said follows it.
check() {
	local what=$1

	shift
	if "$@" >"$scratch/output" 2>&1; then
		echo "ok     $what"
	else
		echo "FAILED $what (status $?)"
		tail -n 20 "$scratch/output"
		failed=$((failed + 1))
	fi
}

kvm_opens() {
	exec 9<>/dev/kvm
}

hardware_paging() {
	grep -qx '[Y1]' /sys/module/kvm_amd/parameters/npt /sys/module/kvm_intel/parameters/ept
}

# A write reaches this machine, not the host's file; so does a socket.
can_write() {
	: >"$build/.lab-selftest" && rm "$build/.lab-selftest" &&
		mkfifo "$scratch/fifo" && df /dev/shm
}

listens_on_loopback() {
	python3 - <<'END'
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname(), timeout=10).close()
END
}

descriptors() {
	[[ $(ulimit -n) == unlimited || $(ulimit -n) -ge 4096 ]]
}

check "/dev/kvm opens" kvm_opens
check "guests have nested page tables" hardware_paging
check "the copy of the source can be written to" can_write
check "loopback" listens_on_loopback
check "enough descriptors" descriptors
check "a VM and its child's own" "$build/tests/probes/probe_kvm_fds_after_fork"
check "unit.vmm.boot" "$build/tests/unit/unit_vmm_boot"
((failed == 0))

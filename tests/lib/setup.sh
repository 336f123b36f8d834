# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What bench/quickstart and tests/run share: packages, /dev/kvm, building. To be sourced.
#
# Each setup_* function says what it does on stderr, and what a person can do where it cannot.

# Debian packages that a build needs, and those that only the tests or the plots need.
SETUP_BUILD_PACKAGES=(cmake ninja-build gcc libc6-dev linux-libc-dev pkg-config
	liburing-dev libseccomp-dev libjansson-dev acpica-tools)
SETUP_TEST_PACKAGES=(libcriterion-dev clang libclang-rt-14-dev clang-format clang-tidy cppcheck
	shellcheck python3 busybox-static cpio kmod qemu-utils)
SETUP_PLOT_PACKAGES=(gnuplot-nox)
# For tests/lab, which downloads its kernels itself.
SETUP_LAB_PACKAGES=(qemu-system-x86 busybox-static cpio kmod xz-utils zstd python3 stress-ng
	fio e2fsprogs)

setup_say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# setup_packages NAME...: install those that are missing. Fails with the command to type where
# this user may not install; leaves a host without apt-get to cmake's own messages.
setup_packages() {
	local name status update=
	local -a missing=()

	if ! command -v dpkg-query >/dev/null; then
		setup_say "not a Debian-like host; it should offer the equivalents of: $*"
		return 0
	fi
	for name in "$@"; do
		status=$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null || true)
		[[ $status == installed ]] || missing+=("$name")
	done
	if ((${#missing[@]} == 0)); then
		setup_say "packages: all $# are installed"
		return 0
	fi
	if [[ $(id -u) != 0 ]]; then
		setup_say "packages missing, and installing them takes root:" \
			"sudo apt-get update && sudo apt-get install -y ${missing[*]}"
		return 1
	fi
	for name in "${missing[@]}"; do
		apt-cache show "$name" >/dev/null 2>&1 || update=yes
	done
	if [[ $update ]]; then
		setup_say "package lists: apt-get update"
		apt-get -q update >&2 || return 1
	fi
	setup_say "packages: installing ${missing[*]}"
	DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
		"${missing[@]}" >&2
}

# setup_kvm: is there a /dev/kvm that this user may open? Otherwise names the remedy and fails.
# FORKVM_KVM_DEVICE names another, so that a host without one can be played.
setup_kvm() {
	local device=${FORKVM_KVM_DEVICE:-/dev/kvm} group

	if [[ ! -e $device ]]; then
		if grep -qw vmx /proc/cpuinfo; then
			setup_say "$device is missing; load the module: sudo modprobe kvm_intel"
		elif grep -qw svm /proc/cpuinfo; then
			setup_say "$device is missing; load the module: sudo modprobe kvm_amd"
		else
			setup_say "$device is missing and this CPU shows no virtualization:" \
				"enable VT-x or AMD-V in the firmware, or, in a virtual machine," \
				"nested virtualization; a container needs --device $device"
		fi
		return 1
	fi
	if [[ ! -r $device || ! -w $device ]]; then
		group=$(stat -c %G "$device")
		if [[ $group == root || $group == UNKNOWN ]]; then
			setup_say "no permission for $device: sudo setfacl -m u:$(id -un):rw $device"
		else
			setup_say "no permission for $device: sudo usermod -aG $group $(id -un)," \
				"then log in again"
		fi
		return 1
	fi
	setup_say "kvm: $device is usable"
}

# setup_build PRESET: configure and build build/PRESET below the current folder.
setup_build() {
	local preset=$1

	setup_say "building: cmake --preset $preset && cmake --build --preset $preset"
	cmake --preset "$preset" --log-level=NOTICE >&2 || return 1
	cmake --build --preset "$preset" >&2
}

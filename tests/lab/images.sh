# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the lab boots and where it lies: kernel packages, downloaded and unpacked but never
# installed, and the outer machine's initramfs. To be sourced by lab.
#
# The cache may be used by several at once: each thing is made under a temporary name, by one
# process at a time, and renamed when it is whole. A thing's name holds the version of what it was
# made from, so a new version makes a new thing.

lab_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
lab_root=$(cd "$lab_dir/../.." && pwd -P)
lab_cache=$(realpath -m "${FORKVM_LAB_CACHE:-$lab_root/build/lab}")

# The package each flavour's name stands for, and the flavour that the outer machine runs: the
# generic one, since the cloud kernel has no 9p.
declare -rA LAB_METAPACKAGE=([cloud]=linux-image-cloud-amd64 [generic]=linux-image-amd64)
LAB_OUTER=generic
# For the outer machine, in the order of insertion, less what they depend on.
LAB_MODULES=(virtio_pci 9pnet_virtio 9p overlay virtio_console kvm-amd)
declare -rA LAB_MODULE_PARAMETERS=([kvm-amd]="npt=1 nested=1")

say() {
	[[ ${lab_quiet:-} ]] || printf 'lab: %s\n' "$*" >&2
}

complain() {
	printf 'lab: %s\n' "$*" >&2
}

# with_lock COMMAND...: alone with the cache.
with_lock() {
	local status=0

	if [[ $lab_cache == *,* ]]; then
		complain "$lab_cache: QEMU takes no path with a comma; set FORKVM_LAB_CACHE"
		return 1
	fi
	mkdir -p "$lab_cache"
	exec {lab_lock}>"$lab_cache/lock"
	flock "$lab_lock"
	"$@" || status=$?
	exec {lab_lock}>&-
	return "$status"
}

# All that the functions below make.
remove_images() {
	rm -rf "$lab_cache"/linux-image-* "$lab_cache"/resolved-* "$lab_cache"/new.* \
		"$lab_cache"/run.* "$lab_cache"/apt.log
}

# need COMMAND PACKAGE
need() {
	command -v "$1" >/dev/null && return
	complain "$1 is missing (package $2); tests/run installs what the lab needs"
	return 1
}

# resolve FLAVOUR: "PACKAGE VERSION" that its metapackage stands for now, as apt knows it.
resolve() {
	local package version

	package=$(apt-cache depends --no-recommends --no-suggests "${LAB_METAPACKAGE[$1]}" \
		2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
	[[ $package ]] || return 1
	version=$(apt-cache show --no-all-versions "$package" 2>/dev/null |
		sed -n 's/^Version: //p' | head -n 1)
	[[ $version ]] || return 1
	echo "$package $version"
}

# The newest of what the cache has for flavour $1; for a host that is off the network.
newest_unpacked() {
	local suffix=-amd64_ kernel

	[[ $1 != cloud ]] || suffix=-cloud-amd64_
	for kernel in "$lab_cache"/linux-image-*"$suffix"*; do
		[[ -d $kernel/boot ]] || continue
		[[ $1 == cloud || $kernel != *-cloud-amd64_* ]] && echo "$kernel"
	done | sort -V | tail -n 1
}

# download PACKAGE VERSION: into the current folder. Old package lists name files that are gone.
download() {
	apt-get -q download "$1=$2" >apt.log 2>&1 && return
	if [[ $(id -u) == 0 ]]; then
		say "apt-get update, since $1 could not be downloaded"
		apt-get -q update >>apt.log 2>&1
		apt-get -q download "$1" >>apt.log 2>&1 && return
	fi
	complain "downloading $1 $2 failed:"
	tail -n 5 apt.log >&2
	return 1
}

# unpack PACKAGE VERSION TARGET FLAVOUR. Runs in a subshell, so its temporary folder goes with it.
unpack() (
	new=$(mktemp -d "$lab_cache/new.XXXXXX") || exit
	trap 'rm -rf "$new"' EXIT
	cd "$new" || exit
	say "downloading $1 $2"
	download "$1" "$2" || exit
	if ! dpkg-deb -x ./*.deb files; then
		complain "$1 $2: the package is broken; try again"
		exit 1
	fi
	release=${1#linux-image-}
	if [[ ! -s files/boot/vmlinuz-$release || ! -d files/lib/modules/$release ]]; then
		complain "$1 $2: holds no vmlinuz-$release with modules"
		exit 1
	fi
	depmod -b files "$release" || exit
	ln -s "vmlinuz-$release" files/boot/vmlinuz
	ln -s "$release" files/lib/modules/current
	if [[ $4 == "$LAB_OUTER" ]]; then
		python3 "$lab_dir/vmlinux.py" files/boot/vmlinuz files/boot/vmlinux || exit
	fi
	chmod -R u+rwX,go+rX files
	mv -T files "$3"
)

# The time stamps by which apt says that it knows something new.
apt_changed_since() {
	[[ ! -e $1 || /var/lib/apt/lists -nt $1 || /var/cache/apt/pkgcache.bin -nt $1 ]]
}

# kernel FLAVOUR: ret_kernel is the folder of its unpacked package, made first where it is missing.
kernel() {
	local answer=$lab_cache/resolved-$1 package version

	need dpkg-deb dpkg && need depmod kmod && need python3 python3 || return
	if apt_changed_since "$answer" || [[ ! -s $answer ]]; then
		if ! resolve "$1" >"$answer.new" && [[ $(id -u) == 0 ]]; then
			say "apt-get update, since ${LAB_METAPACKAGE[$1]} is unknown"
			apt-get -q update >"$lab_cache/apt.log" 2>&1 || true
			resolve "$1" >"$answer.new" || true
		fi
		if [[ ! -s $answer.new ]]; then
			ret_kernel=$(newest_unpacked "$1")
			[[ ! $ret_kernel ]] || return 0
			complain "apt knows no ${LAB_METAPACKAGE[$1]}: sudo apt-get update;" \
				"the lab takes its kernels from Debian's packages"
			return 1
		fi
		mv "$answer.new" "$answer"
	fi
	read -r package version <"$answer"
	ret_kernel=$lab_cache/${package}_$version
	[[ -d $ret_kernel ]] || unpack "$package" "$version" "$ret_kernel" "$1"
}

# The modules in list LAB_MODULES and all they depend on, as paths, each once, in order.
module_paths() {
	local module

	for module in "${LAB_MODULES[@]}"; do
		modprobe -d "$1" -S "$2" --show-depends "$module" || return
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# make_initramfs KERNEL TARGET: not compressed, for unpacking is what costs time under emulation.
make_initramfs() (
	new=$(mktemp -d "$lab_cache/new.XXXXXX") || exit
	trap 'rm -rf "$new"' EXIT
	release=$(readlink "$1/lib/modules/current")
	mkdir -p "$new/files/bin" "$new/files/modules"
	cp "$(command -v busybox)" "$new/files/bin/busybox"
	cp "$lab_dir/init" "$new/files/init"
	chmod 755 "$new/files/init"
	if ! module_paths "$1" "$release" >"$new/paths" || [[ ! -s $new/paths ]]; then
		complain "$release: the modules that the lab needs are not all there"
		exit 1
	fi
	while read -r path; do
		name=${path##*/}
		if [[ $name == *.xz ]]; then
			name=${name%.xz}
			xz -dc "$path" >"$new/files/modules/$name" || exit
		else
			cp "$path" "$new/files/modules/" || exit
		fi
		module=${name%%.*}
		echo "$name ${LAB_MODULE_PARAMETERS[$module]:-}"
	done <"$new/paths" >"$new/files/modules/list"
	cd "$new/files" || exit
	find . -print0 | sort -z | cpio --null --create --format=newc --quiet --owner=0:0 \
		--file="$new/initramfs" || exit
	mv "$new/initramfs" "$2"
	# Those of former versions, unless they are about to be booted.
	find "$lab_cache" -maxdepth 1 -name '*.initramfs-*' -mmin +60 ! -path "$2" -delete
)

# outer_images: ret_kernel as above, and ret_initramfs for it.
outer_images() {
	local key

	need qemu-system-x86_64 qemu-system-x86 && need busybox busybox-static &&
		need cpio cpio || return
	kernel "$LAB_OUTER" || return
	key=$(cat "$lab_dir/init" "$lab_dir/images.sh" "$(command -v busybox)" | sha256sum)
	ret_initramfs=$ret_kernel.initramfs-${key:0:16}
	[[ -s $ret_initramfs ]] || make_initramfs "$ret_kernel" "$ret_initramfs"
}

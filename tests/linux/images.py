# SPDX-License-Identifier: MIT
"""Kernels and initramfs images for Linux guests, made once and kept where the lab keeps its own.

An image's name holds a digest of all that it is made from, so a new agent makes a new image. To be
used outside the lab, where packages can be had and where what is written stays.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys

import harness

LAB_DIR = os.path.join(harness.ROOT, "tests", "lab")
LAB = os.path.join(LAB_DIR, "lab")
CACHE = os.environ.get("FORKVM_LAB_CACHE") or os.path.join(harness.ROOT, "build", "lab")
AGENT = harness.stub("forkvm-agent")
FLAVOURS = ("cloud", "generic")
# What a guest of ours needs beyond what Debian's kernels have built in.
MODULES = ("virtio_mmio", "virtio-rng")


class Missing(Exception):
    """An image that cannot be had here, in words."""


def _output_of(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().split("\n")
        raise Missing(f"{os.path.basename(command[0])} {command[1]}: {said[-1]}")
    return result.stdout.decode().strip()


def _digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:16]


def _bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def _make(path, command, replaces):
    """path, by a command that takes a path to write; images that it replaces go."""
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "images.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(path):
            return path
        temporary = f"{path}.part"
        _output_of(*command(temporary))
        os.rename(temporary, path)
        for old in set(glob.glob(replaces)) - {path}:
            os.unlink(old)
    return path


def place():
    """Where the lab would run a command, and why: "host: ..." or "lab: ..."."""
    return _output_of(LAB, "where")


def kernel(flavour):
    """Debian's bzImage, as the package has it."""
    return _output_of(LAB, "kernel", flavour)


def modules(flavour):
    return _output_of(LAB, "kernel", flavour, "--modules")


def vmlinux(flavour):
    """The ELF file inside of it, which has a PVH entry. The cloud kernel is packed with lz4, which
    Python's library does not unpack."""
    packed = kernel(flavour)
    release = os.path.basename(os.path.dirname(os.path.dirname(packed)))
    return _make(os.path.join(CACHE, f"vmlinux-{release}"),
                 lambda path: (sys.executable, os.path.join(LAB_DIR, "vmlinux.py"), packed, path),
                 os.path.join(CACHE, f"vmlinux-{release}"))


def initrd(name, flavour=None, *options, modules_for=MODULES):
    """An initramfs with the agent as /init; options are more of those of tests/lab/initrd.

    Of a flavour whose modules it has; None: no kernel's, and no modules. name tells it from other
    images with other options.
    """
    builder = os.path.join(LAB_DIR, "initrd")
    command = [builder, "--agent", AGENT, *options]
    busybox = shutil.which("busybox")
    if not busybox:
        raise Missing("busybox is missing (package busybox-static)")
    if flavour:
        command += ["--modules-from", modules(flavour)]
        command += [word for module in modules_for for word in ("--module", module)]
    contents = [_bytes_of(path) for path in (AGENT, builder, busybox)]
    contents += [_bytes_of(word.split(":")[0]) for word in options
                 if os.path.isfile(word.split(":")[0])]
    digest = _digest(*contents, *command[1:])
    # One a build, since each has an agent of its own.
    build = os.path.basename(harness.BUILD)
    stem = os.path.join(CACHE, f"initrd-{build}-{name}-{flavour or 'any'}-")
    return _make(stem + digest, lambda path: (builder, path, *command[1:]), stem + "*")


def _tool(name):
    found = shutil.which(name, path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    if not found:
        raise Missing(f"{name} is missing")
    return found


def _libraries(program):
    """What the loader takes for a program here."""
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False).stdout.decode()
    return sorted({word for line in said.splitlines() for word in line.split()
                   if word.startswith("/")})


def program_disk(name, *programs):
    """An image for a disk, ext4, with programs and their libraries at their paths here: for what is
    too large to be in every guest's memory. A guest runs them by chroot(1)."""
    paths = [_tool(program) for program in programs]
    paths += sorted({library for path in paths for library in _libraries(path)})
    make_file_system = _tool("mke2fs")
    digest = _digest(*(f"{path} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}"
                       for path in paths))
    stem = os.path.join(CACHE, f"programs-{name}-")

    def command(image):
        folder = image + ".d"
        shutil.rmtree(folder, ignore_errors=True)
        for path in paths:
            os.makedirs(os.path.dirname(folder + path), exist_ok=True)
            shutil.copy(path, folder + path)
        for empty in ("dev", "proc", "sys", "run", "tmp", "mnt"):
            os.makedirs(os.path.join(folder, empty), exist_ok=True)
        return ("sh", "-c", 'rm -f "$2"; "$1" -q -t ext4 -O ^has_journal -d "$3" "$2" 160M && '
                'rm -r "$3"', "sh", make_file_system, image, folder)

    return _make(stem + digest, command, stem + "*")

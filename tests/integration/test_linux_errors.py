#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Linux guests that cannot be: each bad kernel, initrd and command line is refused before anything
runs, with the file's name, what is wrong with it and what to do, and an exit status; nothing is left
behind. The good kernels that are spoiled here are Debian's, from the lab's cache."""

import gzip
import os
import shutil
import struct
import sys
import tempfile
import unittest

import harness
from harness import run, stub

sys.path.insert(0, os.path.join(harness.ROOT, "tests", "linux"))
import images  # noqa: E402

FAILED, MISUSED = 1, 2
MIB = 1 << 20
SIZE_MAX_MIB = 1024  # of a kernel and of an initrd


class Refusals(harness.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="forkvm-it-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "socket")

    def file(self, name, content, size=None):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        if size is not None:
            os.truncate(path, size)
        return path

    def refuse(self, *words, status=FAILED, options):
        """serve ends with status and one line that has all of words, and nothing is left of it."""
        before = set(os.listdir(self.folder))
        result = run("serve", "--socket", self.path, *options)
        text = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, status, text)
        for word in words:
            self.assertIn(word, text)
        self.assertTrue(text.startswith("forkvm serve: "), text)
        complaint = [line for line in text.splitlines() if not line.startswith("Try ")]
        self.assertEqual(len(complaint), 1, text)
        self.assertEqual(result.stdout, b"")
        self.assertEqual(set(os.listdir(self.folder)), before)

    def refuse_kernel(self, path, *words, options=()):
        self.refuse(f"kernel {path}: ", *words, options=["--kernel", path, *options])


class Files(Refusals):
    """What can be told without a kernel."""

    def test_no_file(self):
        self.refuse_kernel("/nowhere/at/all", "No such file")
        self.refuse_kernel(self.folder, "not a regular file")
        self.refuse_kernel("/dev/zero", "not a regular file")
        os.mkfifo(os.path.join(self.folder, "fifo"))
        self.refuse_kernel(os.path.join(self.folder, "fifo"), "not a regular file")
        self.refuse_kernel(self.file("empty", b""), "the file is empty")

    def test_too_large(self):
        path = self.file("large", b"\x7fELF", (SIZE_MAX_MIB << 20) + MIB)
        self.refuse_kernel(path, f"{SIZE_MAX_MIB + 1} MiB", str(SIZE_MAX_MIB))

    def test_no_kernel(self):
        for name, content, word in (
                ("text", b"hello, world\n", "a bzImage (as /boot/vmlinuz is)"),
                ("noise", bytes(range(1, 256)) * 1000, "not a Linux kernel"),
                ("script", b"#!/bin/sh\nexit 0\n", "a script"),
                ("gzip", gzip.compress(b"text"), "gunzip"),
                ("cpio", b"070701" + bytes(1000), "an initrd, not a kernel"),
                ("short", b"\x7fEL", "not a Linux kernel")):
            with self.subTest(name=name):
                self.refuse_kernel(self.file(name, content), word)

    def test_elf_of_another_kind(self):
        with open(stub("hello"), "rb") as file:
            whole = file.read()
        for content in (whole[:18] + struct.pack("<H", 183) + whole[20:],  # 64-bit ARM
                        whole[:4] + b"\1" + whole[5:],  # 32 bits
                        whole[:5] + b"\2" + whole[6:]):  # big-endian
            self.refuse_kernel(self.file("other", content), "architecture", "x86-64")
        self.refuse_kernel(self.file("cut", whole[:70]), "truncated")
        self.refuse_kernel(harness.FORKVM, "static")

    def test_stub_as_kernel(self):
        self.refuse_kernel(stub("hello"), "give a stub with --stub")

    def test_options(self):
        for options, words in (
                (["--kernel", "/x", "--stub", "/y"], ["--stub or --kernel, not both"]),
                (["--stub", "hello", "--initrd", "/x"], ["--initrd"]),
                (["--stub", "hello", "--cmdline", "x"], ["--cmdline"]),
                ([], ["--kernel"])):
            with self.subTest(options=options):
                self.refuse(*words, status=MISUSED, options=options)


class Kernels(Refusals):
    """Real kernels, spoiled."""

    @classmethod
    def setUpClass(cls):
        try:
            cls.kernel = images.kernel("cloud")
            cls.elf = images.vmlinux("generic")
        except images.Missing as error:
            raise unittest.SkipTest(f"there is no kernel to spoil: {error}") from error
        with open(cls.kernel, "rb") as file:
            cls.image = file.read()

    def refuse_initrd(self, path, *words, options=()):
        self.refuse(f"initrd {path}: ", *words,
                    options=["--kernel", self.kernel, "--initrd", path, *options])

    def test_truncated(self):
        for size in (0x204, 0x250, 600, 1024, 100_000, len(self.image) // 2):
            with self.subTest(size=size):
                self.refuse_kernel(self.file("cut", self.image[:size]))
        self.refuse_kernel(self.file("cut", self.image[:100_000]), "truncated",
                           "fetch or build it again")
        with open(self.elf, "rb") as file:
            self.refuse_kernel(self.file("cut", file.read(10 * MIB)), "truncated")

    def test_compressed(self):
        self.refuse_kernel(self.file("vmlinuz.gz", gzip.compress(self.image, 1)), "gunzip")

    def test_old_and_32_bits(self):
        old = self.image[:0x206] + struct.pack("<H", 0x204) + self.image[0x208:]
        self.refuse_kernel(self.file("old", old), "too old", "2.12")
        narrow = self.image[:0x236] + b"\0\0" + self.image[0x238:]
        self.refuse_kernel(self.file("narrow", narrow), "32-bit", "x86-64")

    def test_ram_too_small(self):
        for kernel in (self.kernel, self.elf):
            for size in ("2", "16", "24"):
                with self.subTest(kernel=kernel, mem=size):
                    self.refuse_kernel(kernel, "RAM", "give it more", options=["--mem", size])
        self.refuse("at least 2 MiB", options=["--kernel", self.kernel, "--mem", "1"])
        initrd = self.file("initrd", b"070701", 100 * MIB)
        self.refuse_initrd(initrd, "100 MiB do not fit", "give it more RAM",
                           options=["--mem", "128"])

    def test_initrd(self):
        self.refuse_initrd("/nowhere/at/all", "No such file")
        self.refuse_initrd(self.folder, "not a regular file")
        self.refuse_initrd("/dev/zero", "not a regular file")
        self.refuse_initrd(self.file("empty", b""), "the file is empty")
        self.refuse_initrd(self.file("large", b"070701", (SIZE_MAX_MIB << 20) + MIB),
                           f"{SIZE_MAX_MIB + 1} MiB", str(SIZE_MAX_MIB))
        # Nothing but its size is anybody's business here: what it holds is the guest's to judge.

    def test_command_line(self):
        limit = struct.unpack_from("<I", self.image, 0x238)[0]
        self.refuse("kernel command line", f"{limit + 1} characters", f"takes {limit}",
                    options=["--kernel", self.kernel, "--cmdline", "x" * (limit + 1)])


if __name__ == "__main__":
    harness.main()

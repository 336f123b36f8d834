#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vmlinux.py: each compression that kernels come in, and what is none."""

import gzip
import lzma
import os
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
KERNEL = b"\x7fELF" + bytes(range(256)) * 40


def bzimage(payload, version=0x20f):
    """Setup sectors, and behind them the payload with the kernel's size, as the build lays it out."""
    image = bytearray(5 * 512)
    image[0x1f1] = 4
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, version)
    struct.pack_into("<II", image, 0x248, 64, len(payload))
    return bytes(image) + bytes(64) + payload + b"what comes behind"


def zstd(data):
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


class Vmlinux(unittest.TestCase):
    def run_on(self, image):
        """Its exit status, its words, and what it has made."""
        with tempfile.TemporaryDirectory() as folder:
            packed, kernel = (os.path.join(folder, name) for name in ("bzimage", "vmlinux"))
            with open(packed, "wb") as file:
                file.write(image)
            done = subprocess.run([sys.executable, os.path.join(HERE, "vmlinux.py"), packed, kernel],
                                  capture_output=True, text=True, check=False)
            made = None
            if os.path.exists(kernel):
                with open(kernel, "rb") as file:
                    made = file.read()
            return done.returncode, done.stderr, made

    def test_each_compression(self):
        size = struct.pack("<I", len(KERNEL))
        for compress in (gzip.compress, lzma.compress, zstd):
            with self.subTest(compress.__name__):
                self.assertEqual(self.run_on(bzimage(compress(KERNEL) + size)), (0, "", KERNEL))
        self.assertEqual(self.run_on(bzimage(KERNEL)), (0, "", KERNEL))

    def test_what_is_none(self):
        size = struct.pack("<I", 4)
        whole = bzimage(gzip.compress(KERNEL) + size)
        for image, words in ((b"", "not a bzImage"), (whole[:0x248], "requires a buffer"),
                             (bzimage(b"", version=0x207), "does not say where"),
                             (bzimage(b"BZh91AY"), "unknown compression"),
                             (bzimage(gzip.compress(b"no kernel") + size), "not an ELF file"),
                             (bzimage(zstd(KERNEL)[:50] + size), "zstd: "),
                             (bzimage(lzma.compress(KERNEL)[:20] + size), "")):
            with self.subTest(words):
                status, told, made = self.run_on(image)
                self.assertEqual((status, made), (1, None))
                self.assertTrue(told.startswith("vmlinux.py: ") and words in told, told)
                self.assertNotIn("Traceback", told)


if __name__ == "__main__":
    unittest.main()

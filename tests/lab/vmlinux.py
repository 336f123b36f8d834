#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""vmlinux.py BZIMAGE ELF: take the kernel proper out of a bzImage.

Emulated, a kernel that unpacks itself takes seconds; an ELF file with a PVH entry starts at once.
Where the payload lies: Linux' Documentation/arch/x86/boot.rst, payload_offset and payload_length.
"""

import gzip
import lzma
import struct
import subprocess
import sys


def payload(image):
    """The compressed kernel, by the fields of the setup header."""
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("not a bzImage")
    (version,) = struct.unpack_from("<H", image, 0x206)
    if version < 0x208:
        raise ValueError(f"boot protocol {version:#x} does not say where the payload is")
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    return image[start:start + length]


def unpack_zstd(data):
    """Python 3.11 has no library for it."""
    try:
        done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False)
    except FileNotFoundError:
        raise ValueError("this kernel is compressed with zstd, which is missing (package zstd)") \
            from None
    if done.returncode:
        raise ValueError(f"zstd: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def unpack(data):
    """Undo the compression; the kernel's size follows the stream and is not part of it."""
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data[:-4])
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return unpack_zstd(data[:-4])
    if data.startswith(b"\x7fELF"):
        return data
    raise ValueError(f"unknown compression: starts with {data[:6].hex()}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n", maxsplit=1)[0])
    with open(sys.argv[1], "rb") as file:
        image = file.read()
    try:
        kernel = unpack(payload(image))
    except (ValueError, OSError, lzma.LZMAError, struct.error) as error:
        sys.exit(f"vmlinux.py: {sys.argv[1]}: {error}")
    if not kernel.startswith(b"\x7fELF"):
        sys.exit(f"vmlinux.py: {sys.argv[1]}: what it holds is not an ELF file")
    with open(sys.argv[2], "wb") as file:
        file.write(kernel)


if __name__ == "__main__":
    main()

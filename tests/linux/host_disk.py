# SPDX-License-Identifier: MIT
"""A folder on a file system like a host's. The lab has none: what it writes goes to memory, where
there is neither O_DIRECT, nor unnamed files, nor anything to wait for."""

import os
import shutil
import subprocess


def _tool(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/sbin:/usr/sbin")


def make(folder, mib):
    """Of so many MiB, in the folder; on a host that is not the lab, the folder itself. unmake ends
    it."""
    if not os.environ.get("FORKVM_INSIDE_LAB"):
        return folder
    image, mount = os.path.join(folder, "file-system"), os.path.join(folder, "mounted")
    with open(image, "wb") as file:
        file.truncate(mib << 20)
    os.mkdir(mount)
    for module in ("loop", "ext4"):
        subprocess.run([_tool("modprobe"), module], check=True)
    subprocess.run([_tool("mke2fs"), "-q", "-t", "ext4", "-F", image], check=True)
    subprocess.run([_tool("mount"), "-o", "loop", image, mount], check=True)
    return mount


def unmake(place):
    if os.path.ismount(place):
        subprocess.run([_tool("umount"), place], check=True)

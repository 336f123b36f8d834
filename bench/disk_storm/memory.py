# SPDX-License-Identifier: MIT
"""What clones that idle take: of their own, of the host, and of the control group that their server
is put into, which alone is not disturbed by what else runs."""

import os
import re

import disks
import harness

CGROUP = "/sys/fs/cgroup"


def _cgroup_place():
    """(folder to make a group in, name of its file with the charge), or None."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        own = dict(line.rstrip("\n").split(":", 2)[1:] for line in file)
    if "memory" in own:
        return f"{CGROUP}/memory{own['memory']}", "memory.usage_in_bytes"
    # In version 2 a group of processes has no groups below it: beside ours, then.
    parent = CGROUP + os.path.dirname(own.get("", "/"))
    return parent, "memory.current"


class Group:
    """A memory control group for a server and its clones; .charge() is None where there is none."""

    def __init__(self, pid):
        folder, self.file = _cgroup_place()
        self.path = f"{folder}/forkvm-disk-{os.getpid()}-{pid}"
        try:
            os.mkdir(self.path)
            with open(f"{self.path}/cgroup.procs", "w", encoding="ascii") as procs:
                procs.write(str(pid))
            self.charge()
        except OSError:
            self.remove()
            self.path = None

    def charge(self):
        """Bytes, kernel memory included."""
        if not self.path:
            return None
        with open(f"{self.path}/{self.file}", encoding="ascii") as file:
            return int(file.read())

    def remove(self):
        """Once everything in it has ended."""
        if self.path and os.path.isdir(self.path):
            os.rmdir(self.path)


def _available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"^MemAvailable: *(\d+)", file.read(), re.MULTILINE).group(1)) * 1024


def _private(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(kib) for kib in re.findall(r"^Private_\w+: *(\d+)", file.read(),
                                                  re.MULTILINE)) * 1024


def _file_bytes(pid):
    """What the files hold that a clone may write, and only it: those without a name."""
    total = 0
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with open(f"/proc/{pid}/fdinfo/{entry.name}", encoding="ascii") as info:
            flags = int(re.search(r"^flags:\s*(\d+)", info.read(), re.MULTILINE).group(1), 8)
        if flags & os.O_ACCMODE == os.O_RDWR and os.readlink(entry.path).endswith(" (deleted)"):
            total += os.stat(entry.path).st_blocks * 512
    return total


def idle(server, group, count):
    """KiB a clone, of so many that have answered once and live on."""
    clones = []
    disks.Session(server, "op=nop").close()
    charge, available = group.charge(), _available()
    try:
        for _ in range(count):
            clones.append(disks.Session(server, "op=nop"))
            clones[-1].receive()
        told = {
            "available_kib": (available - _available()) / count / 1024,
            "charge_kib": group.path and (group.charge() - charge) / count / 1024,
            "private_kib": sum(_private(clone.pid) for clone in clones) / count / 1024,
            "file_kib": sum(_file_bytes(clone.pid) for clone in clones) / count / 1024,
        }
    finally:
        for clone in clones:
            clone.close()
    harness.wait_until(lambda: not server.clones(), "all clones have ended")
    return told

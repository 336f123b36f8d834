# SPDX-License-Identifier: MIT
"""Guests with disks, and the plain loop on the same files: what the parts of bench/disk measure."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
import disks  # noqa: E402
import harness  # noqa: E402

MIB = 1 << 20
PLAIN_LOOP = os.path.join(harness.BUILD, "bin", "plain_loop")
GUEST_MIB = 256
POPULATE_MIB = 160  # the buffers of 64 requests of 1 MiB, and more
MAP_BYTES = 1 << 20  # of an overlay's file, behind the disk: more than its header and bitmap have


def say(text):
    print(f"disk: {text}", file=sys.stderr, flush=True)


def make_image(path, mib):
    """A file of random bytes, all of which are on the disk and in the page cache."""
    with open(path, "wb") as image:
        for _ in range(mib):
            image.write(os.urandom(MIB))
        image.flush()
        os.fsync(image.fileno())
    return path


class Server(harness.Server):
    """forkvm serve with the stub blk and one disk. disk: the value of --disk."""

    def __init__(self, disk, *options, args=""):
        super().__init__("blk", "--disk", disk, "--mem", GUEST_MIB, "--args",
                         f"disks=1 populate={POPULATE_MIB} {args}".strip(), *options)


class Times:
    """What passes while the block runs, seconds: .wall, and .cpu of a process and all its threads,
    the guest's own time included."""

    def __init__(self, pid):
        self.clock = (~pid << 3) | 2  # clock_getcpuclockid(3)

    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.clock_gettime(self.clock)
        return self

    def __exit__(self, *unused):
        self.wall = time.perf_counter() - self.wall
        self.cpu = time.clock_gettime(self.clock) - self.cpu


class Guest(disks.Session):
    """A clone that is asked to do loops on its disk; write_to: a file that is the disk."""

    def __init__(self, server, write_to=None):
        super().__init__(server, disks=[(0, write_to, "rw")] if write_to else ())
        self.server = server

    def loop(self, kind, size, depth, count):
        """Microseconds a request takes, those of CPU time, and how often the guest rang for one."""
        with Times(self.pid) as took:
            words = self.do(f"op=loop kind={kind} size={size} depth={depth} n={count}")
        return took.wall / count * 1e6, took.cpu / count * 1e6, int(words["notifies"]) / count

    def exit_us(self, count=3000):
        """What leaving the guest for this program and coming back takes; and of that CPU time."""
        with Times(self.pid) as took:
            self.do(f"op=exits n={count}")
        return took.wall / count * 1e6, took.cpu / count * 1e6

    def figures(self):
        """What the program counted since the clone began."""
        told = self.server.cli("inspect", self.id, "--json")
        return json.loads(told.stdout)["disks"]["0"]

    def overlay_file(self):
        """A name for the file of the clone's overlay in a folder: the writable one without name."""
        folder = f"/proc/{self.pid}/fd"
        for fd in os.listdir(folder):
            path = os.path.join(folder, fd)
            if re.search(r"/#\d+ \(deleted\)$", os.readlink(path)) and self._is_writable(fd):
                return path
        raise AssertionError("the clone has no file of an overlay")

    def _is_writable(self, fd):
        with open(f"/proc/{self.pid}/fdinfo/{fd}", encoding="ascii") as file:
            flags = int(re.search(r"^flags:\s*(\d+)", file.read(), re.MULTILINE).group(1), 8)
        return flags & os.O_ACCMODE == os.O_RDWR and not flags & os.O_DIRECT


def plain_loop(path, kind, size, depth, count, *options):
    """Microseconds a request takes, and those of CPU time."""
    command = [PLAIN_LOOP, "--kind", kind, "--size", str(size), "--depth", str(depth), "--count",
               str(count), *options, path]
    told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return told["ns"] / told["requests"] / 1000, told["cpu_ns"] / told["requests"] / 1000


class Strace:
    """System calls of a process from outside, while the block runs: {name: count}, in .calls; None
    where there is no strace, or it may not attach."""

    NAMES = ("ioctl", "io_uring_enter", "preadv", "pwritev", "preadv2", "pwritev2")

    def __init__(self, pid, folder):
        self.calls = None
        self.path = os.path.join(folder, "strace")
        self.process = None
        if shutil.which("strace"):
            self.process = subprocess.Popen(
                ["strace", "-f", "-c", "-e", "trace=" + ",".join(self.NAMES), "-o", self.path,
                 "-p", str(pid)], stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        if self.process and "attached" not in self.process.stderr.readline():
            self._end()
        return self

    def __exit__(self, *unused):
        if not self.process:
            return
        self._end()
        self.calls = dict.fromkeys(self.NAMES, 0)
        with open(self.path, encoding="ascii") as file:
            for line in file:
                words = line.split()
                if words and words[-1] in self.calls:
                    self.calls[words[-1]] = int(words[3])
        os.unlink(self.path)

    def _end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()
        process, self.process = self.process, None
        return process

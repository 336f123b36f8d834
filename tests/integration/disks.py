# SPDX-License-Identifier: MIT
"""What the tests of disks share: images, and sessions with the stub blk."""

import hashlib
import os
import shutil
import socket
import struct
import tempfile

import harness

BLOCK = 4096
SECTOR = 512


def have_qemu_img():
    return shutil.which("qemu-img") is not None


def make_image(path, blocks, seed=0):
    """An image of which each sector says its number and the seed."""
    with open(path, "wb") as image:
        for sector in range(blocks * BLOCK // SECTOR):
            image.write(struct.pack("<8sQQ", b"IMAGE\0\0\0", sector, seed).ljust(SECTOR, b"."))
    return path


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def sector_of(data, sector):
    """(number, seed) that a sector of the stub's pattern says it is of; None for others."""
    magic, number, seed = struct.unpack_from("<8sQQ", data, sector * SECTOR)
    return (number, seed) if magic == b"FKVMBLK1" else None


def answers(data):
    """The words of an answer: its first one, and a dictionary of the others."""
    words = data.decode().split()
    return words[0], dict(word.split("=", 1) for word in words[1:] if "=" in word)


def last_flushed(console):
    """The last record that op=log has told of as flushed, from all of its console; 0: none."""
    lines = console.decode().split("\n")
    return int(lines[-2].split()[1]) if len(lines) > 1 else 0


class Session:
    """A clone that stays, and is asked one operation of the stub blk after the other."""

    def __init__(self, server, request=None, disks=(), console=False, **members):
        self.connection = server.connect()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(harness.DEADLINE_S)
        self.socket = ours
        fds = [theirs.fileno()]
        message = {"op": "clone", "tag": 1, "answer": True, "session": True, "progress": True,
                   "request": request or "op=info", **members}
        self.console_fd = -1
        if console:
            self.console_fd, write_end = os.pipe()
            message["console"] = True
            fds.append(write_end)
        opened = []
        if disks:
            message["disks"] = []
            for slot, path, mode in disks:
                flags = os.O_RDWR if mode == "rw" else os.O_RDONLY
                opened.append(os.open(path, flags))
                message["disks"].append({"slot": slot, "mode": mode})
        self.connection.send(message, fds + opened)
        for fd in opened + fds[1:]:
            os.close(fd)
        theirs.close()
        started = self.connection.read_line()
        if "started" not in started:
            raise AssertionError(f"no clone: {started}")
        self.id, self.pid = started["started"]["id"], started["started"]["pid"]
        self.first = self.receive() if request is None else None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def receive(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise AssertionError(f"the clone has ended: {self.connection.read_line()}")
        return data

    def ask(self, request):
        """The answer as it is."""
        self.socket.send(request.encode())
        return self.receive().decode()

    def do(self, request):
        """The answer's words, of an operation that must succeed."""
        answer = self.ask(request)
        verdict, words = answers(answer.encode())
        if verdict != "ok":
            raise AssertionError(f"{request}: {answer}")
        return words

    def end(self):
        """In good order; the record of its end."""
        self.socket.close()
        return self.connection.read_line()["ended"]

    def close(self):
        self.socket.close()
        self.connection.close()
        if self.console_fd >= 0:
            os.close(self.console_fd)
            self.console_fd = -1


class DiskTestCase(harness.TestCase):
    """With a folder of its own for images and overlays."""

    blocks = 1024  # of the image

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="forkvm-disk-", dir=os.environ.get("TMPDIR"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.image = make_image(self.path("base.img"), self.blocks)

    def path(self, name):
        return os.path.join(self.folder, name)

    def serve(self, *options, disks=None, **more):
        """A server of the stub blk; disks: values of --disk, or the image alone."""
        words = []
        for disk in [self.image] if disks is None else disks:
            words += ["--disk", disk]
        args = f"disks={len(words) // 2}" + (f" {more.pop('args')}" if "args" in more else "")
        return harness.Server("blk", *words, "--args", args, *options, **more)

    def overlays(self, name="overlays"):
        """A folder for --overlay."""
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        return path

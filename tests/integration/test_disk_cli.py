#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disks on the command line: what is refused, and in which words; conversion of qcow2 images."""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile

import disks
import harness
from harness import run, stub, wait_until

OK, FAILED, MISUSED, UNREACHABLE = range(4)


PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def serve(*options, **more):
    """A server that must not come up: what it says instead."""
    with tempfile.TemporaryDirectory() as folder:
        return run("serve", "--stub", stub("blk"), "--socket", os.path.join(folder, "socket"),
                   *options, **more)


def obey_modes():
    """In a child before it runs a program: root, too, may only do what files' modes allow."""
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


class Options(disks.DiskTestCase):
    def refused(self, status, words, *options, **more):
        result = serve(*options, **more)
        self.assertEqual(result.returncode, status, result)
        for word in words.split("|"):
            self.assertIn(word, result.stderr.decode(), result)

    def test_words(self):
        for value, words in (
            ("", "name is missing"), (",ro", "name is missing"), ("a,frob", '"frob"|ro, durable'),
            ("a,", '""'), ("a,format=vhd", '"vhd"|format=qcow2'), ("a,direct=", "direct=on"),
            ("a,serial=", "1 to 20"), ("a,serial=" + "x" * 21, "1 to 20"),
            ("a,serial=a b", "without"), ("a,ro,durable", "cannot be durable"),
            ("none,ro", "none,serial=TEXT"), ("a,durable", "--overlay"), ("a" * 5000, "4095"),
        ):
            with self.subTest(value=value[:40]):
                self.refused(MISUSED, words, "--disk", value)
        self.refused(MISUSED, "4 times at most", *["--disk", "a"] * 5)
        self.refused(MISUSED, "no --disk", "--overlay", "memory")
        self.refused(MISUSED, "no --disk", "--overlay-limit", "10")
        self.refused(MISUSED, "not empty", "--overlay", "", "--disk", "a")
        self.refused(MISUSED, "a size such as", "--overlay-limit", "much", "--disk", "a")
        self.refused(MISUSED, "less than a block", "--overlay-limit", "100B", "--disk", "a")

    def test_commas_in_names(self):
        os.rename(self.image, self.path("a,b.img"))
        self.refused(FAILED, "a: cannot be used: No such file", "--disk", self.path("a"))
        with self.serve(disks=[self.path("a,,b.img") + ",serial=x"]) as server:
            with disks.Session(server) as session:
                self.assertEqual(session.do("op=id")["id"], "x")

    def file(self, name, content=b"", mode=0o600):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def test_what_is_no_image(self):
        os.mkfifo(self.path("fifo"))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path("socket"))
        for path, words in (
            (self.path("none"), "No such file"), (self.folder, "is a directory"),
            ("/dev/null", "character device"), (self.path("fifo"), "pipe or a socket"),
            (self.path("socket"), "pipe or a socket"), (self.file("empty"), "is empty"),
            (self.file("odd", b"x" * 1000), "1000 bytes|truncate -s 1024"),
            (self.path("base.img") + "/x", "Not a directory"),
        ):
            with self.subTest(path=path):
                self.refused(FAILED, words, "--disk", path)
                self.refused(FAILED, os.path.basename(path), "--disk", path)
        listener.close()

    def test_unreadable(self):
        self.refused(FAILED, "Permission denied", "--disk", self.file("a", b"x" * 512, 0),
                     preexec_fn=obey_modes)

    def test_overlay_folder(self):
        for folder, words in (
            (self.path("none"), "cannot be opened"), (self.image, "Not a directory"),
            ("/proc/self", "--overlay /proc/self"),
        ):
            with self.subTest(folder=folder):
                self.refused(FAILED, words, "--disk", self.image, "--overlay", folder)
        name = "n" * 101
        self.refused(FAILED, "name is too long", "--disk", self.image + ",durable", "--overlay",
                     self.folder, "--name", name)
        os.chmod(self.overlays(), 0o500)
        self.refused(FAILED, "no file can be made", "--disk", self.image, "--overlay",
                     self.overlays(), preexec_fn=obey_modes)

    def test_direct_where_there_is_none(self):
        folder = "/dev/shm"
        if not os.path.isdir(folder):
            self.skipTest("no /dev/shm")
        image = os.path.join(folder, f"forkvm-test-{os.getpid()}")
        shutil.copy(self.image, image)
        self.addCleanup(os.unlink, image)
        with self.serve(disks=[image + ",direct=on"]) as server, disks.Session(server) as session:
            # A file in memory has no use for it: it is done without.
            session.do("op=fill count=4")

    def test_a_file_that_is_written_to(self):
        """Who writes to a file has it alone."""
        with self.serve(disks=["none"]) as server:
            result = server.cli("clone", "--disk", f"0={self.image},rw", "--request", "op=info")
            self.assertEqual(result.returncode, OK, result)
            with open(self.image, "r+b") as image:
                lock = struct.pack("hhqqi", fcntl.F_WRLCK, 0, (1 << 63) - 2, 1, 0)
                fcntl.fcntl(image, fcntl.F_OFD_SETLK, lock)
                result = server.cli("clone", "--disk", f"0={self.image}", "--request", "op=info")
                self.assertEqual(result.returncode, FAILED)
                self.assertIn(b"being written to", result.stderr)
                self.refused(FAILED, "being written to", "--disk", self.image)


class Given(disks.DiskTestCase):
    """forkvm clone --disk, and the same over the protocol."""

    def test_options(self):
        for value, words in (
            ("a", "N=FILE"), ("=a", "N=FILE"), ("x=a", "whole number"), ("4=a", "0 to 3"),
            ("1=", "name is missing"), ("1=a,frob", '"frob"'), ("1=a,", '""'),
            ("12345678=a", "N=FILE"),
        ):
            with self.subTest(value=value):
                result = run("clone", "--disk", value)
                self.assertEqual(result.returncode, MISUSED, result)
                self.assertIn(words.encode(), result.stderr)
        result = run("clone", "--disk", "1=a", "--disk", "1=b")
        self.assertIn(b"two of --disk are for slot 1", result.stderr)
        result = run("clone", "--disk", "1=a,rw", "--count", "2")
        self.assertIn(b"cannot go with --count", result.stderr)
        self.assertEqual(result.returncode, MISUSED)
        for path, words in ((self.path("x"), b"No such file"), (self.folder, b"is a directory"),
                            ("/dev/null", b"no regular file")):
            result = run("clone", "--disk", f"0={path}")
            self.assertEqual(result.returncode, FAILED, result)
            self.assertIn(words, result.stderr)

    def test_refusals(self):
        with self.serve(disks=[self.image, "none"]) as server, server.connect() as connection:
            def refuse(members, fds, code, words):
                opened = [os.open(path, flags) for path, flags in fds]
                connection.send({"op": "clone", "tag": 5, **members}, opened)
                for fd in opened:
                    os.close(fd)
                reply = connection.read_line()
                self.assertEqual(reply["error"]["code"], code, reply)
                self.assertIn(words, reply["error"]["message"])

            image = (self.image, os.O_RDONLY)
            slot = {"disks": [{"slot": 1}]}
            refuse({"disks": [{"slot": 0}]}, [image], "EINVAL", "has a disk already")
            refuse({"disks": [{"slot": 2}]}, [image], "EINVAL", "no disk slot 2")
            refuse(slot, [], "EBADF", "did not come")
            refuse({"disks": [{"slot": 1, "mode": "rw"}]}, [image], "EACCES", "for reading only")
            refuse(slot, [(self.image, os.O_WRONLY)], "EACCES", "not open for reading")
            refuse(slot, [(self.image, os.O_PATH)], "EACCES", "not open for reading")
            refuse(slot, [(self.image, os.O_RDONLY | os.O_NONBLOCK)], "EINVAL", "O_NONBLOCK")
            refuse(slot, [(self.folder, os.O_RDONLY)], "EISDIR", "is a directory")
            refuse(slot, [("/dev/null", os.O_RDONLY)], "EINVAL", "character device")
            with open(self.path("odd"), "wb") as odd:
                odd.write(b"x" * 700)
            refuse(slot, [(self.path("odd"), os.O_RDONLY)], "EINVAL", "multiple of 512")
            for bad in (1, [1], [{"slot": 1, "x": 1}], [{}], [{"slot": -1}], [{"slot": 4}],
                        [{"slot": 1, "mode": "x"}], [{"slot": 1}] * 2, [{"slot": 1}] * 5):
                count = len(bad) if isinstance(bad, list) else 0
                refuse({"disks": bad}, [image] * count, "EINVAL", "disks")
            # All in step still: none of those descriptors was left behind.
            clone = connection.start(b"op=info disk=1")
            self.assertIn(b"sectors=0", clone.read_answer())
            self.assert_end(clone.wait_end(), "done")
            self.assertEqual(server.stats()["disks"]["0"]["clones"], 1)

    def test_a_pipe_as_a_disk(self):
        with self.serve(disks=["none"]) as server, server.connect() as connection:
            read_end, write_end = os.pipe()
            connection.send({"op": "clone", "disks": [{"slot": 0}]}, [read_end])
            self.assertIn("pipe", connection.read_line()["error"]["message"])
            os.close(read_end)
            os.close(write_end)

    def test_no_disks_at_all(self):
        with harness.Server("hello") as server:
            result = server.cli("clone", "--disk", f"0={self.image}")
            self.assertEqual(result.returncode, FAILED)
            self.assertIn(b"no disk slot 0", result.stderr)
            self.assertNotIn("disks", server.stats())


class Qcow2(disks.DiskTestCase):
    blocks = 64

    def setUp(self):
        super().setUp()
        if not disks.have_qemu_img():
            self.skipTest("qemu-img is not installed (package qemu-utils)")
        self.qcow2 = self.path("base.qcow2")
        self.convert(self.image, self.qcow2)

    def convert(self, source, target, *options):
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, source,
                        target], check=True)

    def refused(self, words, *options, **more):
        result = serve(*options, **more)
        self.assertEqual(result.returncode, FAILED, result)
        for word in words.split("|"):
            self.assertIn(word, result.stderr.decode(), result)

    def check_contents(self, server):
        with disks.Session(server) as session:
            out = self.path("out.img")
            result = server.cli("disk", "export", session.id, out)
            self.assertEqual(result.returncode, OK, result)
            self.assertEqual(disks.digest(out), disks.digest(self.image))

    def test_converted(self):
        for folder in ((), ("--overlay", self.overlays())):
            with self.serve(*folder, disks=[self.qcow2]) as server:
                where = folder[1] if folder else os.environ.get("TMPDIR", "/tmp")
                self.assertIn(f"is qcow2: it is converted to raw, into an unlinked file in {where}",
                              server.log())
                self.assertRegex(server.log(), r"converted in \d+ ms; the copy takes")
                told = json.loads(server.cli("inspect", "--json").stdout)["template"]["disks"]["0"]
                self.assertEqual(told["image"], self.qcow2)
                self.assertEqual(told["size"], self.blocks * disks.BLOCK)
                self.assertGreater(told["converted_bytes"], 0)
                self.check_contents(server)
            self.assertEqual(os.listdir(self.overlays()), [])

    def test_compressed_and_old(self):
        self.convert(self.image, self.qcow2, "-c")
        with self.serve(disks=[self.qcow2]) as server:
            self.check_contents(server)
        self.convert(self.image, self.qcow2, "-o", "compat=0.10,cluster_size=4096")
        with self.serve(disks=[self.qcow2 + ",format=qcow2"]) as server:
            self.check_contents(server)

    def test_as_raw(self):
        """format=raw takes the file as it is, whatever it looks like."""
        size = os.path.getsize(self.qcow2)
        with self.serve(disks=[self.qcow2 + ",format=raw"]) as server:
            with disks.Session(server) as session:
                self.assertEqual(int(session.do("op=info")["sectors"]), size // 512)

    def test_no_qcow2(self):
        self.refused("is no qcow2 image", "--disk", self.image + ",format=qcow2")

    def test_truncated(self):
        with open(self.qcow2, "rb") as file:
            whole = file.read()
        for size in (50, 512, 70000, 200000, len(whole) - 65536):
            with self.subTest(size=size):
                with open(self.qcow2, "wb") as file:
                    file.write(whole[:size])
                self.refused("base.qcow2|truncated", "--disk", self.qcow2)

    def test_backing_file(self):
        """A raw disk whose guest wrote such a header must not have us read another file."""
        child = self.path("child.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.qcow2, "-F", "qcow2",
                        child], check=True)
        self.refused("needs other files|format=qcow2", "--disk", child)
        with self.serve(disks=[child + ",format=qcow2"]) as server:
            self.check_contents(server)

    def test_durable(self):
        self.refused("convert it first", "--disk", self.qcow2 + ",durable", "--overlay",
                     self.folder)

    def test_without_qemu_img(self):
        self.refused("qemu-img is not installed|qemu-utils", "--disk", self.qcow2,
                     env={**os.environ, "PATH": self.folder})

    def test_no_room(self):
        """Where its copy cannot be made is named."""
        self.refused("would be converted into /proc", "--disk", self.qcow2,
                     env={**os.environ, "TMPDIR": "/proc"})

    def tool(self, script):
        """A qemu-img of our own."""
        path = self.path("qemu-img")
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(path, stat.S_IRWXU)
        return {**os.environ, "PATH": self.folder + ":" + os.environ["PATH"]}

    def test_a_tool_that_fails(self):
        env = self.tool('[ "$1" = check ] && exit 0; echo no such luck >&2; exit 1\n')
        self.refused("cannot be converted|no such luck", "--disk", self.qcow2, env=env)
        env = self.tool("kill -9 $$\n")
        self.refused("ended by signal 9", "--disk", self.qcow2, env=env)

    def test_interrupted(self):
        """A server that is told to stop does not wait for the conversion."""
        started = self.path("started")
        env = self.tool(f": > {started}; exec sleep 1000\n")
        with subprocess.Popen([harness.FORKVM, "serve", "--stub", stub("blk"), "--socket",
                               self.path("socket"), "--disk", self.qcow2], env=env,
                              stderr=subprocess.PIPE) as process:
            wait_until(lambda: os.path.exists(started), "the tool runs")
            process.send_signal(signal.SIGTERM)
            self.assertIn(b"interrupted while qemu-img ran", process.communicate()[1])
            self.assertEqual(process.returncode, FAILED)


class Info(disks.DiskTestCase):
    def test_words(self):
        for args in ((), ("frob",), ("export", "1"), ("commit", "a"), ("info",),
                     ("info", "a", "b"), ("export", "x", "y"), ("export", "1:9", "y")):
            result = run("disk", *args)
            self.assertEqual(result.returncode, MISUSED, result)
        result = run("disk", "export", "1", self.path("out"), "--socket", self.path("none"))
        self.assertEqual(result.returncode, UNREACHABLE)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_images(self):
        told = json.loads(run("disk", "info", "--json", self.image).stdout)
        self.assertEqual(told["format"], "raw")
        self.assertEqual(told["size"], self.blocks * disks.BLOCK)
        self.assertIn(b"format      raw", run("disk", "info", self.image).stdout)
        if disks.have_qemu_img():
            qcow2 = self.path("a.qcow2")
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "5M"], check=True)
            told = json.loads(run("disk", "info", "--json", qcow2).stdout)
            self.assertEqual((told["format"], told["size"]), ("qcow2", 5 << 20))
        for path, word in ((self.folder, b"directory"), (self.path("x"), b"No such file")):
            result = run("disk", "info", path)
            self.assertEqual(result.returncode, FAILED)
            self.assertIn(word, result.stderr)

    def test_commit_of_no_overlay(self):
        out = self.path("out")
        result = run("disk", "commit", self.image, out)
        self.assertEqual(result.returncode, FAILED, result)
        self.assertIn(b"base.img", result.stderr)
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers that cannot be: each bad stub, size, count, path and option is refused with a message that
says what is wrong, and an exit status; what a running server has is left alone."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile

import harness
from harness import FORKVM, Server, run, stub

FAILED, MISUSED, UNREACHABLE = 1, 2, 3


class Startup(harness.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="forkvm-it-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = os.path.join(self.folder, "socket")

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def refuse(self, status, *words, options=(), image=stub("hello"), path=None, env=None):
        """serve ends with status and one line that has all of words; its socket is not left."""
        path = path or self.path
        before = set(os.listdir(self.folder))
        result = run("serve", "--stub", image, "--socket", path, *options, env=env)
        text = result.stderr.decode(errors="replace")
        self.assertEqual(result.returncode, status, text)
        for word in words:
            self.assertIn(word, text)
        self.assertTrue(text.startswith("forkvm serve: "), text)
        complaint = [line for line in text.splitlines() if not line.startswith("Try ")]
        self.assertEqual(len(complaint), 1, text)
        self.assertEqual(result.stdout, b"")
        self.assertEqual(set(os.listdir(self.folder)), before)

    # ---- Stubs ----

    def test_missing_stub(self):
        self.refuse(FAILED, "/nowhere/at/all", "No such file", image="/nowhere/at/all")

    def test_empty_stub(self):
        path = self.file("empty", b"")
        self.refuse(FAILED, path, "empty", image=path)

    def test_truncated_stub(self):
        with open(stub("hello"), "rb") as file:
            whole = file.read()
        # In the header, in the program headers, in a segment.
        for size in (1, 3, 4, 20, 63, 64, 100, 64 + 56, 4096 + 10):
            with self.subTest(size=size):
                path = self.file("cut", whole[:size])
                self.refuse(FAILED, path, "truncated" if size > 3 else "not an ELF", image=path)

    def test_not_an_elf(self):
        for name, content in (("text", b"hello, world\n"), ("script", b"#!/bin/sh\nexit 0\n"),
                              ("noise", bytes(range(256)) * 100)):
            with self.subTest(name=name):
                path = self.file(name, content)
                self.refuse(FAILED, path, "not an ELF", image=path)

    def test_wrong_architecture(self):
        with open(stub("hello"), "rb") as file:
            whole = bytearray(file.read())
        arm = bytes(whole[:18]) + struct.pack("<H", 183) + bytes(whole[20:])
        small = bytes(whole[:4]) + b"\1" + bytes(whole[5:])
        big_endian = bytes(whole[:5]) + b"\2" + bytes(whole[6:])
        for content in (arm, small, big_endian):
            path = self.file("other", content)
            self.refuse(FAILED, path, "architecture", "x86-64", image=path)

    def test_a_program_of_the_host(self):
        self.refuse(FAILED, "static", image=harness.FORKVM)

    def test_not_a_file(self):
        self.refuse(FAILED, "regular file", image="/dev/zero")
        self.refuse(FAILED, "regular file", image=self.folder)
        os.mkfifo(os.path.join(self.folder, "fifo"))
        self.refuse(FAILED, "regular file", image=os.path.join(self.folder, "fifo"))

    def test_oversized_stub(self):
        path = self.file("large", b"\x7fELF")
        os.truncate(path, 300 << 20)
        self.refuse(FAILED, path, "256", image=path)

    def test_stub_larger_than_the_ram(self):
        path = self.file("flat.bin", b"\xf4" * (3 << 20))
        self.refuse(FAILED, path, "give it more", image=path, options=["--mem", "3M"])
        with open(stub("hello"), "rb") as file:
            whole = bytearray(file.read())
        # Let the first segment that is loaded be 1 TiB in memory.
        offset = struct.unpack_from("<Q", whole, 32)[0]
        for i in range(struct.unpack_from("<H", whole, 56)[0]):
            if struct.unpack_from("<I", whole, offset + 56 * i)[0] == 1:
                struct.pack_into("<Q", whole, offset + 56 * i + 40, 1 << 40)
                break
        path = self.file("huge", bytes(whole))
        self.refuse(FAILED, path, "does not fit", image=path)

    # ---- Linux guests ----

    def refuse_plainly(self, *words, options=()):
        """What is wrong before there is an image to look at."""
        result = run("serve", "--socket", self.path, *options)
        self.assertEqual(result.returncode, MISUSED, result)
        for word in words:
            self.assertIn(word, result.stderr.decode())

    def test_one_guest_of_one_kind(self):
        self.refuse(MISUSED, "--stub or --kernel, not both", options=["--kernel", "/x"])
        self.refuse_plainly("--args", "--cmdline", options=["--kernel", "/x", "--args", "a"])
        for option in ("--initrd", "--cmdline", "--serial", "--template-on"):
            self.refuse(MISUSED, option, "--kernel", options=[option, "x"])

    def test_patterns(self):
        for text in ("", "x" * 256):
            self.refuse_plainly("--template-on", "1 to 255",
                                options=["--kernel", "/x", "--template-on", text])

    def test_serial_ports(self):
        for text in ("", "fd:", "fd:x", "fd:-1", "fd:3x"):
            self.refuse_plainly("--serial", options=["--kernel", "/x", "--serial", text])
        for text, word in (("fd:77", "Bad file descriptor"), (self.folder, "directory"),
                           ("/nowhere/at/all", "No such file")):
            result = run("serve", "--socket", self.path, "--kernel", "/x", "--serial", text)
            self.assertEqual(result.returncode, FAILED, result)
            for part in ("--serial", text, word):
                self.assertIn(part, result.stderr.decode())

    def test_entropy(self):
        self.refuse(MISUSED, "--rng or --no-rng", options=["--rng", "--no-rng"])

    def test_no_stub_named(self):
        result = run("serve", "--socket", self.path)
        self.assertEqual(result.returncode, MISUSED)
        self.assertIn(b"--stub", result.stderr)

    # ---- RAM, vCPUs, other figures ----

    def test_ram_of_nothing(self):
        self.refuse(FAILED, "0 bytes", options=["--mem", "0"])

    def test_ram_of_one_byte(self):
        self.refuse(FAILED, "multiple of 4 KiB", options=["--mem", "1B"])

    def test_ram_that_is_too_little(self):
        self.refuse(FAILED, "at least 2 MiB", options=["--mem", "4K"])
        self.refuse(FAILED, "at least 2 MiB", options=["--mem", "1"])

    def test_ram_that_is_too_much(self):
        for size in ("1000T", "1000000G", "16000000T"):
            self.refuse(FAILED, "ever hold", options=["--mem", size])

    def test_ram_that_no_number_can_say(self):
        for size in ("18446744073709551616", "99999999999999999999999", "99999999999T"):
            self.refuse(MISUSED, "--mem", "more than any host has", options=["--mem", size])

    def test_ram_that_is_no_size(self):
        for size in ("", "x", "-1", "1.5G", "12X", "0x10", "G", " 1", "1 G", "+1", "1GG"):
            self.refuse(MISUSED, "--mem", "takes a size", options=["--mem", size])

    def test_ram_not_in_pages(self):
        self.refuse(FAILED, "multiple of 4 KiB", options=["--mem", f"{(8 << 20) + 1}B"])

    def test_vcpus(self):
        for cpus in (0, 65, 10000, 2**32 - 1):
            self.refuse(FAILED, "vCPUs", options=["--cpus", cpus])
        for cpus in (2**32, 10**30):
            self.refuse(MISUSED, "--cpus", options=["--cpus", cpus])
        for cpus in ("-1", "", "two", "1.5", "1k"):
            self.refuse(MISUSED, "--cpus", options=["--cpus", cpus])

    def test_arguments_that_are_too_long(self):
        self.refuse(FAILED, "1024 bytes", "1023", options=["--args", "x" * 1024])
        with Server("hello", "--args", "x" * 1023):
            pass

    def test_times(self):
        for option in ("--boot-timeout", "--clone-timeout", "--freeze-after"):
            for time in ("", "x", "-1", "1.5", "5 s", "5y", "10000000000000000000000",
                         "1000000d"):
                self.refuse(MISUSED, option, options=[option, time])

    def test_boot_timeout(self):
        self.refuse(FAILED, "did not reach its template point within 100 ms", "--boot-timeout",
                    image=stub("hostile"),
                    options=["--args", "boot=never-template", "--boot-timeout", "100ms"])

    def test_too_few_open_files(self):
        result = subprocess.run(
            ["prlimit", "--nofile=200:200", FORKVM, "serve", "--stub", stub("hello"), "--socket",
             self.path], capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, FAILED)
        self.assertIn("limit on open files is 200", result.stderr)
        self.assertIn("ulimit", result.stderr)

    def test_other_figures(self):
        self.refuse(MISUSED, "--max-clones", options=["--max-clones", 0])
        self.refuse(MISUSED, "--max-clones", options=["--max-clones", 1000000])
        self.refuse(MISUSED, "--max-connections", options=["--max-connections", 0])
        self.refuse(MISUSED, "--max-connections", options=["--max-connections", 1000000])
        self.refuse(MISUSED, "--allow-uid", options=["--allow-uid", -1])
        self.refuse(MISUSED, "--allow-uid", options=["--allow-uid", 2**32 - 1])
        self.refuse(MISUSED, "--allow-uid", "16", options=["--allow-uid", 1000] * 17)
        self.refuse(MISUSED, "--slots", options=["--slots", "none"])
        self.refuse(MISUSED, "--log-level", options=["--log-level", "loud"])
        self.refuse(MISUSED, "--ready-fd", options=["--ready-fd", 1])
        self.refuse(FAILED, "--ready-fd", options=["--ready-fd", 77])

    # ---- Options ----

    def test_unknown_options(self):
        for option in ("--nonsense", "--me", "--memory", "--mem-path-x", "-x", "-s", "--c"):
            with self.subTest(option=option):
                self.refuse(MISUSED, option, options=[option])

    def test_malformed_options(self):
        self.refuse(MISUSED, "--mem", "value", options=["--mem"])
        self.refuse(MISUSED, "--irqchip=1", options=["--irqchip=1"])
        self.refuse(MISUSED, "stray", options=["stray"])
        self.refuse(MISUSED, "stray", options=["--", "stray"])

    # ---- The device ----

    def test_devices(self):
        self.refuse(FAILED, "/dev/nothing", "modprobe", options=["--device", "/dev/nothing"])
        self.refuse(FAILED, "/dev/null", "not a KVM device", options=["--device", "/dev/null"])

    # ---- Memory files ----

    def test_memory_files(self):
        self.refuse(FAILED, "/nowhere/ram", options=["--mem-path", "/nowhere/ram"])
        self.refuse(FAILED, "/dev/null", "regular", options=["--mem-path", "/dev/null"])
        self.refuse(FAILED, self.folder, options=["--mem-path", self.folder])

    def test_memory_file_in_use(self):
        """A second server must not cut the memory that the first one's clones live on."""
        path = os.path.join(self.folder, "ram")
        with Server("echo", "--mem-path", path) as server, server.connect() as connection:
            self.refuse(FAILED, path, "in use", options=["--mem-path", path])
            answer, _ = connection.clone(b"unharmed")
            self.assertEqual(answer, b"unharmed")
        with Server("hello", "--mem-path", path) as server:
            server.check_serving()

    # ---- Sockets ----

    def test_socket_in_use(self):
        with Server("hello") as server:
            self.refuse(FAILED, "in use", f"pid {server.pid}", "--socket", path=server.path)
            server.check_serving()

    def test_socket_of_another_program(self):
        other = socket.socket(socket.AF_UNIX)
        other.bind(self.path)
        other.listen()
        result = run("serve", "--stub", stub("hello"), "--socket", self.path)
        self.assertEqual(result.returncode, FAILED, result)
        self.assertIn(b"another program", result.stderr)
        self.assertTrue(os.path.exists(self.path), "it is not ours to remove")
        other.close()
        # Now nobody listens there any more.
        with Server("hello", folder=self.folder, path=self.path) as server:
            server.check_serving()

    def test_socket_path_is_something_else(self):
        path = self.file("precious", b"data")
        self.refuse(FAILED, path, "not a socket", path=path)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), b"data")
        self.refuse(FAILED, self.folder, path=self.folder)

    def test_socket_path_that_is_too_long(self):
        self.refuse(MISUSED, "107", path="/tmp/" + "x" * 103)
        self.refuse(MISUSED, "107", path="x" * 5000)
        with_most = os.path.join(self.folder, "x" * (106 - len(self.folder)))
        self.assertEqual(len(with_most), 107)
        with Server("hello", folder=self.folder, path=with_most) as server:
            server.check_serving()

    def test_socket_path_that_is_empty(self):
        result = run("serve", "--stub", stub("hello"), "--socket", "")
        self.assertEqual(result.returncode, MISUSED, result)

    def test_socket_in_a_missing_folder(self):
        self.refuse(FAILED, "/nowhere/at/all/socket", "folder", path="/nowhere/at/all/socket")
        path = self.file("file", b"")
        self.refuse(FAILED, "folder", path=path + "/socket")

    def test_names(self):
        for name in ("", "a/b", "../x", "a b", "\u00e4"):
            result = run("serve", "--stub", stub("hello"), "--name", name)
            self.assertEqual(result.returncode, MISUSED, result)
            self.assertIn(b"name", result.stderr)
        result = run("serve", "--stub", stub("hello"), "--name", "x" * 100)
        self.assertEqual(result.returncode, MISUSED, result)
        self.assertIn(b"too long", result.stderr)

    def test_default_socket(self):
        env = {**os.environ, "XDG_RUNTIME_DIR": self.folder}
        for name, file in ((None, "forkvm-default.sock"), ("a.b-c_1", "forkvm-a.b-c_1.sock")):
            options = ["--name", name] if name else []
            server = Server("hello", *options, folder=self.folder,
                            path=os.path.join(self.folder, file))
            at = server.args.index("--socket")
            del server.args[at:at + 2]
            os.environ["XDG_RUNTIME_DIR"] = self.folder
            try:
                server.start()
            finally:
                del os.environ["XDG_RUNTIME_DIR"]
            result = run("clone", *options, env=env)
            self.assertEqual(result.returncode, 0, result)
            self.assertEqual(result.stdout, b"ok hello clone=1\n")
            server.stop()

    def test_permissions_of_the_socket(self):
        with Server("hello") as server:
            self.assertEqual(os.stat(server.path).st_mode & 0o777, 0o600)
        with Server("hello", "--allow-uid", 12345) as server:
            self.assertEqual(os.stat(server.path).st_mode & 0o777, 0o666)


if __name__ == "__main__":
    harness.main()

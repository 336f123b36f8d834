#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The operator's freeze: a running Linux guest is frozen wherever it is, idle, computing, in system
calls, drawing from the virtio entropy device, in the middle of a line on its serial port, or before
it has come to user space; and its clones go on as if nothing had happened.

What goes on is witnessed by guest/witness.c: numbered lines, each with a sum, from the template's
serial port and, without a byte lost or doubled, on from each clone's console.

FORKVM_TEST_FREEZES: how many templates of each kind are frozen (1).
"""

import os
import random
import re
import socket

import harness_linux as linux
import harness
import images
import trouble
from harness import wait_until

FREEZES = int(os.environ.get("FORKVM_TEST_FREEZES", "1"))
INIT = """
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
while read -r module; do insmod "$module"; done < /etc/forkvm/modules
exec </dev/ttyS0 >/dev/ttyS0 2>&1
exec witness $(sed 's/.*witness=\\([a-z]*\\).*/\\1/' /proc/cmdline)
"""

linux.run_in_lab(lambda: {
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("freeze", "cloud", "--script", "/sbin/my-init", INIT, "--program",
                            f"{harness.stub('witness')}:/bin/witness"),
}, timeout_s=480)

LINE = re.compile(rb"w (\d+)([^\n]*?) abcdefghijklmnopqrstuvwxyz0123456789 ([0-9a-f]{4})\n")


def sum_of(text):
    """The witness's own: FNV-1a, folded to 16 bits."""
    total = 2166136261
    for byte in text:
        total = ((total ^ byte) * 16777619) & 0xffffffff
    return (total ^ total >> 16) & 0xffff


class Freeze(harness.TestCase):
    def check_lines(self, text):
        """Every line is whole, and each number follows its predecessor; [(number, words)]."""
        text = text.replace(b"\r\n", b"\n")
        text = text[text.index(b"w 0"):] if b"w 0" in text else text
        found = []
        at = 0
        for line in text.splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break
            match = LINE.fullmatch(line)
            # What the kernel has to say comes on lines of its own.
            if not match and line.startswith(b"["):
                self.assertEqual(trouble.lines_of(line.decode(errors="replace")), [])
                continue
            self.assertIsNotNone(match, f"after {at} lines: {line[:200]!r}")
            self.assertEqual(sum_of(line[:-5]), int(match.group(3), 16), line)
            found.append((int(match.group(1)), match.group(2).decode().split()))
            at += 1
        numbers = [number for number, _ in found]
        self.assertEqual(numbers, list(range(len(numbers))), "no line is lost or comes twice")
        self.assertEqual([words for _, words in found if words[:1] == ["fail"]], [])
        return found

    def counters(self, lines):
        return [[int(word) for word in words] for _, words in lines if words[:1] != ["pong"]]

    def follow(self, connection, before, clone):
        """A clone's console, from where the template's output ends, until it has proved its life."""
        ours, theirs = socket.socketpair()
        with ours:
            ours.settimeout(harness.DEADLINE_S)
            connection.send({"op": "clone", "tag": clone, "console": True}, [theirs.fileno()])
            theirs.close()
            text = b""
            asked = False
            while b"pong here-%d " % clone not in text or text.count(b"\n") < 25:
                piece = ours.recv(1 << 16)
                self.assertTrue(piece, text[-300:])
                text += piece
                if not asked and text.count(b"\n") > 5:
                    ours.sendall(b"here-%d\n" % clone)
                    asked = True
            ours.shutdown(socket.SHUT_RDWR)
        lines = self.check_lines(before + text)
        first = len(self.check_lines(before))
        moved = self.counters(lines[first:])
        for counter in range(len(moved[0])):
            self.assertGreater(moved[-1][counter], moved[0][counter],
                               f"worker {counter} went on: {moved[0]}, {moved[-1]}")

    def freeze_at(self, work, lines):
        """A template that is frozen once it has printed so many lines; then two clones of it."""
        server = linux.LinuxServer("kernel", "initrd", "--serial", "/dev/null", cpus=2,
                                   cmdline=f"quiet rdinit=/sbin/my-init witness={work}")
        serial = os.path.join(server.folder, "serial")
        server.args[server.args.index("/dev/null")] = serial
        self.addCleanup(server.clean)
        self.addCleanup(server.kill)
        server.launch()

        def printed():
            try:
                with open(serial, "rb") as file:
                    return file.read()
            except FileNotFoundError:
                return b""

        wait_until(lambda: server.process.poll() is not None or printed().count(b"\nw ") >= lines,
                   f"{work}: {lines} lines", harness.DEADLINE_S)
        result = server.cli("freeze", "--timeout", "60s")
        self.assertEqual(result.returncode, 0, result.stderr + server.log().encode())
        server.wait_ready()
        before = printed()
        with server.connect() as connection:
            self.assertEqual(connection.call("inspect")["template"]["frozen_by"], "request")
            for clone in (1, 2):
                self.follow(connection, before, clone)
            connection.call("kill", all=True)
        linux.report(f"{work}: frozen after {before.count(chr(10).encode())} lines and "
                     f"{len(before) - before.rindex(b'w ')} bytes of the next; two clones went on")
        server.stop()

    def check(self, work):
        for _ in range(FREEZES):
            self.freeze_at(work, random.randint(3, 40))

    def test_before_user_space(self):
        server = linux.LinuxServer(cpus=2, cmdline="loglevel=7")
        self.addCleanup(server.clean)
        self.addCleanup(server.kill)
        server.launch()
        wait_until(lambda: "clocksource" in server.log() or server.process.poll() is not None,
                   "the kernel has begun")
        result = server.cli("freeze", "--timeout", "60s")
        self.assertEqual(result.returncode, 0, result.stderr + server.log().encode())
        server.wait_ready()
        with server.connect() as connection:
            told = [linux.identity(linux.ask(connection, "")) for _ in range(2)]
        self.assertNotEqual(told[0]["urandom"], told[1]["urandom"])
        linux.report("a kernel that was still starting: two clones came to user space and answered")
        server.stop()


for kind in ("idle", "busy", "calls", "rng", "lines"):
    setattr(Freeze, f"test_{kind}", lambda self, work=kind: self.check(work))


if __name__ == "__main__":
    harness.main()

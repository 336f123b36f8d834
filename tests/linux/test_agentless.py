#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that knows nothing of forkvm: frozen when it prints its login prompt, it runs on in each
clone; what it prints comes to the clone's console, and what is typed there reaches it."""

import os
import pty
import socket
import time
import tty

import harness_linux as linux
import harness
import images

# The init of a guest that somebody had before they had forkvm.
INIT = """
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
echo booted up
while :; do
	printf 'some host login: '
	read -r name || exit
	echo "hello, <$name>, I am up for $(cut -d. -f1 /proc/uptime) s"
	[ "$name" != halt ] || poweroff -f
	[ "$name" != lines ] || seq 1 2000
done
"""

linux.run_in_lab(lambda: {
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("agentless", None, "--script", "/sbin/my-init", INIT),
}, memory_mib=2048, timeout_s=300)

PROMPT = b"login: "


class Console:
    """A clone with a console, at which somebody sits."""

    def __init__(self, connection, ours, theirs):
        self.connection = connection
        self.fd = ours
        self.text = b""
        connection.send({"op": "clone", "tag": 1, "console": True}, [theirs])

    def read_until(self, text):
        """All there is up to this text."""
        while text not in self.text:
            if not harness.readable(self.fd, harness.DEADLINE_S):
                raise AssertionError(f"{text!r} does not come: {self.text[-400:]!r}")
            try:
                piece = os.read(self.fd, 1 << 16)
            except OSError:
                piece = b""
            if not piece:
                raise AssertionError(f"the console was closed: {self.text[-400:]!r}")
            self.text += piece
        end = self.text.index(text) + len(text)
        found, self.text = self.text[:end], self.text[end:]
        return found

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        return self.connection.read_line()["ended"]


class Agentless(harness.TestCase):
    def serve(self):
        return linux.LinuxServer("kernel", "initrd", "--template-on", "login:",
                                 cmdline="rdinit=/sbin/my-init")

    def talk(self, console):
        """What is typed comes in, and what comes of it goes out."""
        console.type(b"somebody\n")
        console.read_until(b"hello, <somebody>, I am up for ")
        console.read_until(PROMPT)

    def test_sockets_and_terminals(self):
        with self.serve() as server, server.connect() as connection:
            self.assertEqual(server.template()["frozen_by"], "guest")
            self.assertIn("booted up", server.log())
            ours, theirs = socket.socketpair()
            with ours:
                console = Console(connection, ours.fileno(), theirs.fileno())
                theirs.close()
                self.talk(console)
                # Much more than the port's FIFO and a socket's buffer hold.
                console.type(b"lines\n")
                lines = console.read_until(b"\n2000\r\n").split()
                self.assertEqual(lines[-2000:], [b"%d" % n for n in range(1, 2001)])
                console.read_until(PROMPT)
                console.type(b"halt\n")
                console.read_until(b"hello, <halt>")
                self.assert_end(console.end(), "shutdown")
            ours, theirs = pty.openpty()
            tty.setraw(theirs)
            console = Console(connection, ours, theirs)
            os.close(theirs)
            self.talk(console)
            console.type(b"halt\n")
            self.assert_end(console.end(), "shutdown")
            os.close(ours)

    def test_reader_leaves(self):
        """Console text is for people: nobody reads it any more, and the guest goes on."""
        with self.serve() as server, server.connect() as connection:
            ours, theirs = socket.socketpair()
            console = Console(connection, ours.fileno(), theirs.fileno())
            theirs.close()
            self.talk(console)
            console.type(b"lines\nlines\nlines\n")
            console.read_until(b"hello")
            ours.close()
            (pid,) = server.clones()
            self.assertTrue(self.is_idle(pid))
            self.assertEqual(connection.call("kill", all=True)["killed"], 1)
            self.assertEqual(console.end()["reason"], "killed")

    def is_idle(self, pid):
        """Does a process come to rest: half a second with less than a fifth of it?"""
        def used_s():
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rsplit(b")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        def rests():
            before = used_s()
            time.sleep(0.5)
            return used_s() - before < 0.1

        return harness.wait_until(rests, "the clone is idle")

    def test_several_at_once(self):
        with self.serve() as server:
            connections = [server.connect() for _ in range(3)]
            pairs = [socket.socketpair() for _ in connections]
            consoles = [Console(connection, ours.fileno(), theirs.fileno())
                        for connection, (ours, theirs) in zip(connections, pairs)]
            for number, console in enumerate(consoles):
                console.type(b"number %d\n" % number)
            for number, console in enumerate(consoles):
                console.read_until(b"hello, <number %d>" % number)
            for number, console in enumerate(consoles):
                self.talk(console)
            for connection, (ours, theirs) in zip(connections, pairs):
                ours.close()
                theirs.close()
                connection.close()
            server.wait_quiet()

    def test_output_without_input(self):
        """A pipe's end takes output; without a console the guest runs on all the same."""
        with self.serve() as server, server.connect() as connection:
            read_end, write_end = os.pipe()
            console = Console(connection, read_end, write_end)
            os.close(write_end)
            self.assertEqual(connection.call("kill", all=True)["killed"], 1)
            self.assertEqual(console.end()["reason"], "killed")
            os.close(read_end)
            clone = connection.start(answer=False, timeout_ms=1500)
            self.assertEqual(clone.wait_end()["reason"], "timeout")


if __name__ == "__main__":
    harness.main()

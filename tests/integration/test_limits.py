#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the server says of this host's limits comes true: so many clones, and no more."""

import contextlib
import errno
import os
import unittest

import harness
from harness import Server


def find_pids_cgroup():
    """Where a cgroup with a limit on tasks can be made; None where it cannot."""
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        lines = [line.split() for line in mounts]
    for words in lines:
        kind, options = words[words.index("-") + 1], words[-1].split(",")
        if kind == "cgroup" and "pids" in options:
            return words[4]
    for words in lines:
        if words[words.index("-") + 1] == "cgroup2":
            control = os.path.join(words[4], "cgroup.subtree_control")
            with contextlib.suppress(OSError):
                with open(control, "w", encoding="utf-8") as file:
                    file.write("+pids")
                return words[4]
    return None


def is_removed(group):
    try:
        os.rmdir(group)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


class Limits(harness.TestCase):
    def fill(self, connection, count):
        """Ask for so many sessions; how many answer, and the first refusal."""
        sessions = [connection.session() for _ in range(count)]
        good = 0
        refusals = []
        for session in sessions:
            with contextlib.suppress(ConnectionError):
                good += session.recv(4096).startswith(b"ok")
        while good + len(refusals) < count:
            refusals.append(connection.read_line())
        for session in sessions:
            session.close()
        return good, refusals

    def test_open_files(self):
        few = ("prlimit", "--nofile=400:400")
        with Server("hello", "--max-connections", 10, wrapper=few) as server:
            with server.connect() as connection:
                limits = connection.call("inspect")["limits"]
                self.assertEqual(limits["tightest"], "the limit on open files")
                self.assertIn("LimitNOFILE", limits["to_raise"])
                self.assertEqual(limits["clones"], limits["each"]["open_files"])
                self.assertEqual(connection.call("stats")["clones"]["host_allows"],
                                 limits["clones"])
                good, refusals = self.fill(connection, limits["clones"] + 5)
                self.assertEqual(good, limits["clones"])
                self.assertEqual({message["error"]["code"] for message in refusals}, {"EAGAIN"})
            self.assertIn(f"allows about {limits['clones']} clones", server.log())

    def test_tasks_of_a_cgroup(self):
        parent = find_pids_cgroup() if os.geteuid() == 0 else None
        if not parent:
            raise unittest.SkipTest("no root, or no cgroup with a limit on tasks")
        group = os.path.join(parent, f"forkvm-test-{os.getpid()}")
        enter = ("sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh")
        os.mkdir(group)
        try:
            with open(os.path.join(group, "pids.max"), "w", encoding="utf-8") as file:
                file.write("60")
            with Server("hello", wrapper=enter) as server, server.connect() as connection:
                limits = connection.call("inspect")["limits"]
                self.assertEqual(limits["tightest"], "the cgroup's pids.max")
                self.assertIn(f"{group}/pids.max", limits["to_raise"])
                # Made all at once, some processes get the tasks that others' VMs would need.
                wanted = limits["clones"] + 10
                good, bad = self.fill(connection, wanted)
                self.assertTrue(limits["clones"] * 2 // 3 <= good <= limits["clones"], (good, bad))
                for message in bad:
                    words = message.get("error", message.get("ended"))
                    text = words.get("message", words.get("error"))
                    self.assertIn("kernel.pid_max", text, message)
                server.wait_quiet()
                # One after another, what was promised can be had; the anchor has one task itself.
                sessions = []
                for _ in range(limits["clones"] - 1):
                    sessions.append(connection.session())
                    self.assertTrue(sessions[-1].recv(4096).startswith(b"ok"))
                for session in sessions:
                    session.close()
        finally:
            harness.wait_until(lambda: is_removed(group), "the cgroup is empty")

    def test_wanted_more_than_there_is_room_for(self):
        few = ("prlimit", "--nofile=400:400")
        with Server("hello", "--max-clones", 5000, "--max-connections", 10,
                    wrapper=few) as server:
            self.assertIn("fewer than --max-clones 5000", server.log())
        with Server("hello", "--max-clones", 5) as server:
            self.assertNotIn("this host allows", server.log())
            self.assertIn("tightest", server.cli("inspect").stdout.decode())


if __name__ == "__main__":
    harness.main()

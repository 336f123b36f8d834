#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--spare-cpus: spares are made aside, and the server, parked spares and clones are where they belong."""

import os

import harness
from harness import Server, wait_until
from spares import PoolServer

ALL = os.sched_getaffinity(0)


def cpus_of(text):
    """The set of a list of CPUs."""
    found = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@harness.unittest.skipIf(len(ALL) < 2, "this host has one CPU: there is nothing to divide")
class Divided(harness.TestCase):
    def check(self, server, connection):
        """Where everything is; returns the CPUs that make spares."""
        told = connection.call("inspect")["server"]
        making, serving = cpus_of(told["spare_cpus"]), cpus_of(told["server_cpus"])
        self.assertEqual(making | serving, ALL)
        self.assertFalse(making & serving)
        self.assertEqual(os.sched_getaffinity(server.pid), serving)
        server.wait_parked(2)
        parked = server.spares()
        for pid in parked:
            self.assertEqual(os.sched_getaffinity(pid), ALL, "a parked spare")
        for which in ("only", "never"):
            with connection.session(b"a word", spare=which) as session:
                self.assertEqual(session.recv(100), b"a word")
                pid, = (pid for pid, clone in server.clones().items() if not clone["spare"])
                self.assertEqual(pid in parked, which == "only")
                self.assertEqual(os.sched_getaffinity(pid), ALL, f"a clone that serves, {which}")
            self.assert_end(connection.read_line()["ended"], "done")
            server.wait_parked(2)
            parked = server.spares()
        return making

    def test_as_it_is(self):
        with PoolServer("echo", spares="2") as server, server.connect() as connection:
            self.check(server, connection)

    def test_as_told(self):
        for cpu in sorted(ALL)[:2]:
            with PoolServer("echo", "--spare-cpus", str(cpu), spares="2") as server:
                with server.connect() as connection:
                    self.assertEqual(self.check(server, connection), {cpu})

    def test_resets(self):
        options = ("--reset", "--spare-cpus", str(max(ALL)))
        with PoolServer("echo", *options, spares="2") as server, server.connect() as connection:
            self.check(server, connection)

    def test_while_it_is_made(self):
        """A guest that never parks is a spare in the making for as long as one looks."""
        with PoolServer("hostile", "--args", "spare=never-parks", spares="1") as server:
            with server.connect() as connection:
                making = cpus_of(connection.call("inspect")["server"]["spare_cpus"])
            pid, = wait_until(server.spares, "one is being made")
            wait_until(lambda: os.sched_getaffinity(pid) == making, "it is aside")

    def test_not_divided(self):
        for options in (("--spare-cpus", "any"), ("--reset",), ()):
            pooled = PoolServer("echo", *options, spares="2") if options else Server("echo")
            with pooled as server, server.connect() as connection:
                self.assertNotIn("spare_cpus", connection.call("inspect")["server"])
                self.assertEqual(os.sched_getaffinity(server.pid), ALL)
                for pid in server.clones():
                    self.assertEqual(os.sched_getaffinity(pid), ALL)

    def test_one_cpu(self):
        """As in a cpuset of one: nothing to divide, and it serves."""
        cpu = min(ALL)
        with PoolServer("echo", spares="2", wrapper=("taskset", "-c", str(cpu))) as server:
            with server.connect() as connection:
                self.assertNotIn("spare_cpus", connection.call("inspect")["server"])
                self.assertEqual(connection.clone(b"x")[0], b"x")


class Refused(harness.TestCase):
    def test_cpus_that_cannot_be_had(self):
        everything = ",".join(map(str, sorted(ALL)))
        for wanted in ("1023", everything, f"{min(ALL)},1023"):
            result = harness.run("serve", "--stub", harness.stub("echo"), "--socket", "unused",
                                 "--spares", "2", "--spare-cpus", wanted)
            self.assertNotEqual(result.returncode, 0, wanted)
            self.assertIn(b"--spare-cpus", result.stderr)
            self.assertIn(b"name some of those, not all", result.stderr)


if __name__ == "__main__":
    harness.main()

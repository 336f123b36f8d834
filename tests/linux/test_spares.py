#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Linux guests as spares: they stand still for long, and then serve at once, with a right clock."""

import contextlib
import os
import time

import harness_linux as linux
import harness
import images
import trouble

PARK_S = 30  # longer than what makes a kernel's watchdogs complain
STEP_S = 3600  # how far the host's wall clock is set meanwhile, where it is the lab's
SPARES = 2

linux.run_in_lab(lambda: {
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("plain", "cloud"),
})


def pool(connection):
    return connection.call("stats")["spares"]


class Spares(harness.TestCase):
    def wait_parked(self, connection):
        harness.wait_until(lambda: pool(connection)["parked"] == SPARES, "the spares are parked")

    def check_parked(self, server, connection, cpus):
        """Each spare in turn: an identity of its own, a right clock, a kernel that has noticed nothing."""
        seen = set()
        for _ in range(SPARES):
            with linux.Session(connection, spare="only") as session:
                told = linux.identity(session.answer())
                seen.add((told["clone_id"], told["machine_id"], told["hostname"]))
                error_ns = linux.clock_error_ns(session)
                log = trouble.lines_of(session.ask("exec dmesg"))
                self.assertEqual(log, [], "nothing stood still for the kernel")
            self.assertEqual(connection.read_line()["ended"]["reason"], "done")
            linux.report(f"{cpus} vCPUs, parked for {PARK_S} s: clock wrong by "
                         f"{error_ns / 1e6:.3f} ms")
        self.assertEqual(len(seen), SPARES, "each has an identity of its own")
        self.wait_parked(connection)
        self.assertEqual(server.stats()["spares"]["claims"], SPARES)

    def test_long_parks(self):
        with contextlib.ExitStack() as stack:
            servers = []
            for cpus in (1, 2):
                server = stack.enter_context(
                    linux.LinuxServer("kernel", "initrd", "--spares", SPARES, cpus=cpus))
                connection = stack.enter_context(server.connect())
                self.wait_parked(connection)
                servers.append((server, connection, cpus))
            parked = time.monotonic()
            if os.environ.get("FORKVM_INSIDE_LAB"):
                time.clock_settime(time.CLOCK_REALTIME, time.time() + STEP_S)
            time.sleep(max(0, parked + PARK_S - time.monotonic()))  # it is the wait that counts
            for server, connection, cpus in servers:
                with self.subTest(cpus=cpus):
                    self.check_parked(server, connection, cpus)


if __name__ == "__main__":
    harness.main()

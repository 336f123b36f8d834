#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The working set: what the first clones wrote is copied beforehand for all that follow."""

import harness
from harness import Server

PAGES = 200
LEARNERS = 3


def request(pages=PAGES, seed=0):
    return f"pages={pages} seed={seed}".encode()


def working_set(server):
    with server.connect() as connection:
        return connection.call("inspect")["template"]["working_set_pages"]


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


class WorkingSet(harness.TestCase):
    def learn(self, server, requests):
        with server.connect() as connection:
            for asked in requests:
                answer, end = connection.clone(asked)
                self.assertIn(b"ok", answer)
                self.assert_end(end, "done")

    def private_when_idle(self, server):
        """Of a clone that was asked to write one page."""
        with server.connect() as connection:
            session = connection.session(request(pages=1))
            self.assertIn(b"ok", session.recv(1 << 16))
            (pid,) = server.clones()
            private = private_kib(pid)
            session.close()
        server.wait_quiet()
        return private

    def test_is_learnt_and_used(self):
        with Server("dirty", "--args", "region=8") as server:
            before = self.private_when_idle(server)
            self.assertEqual(working_set(server), 0)
            # That one was asked, too; the others write the same pages, more or less.
            self.learn(server, [request()] * (LEARNERS - 2))
            self.assertEqual(working_set(server), 0)
        with Server("dirty", "--args", "region=8") as server:
            self.learn(server, [request()] * LEARNERS)
            learnt = working_set(server)
            self.assertGreaterEqual(learnt, PAGES)
            self.assertLess(learnt, PAGES + 100)
            self.assertIn("working set: %d pages" % learnt, server.log())
            # Copied without having been touched; and every page still reads as it should.
            self.assertGreaterEqual(self.private_when_idle(server), before + 4 * (PAGES - 50))
            self.learn(server, [request(seed=seed) for seed in range(1, 20)])

    def test_only_what_all_have_in_common(self):
        with Server("dirty", "--args", "region=8", "--working-set", "on") as server:
            self.learn(server, [request(), request(), request(pages=1)])
            self.assertLess(working_set(server), 50)

    def test_too_small_to_pay(self):
        with Server("hello") as server:
            self.learn(server, [b""] * (LEARNERS + 1))
            self.assertEqual(working_set(server), 0)

    def test_switched_off(self):
        with Server("dirty", "--args", "region=8", "--working-set", "off") as server:
            self.learn(server, [request()] * (LEARNERS + 1))
            self.assertEqual(working_set(server), 0)

    def test_several_vcpus(self):
        with Server("smp", "--cpus", 2, "--working-set", "on") as server:
            self.learn(server, [b""] * (LEARNERS + 5))
            self.assertGreater(working_set(server), 0)


if __name__ == "__main__":
    harness.main()

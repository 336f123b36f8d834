#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The hostile stub: each misuse ends as it says it must, and harms nobody else."""

import harness
import hostile
from harness import Server, run, stub

SIZE = 1 << 16
# What the server may say before a template point, by the stub's word for the end.
BOOT_MESSAGES = {
    "guest-error": "ended before its template point (guest-error: ",
    "done": "ended before its template point (done",
    "shutdown": "ended before its template point (shutdown",
    "timeout": "did not reach its template point within 300 ms",
}


class Hostile(harness.TestCase):
    ops = {}

    @classmethod
    def setUpClass(cls):
        cls.ops = hostile.list_ops()

    def survive(self, connection, op):
        """The VM answers that it is well, and the next request, too."""
        session = connection.session(f"op={op}".encode())
        answer = session.recv(SIZE)
        self.assertTrue(answer.startswith(b"ok"), answer)
        session.send(b"op=none-such")
        self.assertEqual(session.recv(SIZE), b"FAIL unknown op\n")
        session.send(b"op=list")
        self.assertIn(b"triple-fault:", session.recv(SIZE))
        session.close()
        end = connection.read_line()["ended"]
        self.assert_end(end, "done")

    def end(self, connection, op, reason):
        answer, end = connection.clone(f"op={op}".encode(), timeout_ms=hostile.time_limit(connection, reason))
        self.assertIn(end["reason"], hostile.right_ends(connection, reason), end)
        if reason == "any":
            return
        self.assertNotIn(b"FAIL", answer)
        if end["reason"] == "guest-error":
            self.assertTrue(end["error"], end)

    def all_ops(self, *options):
        ops = hostile.misuses_of(self.ops)
        self.assertGreater(len(ops), 30)
        with Server("hostile", *options) as server:
            victim = server.connect()
            parked = victim.session(b"op=list")
            parked.recv(SIZE)
            for op, reason in ops.items():
                with self.subTest(op=op), server.connect() as connection:
                    if reason == "ok":
                        self.survive(connection, op)
                    else:
                        self.end(connection, op, reason)
                    server.check_serving()
            # A clone that was alive all the time has noticed nothing.
            parked.send(b"op=list")
            self.assertIn(b"triple-fault:", parked.recv(SIZE))
            parked.close()
            self.assert_end(victim.read_line()["ended"], "done")
            victim.close()
            server.wait_quiet()

    def test_in_a_clone(self):
        self.all_ops("--slots", "populated")

    def test_in_a_clone_with_all_memory_registered(self):
        self.all_ops("--slots", "all")

    def test_in_a_clone_with_ram_above_4_gib(self):
        self.all_ops("--mem", "5G")

    def test_all_at_once(self):
        """Every misuse at the same time, several times over, in one server."""
        names = list(hostile.misuses_of(self.ops)) * 3
        with Server("hostile") as server:
            with server.connect() as connection:
                limits = {reason: hostile.time_limit(connection, reason)
                          for reason in set(self.ops.values())}
                clones = [connection.start(f"op={op}".encode(),
                                           timeout_ms=limits[self.ops[op]])
                          for op in names]
                for clone in clones:
                    clone.read_answer()
                ends = {}
                for _ in clones:
                    message = connection.read_line()
                    ends[message["tag"]] = message["ended"]
                for clone, op in zip(clones, names):
                    reason = self.ops[op]
                    if reason != "ok":
                        self.assertIn(ends[clone.tag]["reason"],
                                      hostile.right_ends(connection, reason),
                                      (op, ends[clone.tag]))
            server.wait_quiet()
            server.check_serving()

    def test_before_the_template_point(self):
        boots = {op[5:]: end for op, end in self.ops.items() if op.startswith("boot/")}
        self.assertGreater(len(boots), 30)
        for boot, reason in boots.items():
            with self.subTest(boot=boot):
                if reason == "ok":
                    with Server("hostile", "--args", f"boot={boot}") as server:
                        server.check_serving()
                    continue
                result = run("serve", "--stub", stub("hostile"), "--args", f"boot={boot}",
                             "--socket", "/tmp/forkvm-it-hostile.sock", "--boot-timeout",
                             "300ms" if reason == "timeout" else "60s")
                self.assertEqual(result.returncode, 1, result)
                self.assertIn(BOOT_MESSAGES[reason], result.stderr.decode())


if __name__ == "__main__":
    harness.main()

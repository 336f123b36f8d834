#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reset in place: clones that serve again and again, each time as if they had just been made."""

import os
import signal
import time

import harness
from harness import run, stub, wait_until
from spares import PoolServer, words


EMULATED = "FORKVM_INSIDE_LAB" in os.environ


class ResetServer(PoolServer):
    """One that resets its spares; by default there is one, so that it is it that serves."""

    def __init__(self, name, *options, spares="1", **more):
        super().__init__(name, "--reset", *options, spares=spares, **more)

    def resets(self):
        pool = self.pool()
        return pool["resets_quick"] + pool["resets_thorough"]


class Reset(harness.TestCase):
    def test_a_new_clone_each_time(self):
        with ResetServer("unique") as server, server.connect() as connection:
            server.wait_parked(1)
            seen = {"clone": set(), "generation": set(), "draws": set()}
            pids = set()
            for _ in range(200):
                server.wait_parked(1)
                answer, end = connection.clone(b"draws=2", spare="only")
                self.assert_end(end, "done")
                pids.add(end["pid"])
                told = words(answer)
                self.assertEqual(int(told["clone"]), end["id"])
                self.assertEqual(int(told["seq"]), 1)
                for key, values in seen.items():
                    self.assertNotIn(told[key], values, key)
                    values.add(told[key])
            # While one serves for some time, another one is made.
            self.assertLess(len(pids), 20)
            self.assertGreater(server.resets(), 150)

    def test_everything_is_as_it_was(self):
        """Ten thousand lives of a guest that dirties all it can, each compared with the template."""
        with ResetServer("dirty", "--reset-check", "--reset-max", "100000", "--args", "region=2",
                         "--mem", "64") as server, server.connect() as connection:
            server.wait_parked(1)
            count = 1000 if server.is_instrumented else 10000
            if EMULATED:
                count = 100  # and all of RAM is compared: an older kernel, no PAGEMAP_SCAN
            for i in range(count):
                request = f"pages={i % 60} check={i % 50} seed={i} hole={i % 3}".encode()
                if i % 200 == 199:
                    request = b"pages=512 check=512"
                answer, end = connection.clone(request)
                self.assert_end(end, "done")
                self.assertEqual(answer[:2], b"ok", answer)
                self.assertIn(b" again=0 ", answer)
            pool = server.pool()
            self.assertEqual(pool["lost"]["died"], 0)
            # Only such a KVM has everything privileged leave the guest, and so counts it.
            if connection.call("inspect")["host"]["kvm_module"] == "kvm_pvm":
                self.assertGreater(pool["resets_quick"], 0)
            else:
                self.assertEqual(pool["resets_quick"], 0)
            self.assertGreater(pool["resets_thorough"], count // 2)

    def test_every_register(self):
        device = b"op=random bytes=32 segments=2"
        for name, request, options in (
                ("regs", b"", ()), ("fpu", b"", ()), ("clock", b"", ()), ("echo", b"ok", ()),
                ("virtio", device, ("--rng",)), ("virtio", device, ("--rng", "--irqchip"))):
            with self.subTest(stub=name, options=options), ResetServer(name, "--reset-check", *options) as server:
                lives = 10 if EMULATED else 50
                with server.connect() as connection:
                    for _ in range(lives):
                        server.wait_parked(1)
                        answer, end = connection.clone(request, spare="only")
                        self.assert_end(end, "done")
                        self.assertEqual(answer[:2], b"ok", answer)
                self.assertGreater(server.resets(), lives * 3 // 5)
                self.assertEqual(server.pool()["lost"]["died"], 0)

    def test_sessions_and_consoles_are_fresh(self):
        with ResetServer("echo") as server, server.connect() as connection:
            for i in range(5):
                server.wait_parked(1)
                session = connection.session(b"first", spare="only")
                self.assertEqual(session.recv(1 << 16), b"first")
                session.send(b"second")
                self.assertEqual(session.recv(1 << 16), b"second")
                session.close()
                self.assert_end(connection.read_line()["ended"], "done")
                server.wait_parked(1)
                # The end of the answer is seen: nobody has kept the pipe.
                answer, _ = connection.clone(f"pipe {i}".encode(), spare="only")
                self.assertEqual(answer, f"pipe {i}".encode())
            self.assertGreater(server.resets(), 0)
            held = [harness.count_fds(pid) for pid in server.spares()]
            self.assertLessEqual(max(held) - min(held), 0)

    def test_not_too_often(self):
        with ResetServer("hello", "--reset-max", "3") as server, server.connect() as connection:
            pids = []
            for _ in range(40):
                server.wait_parked(1)
                pids.append(connection.clone(spare="only")[1]["pid"])
            self.assertEqual(max(map(pids.count, pids)), 4)

    def test_only_after_a_good_end(self):
        for name, request, reason in (("hostile", b"op=ready-too-long", "guest-error"),
                                      ("crash", b"", "guest-error"),
                                      ("hostile", b"op=halt", "shutdown")):
            with self.subTest(request=request), ResetServer(name) as server:
                server.wait_parked(1)
                with server.connect() as connection:
                    first = set(server.spares())
                    self.assert_end(connection.clone(request, spare="only")[1], reason)
                    server.wait_parked(1)
                    self.assertFalse(first & set(server.spares()))
                self.assertEqual(server.resets(), 0)

    def test_killed_in_any_life(self):
        with ResetServer("spin", spares="1") as server, server.connect() as connection:
            server.wait_parked(1)
            connection.start(spare="only")
            wait_until(lambda: server.stats()["clones"]["live"] == 1, "it serves")
            self.assertEqual(connection.call("kill", all=True), {"killed": 1})
            self.assert_end(connection.read_line()["ended"], "killed")
            server.wait_parked(1)

    def test_dies_while_it_is_a_spare_again(self):
        with ResetServer("echo") as server, server.connect() as connection:
            server.wait_parked(1)
            connection.clone(b"x", spare="only")
            wait_until(lambda: server.pool()["parked"] == 1, "it has come back")
            pid, = server.spares()
            os.kill(pid, signal.SIGKILL)
            self.assertEqual(connection.clone(b"y")[0], b"y")
            # It was found dead, or its claim was.
            wait_until(lambda: server.pool()["lost"]["died"] + server.pool()["resent"] == 1,
                       "it is gone")

    def test_the_list_stays_in_order(self):
        with ResetServer("echo", spares="3") as server, server.connect() as connection:
            server.wait_parked(3)
            for i in range(20):
                connection.clone(b"x")
                ids = [clone["id"] for clone in connection.call("list")["clones"]]
                self.assertEqual(ids, sorted(set(ids)))

    def test_options(self):
        for options, text in ((("--reset",), "--spares"),
                              (("--spares", "1", "--reset-check"), "--reset"),
                              (("--spares", "1", "--reset", "--cpus", "2"), "several vCPUs")):
            result = run("serve", "--stub", stub("hello"), "--socket", "/tmp/forkvm-it-reset.sock",
                         *options)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(text, result.stderr.decode())


class Tenants(harness.TestCase):
    def test_never_share_one(self):
        """Every process serves one tenant, or those who name none."""
        with ResetServer("unique", spares="4") as server, server.connect() as connection:
            server.wait_parked(4)
            tenants = {}
            for i in range(300):
                name = ("", "a", "b", "a b", "b")[i % 5]
                members = {"tenant": name} if name else {}
                end = connection.clone(**members)[1]
                self.assert_end(end, "done")
                self.assertEqual(tenants.setdefault(end["pid"], name), name)
            self.assertGreater(server.resets(), 20)
            self.assertEqual(set(tenants.values()), {"", "a", "b", "a b"})

    def test_others_make_room(self):
        """One tenant's spares do not keep another from having some."""
        with ResetServer("hello", spares="2") as server, server.connect() as connection:
            server.wait_parked(2)

            def displaced():
                # Those that were another's: but a new one may have come just then.
                for _ in range(20):
                    connection.clone(tenant="first")
                wait_until(lambda: server.pool()["parked"] == 2, "they have come back")
                if server.pool()["lost"]["tenant"]:
                    time.sleep(0.11)  # a server that has made room does so again after 0.1 s
                claimed = 0
                for _ in range(20):
                    # Both: one alone may be the other's, with that in its place still being made.
                    server.wait_parked(2)
                    claimed += "claim" in connection.clone(tenant="second")[1]["stages"]
                self.assertGreater(claimed, 5)
                return server.pool()["lost"]["tenant"] > 0
            wait_until(displaced, "one has made room")

    def test_who_asks_much_takes_little(self):
        """A flood of one tenant's requests costs the other some of its spares, not all at once."""
        with ResetServer("echo", "--max-clones", "16", spares="16") as server, \
                server.connect() as connection:
            server.wait_parked(16)
            sessions = [connection.session(b"x", spare="only", tenant="first") for _ in range(16)]
            for session in sessions:
                self.assertEqual(session.recv(100), b"x")
            for session in sessions:
                session.close()
            for _ in sessions:
                self.assert_end(connection.read_line()["ended"], "done")
            server.wait_parked(16)
            before, begun = server.pool()["lost"]["tenant"], time.monotonic()
            for _ in range(300):
                connection.clone(spare="only", tenant="second")
            lost = server.pool()["lost"]["tenant"] - before
            self.assertLessEqual(lost, 1 + (time.monotonic() - begun) / 0.1)
            self.assertGreaterEqual(lost, 1)

    def test_names(self):
        with ResetServer("hello") as server, server.connect() as connection:
            for bad in ("", "x" * 65, "\n", "ü", 7, None):
                reply = connection.clone(tenant=bad)[1]
                self.assertEqual(reply["error"]["code"], "EINVAL", reply)
            self.assert_end(connection.clone(tenant="x" * 64)[1], "done")


if __name__ == "__main__":
    harness.main()

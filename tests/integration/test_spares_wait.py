#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Requests that wait for a spare ("spare": "wait")."""

import harness
from harness import Server, wait_until
from spares import PoolServer

MOST = 32  # that may wait


class Waiting(harness.TestCase):
    def wait_waiting(self, server, count):
        wait_until(lambda: server.pool()["waiting"] == count, f"{count} requests wait")

    def test_served_in_order(self):
        """One place, taken by a session: who waits meanwhile is served after it, one by one."""
        for options in ((), ("--reset",)):
            with self.subTest(options=options), \
                    PoolServer("echo", "--max-clones", "1", *options, spares="1") as server, \
                    server.connect() as connection:
                server.wait_parked(1)
                session = connection.session(b"first", spare="wait")
                self.assertEqual(session.recv(100), b"first")
                clones = [connection.start(b"%d" % i, spare="wait") for i in range(5)]
                self.wait_waiting(server, 5)
                session.close()
                self.assert_end(connection.read_line()["ended"], "done")
                for i, clone in enumerate(clones):
                    self.assertEqual(clone.read_answer(), b"%d" % i)
                    end = clone.wait_end()
                    self.assert_end(end, "done")
                    self.assertIn("claim", end["stages"])
                self.assertEqual(server.pool()["waiting"], 0)

    def test_the_last_of_its_lives(self):
        """Those that wait are served beyond the end of a process that was reset often enough."""
        with PoolServer("echo", "--max-clones", "1", "--reset", "--reset-max", "2",
                        spares="1") as server, server.connect() as connection:
            server.wait_parked(1)
            clones = [connection.start(b"%d" % i, spare="wait") for i in range(12)]
            pids = []
            for i, clone in enumerate(clones):
                self.assertEqual(clone.read_answer(), b"%d" % i)
                pids.append(clone.wait_end()["pid"])
            self.assertEqual([pids.count(pid) for pid in dict.fromkeys(pids)], [3] * 4)

    def test_tenants(self):
        """Another tenant's spare does not do, and makes way."""
        with PoolServer("echo", "--max-clones", "1", "--reset", spares="1") as server, \
                server.connect() as connection:
            server.wait_parked(1)
            session = connection.session(b"first", spare="wait", tenant="a")
            self.assertEqual(session.recv(100), b"first")
            clones = [connection.start(b"x", spare="wait", tenant=name) for name in "ab"]
            self.wait_waiting(server, 2)
            session.close()
            pids = [connection.read_line()["ended"]["pid"]]
            for clone in clones:
                self.assertEqual(clone.read_answer(), b"x")
                pids.append(clone.wait_end()["pid"])
            self.assertEqual(pids[0], pids[1])
            self.assertNotEqual(pids[1], pids[2])
            wait_until(lambda: server.pool()["lost"]["tenant"] == 1, "it is gone")

    def test_who_leaves_waits_no_more(self):
        with PoolServer("spin", "--max-clones", "1", spares="1") as server, \
                server.connect() as connection:
            server.wait_parked(1)
            connection.start(spare="wait")
            wait_until(lambda: server.stats()["clones"]["live"] == 1, "it serves")
            held = harness.count_fds(server.pid)
            with server.connect() as leaving:
                clones = [leaving.start(spare="wait", detach=i == 1) for i in range(3)]
                self.wait_waiting(server, 3)
            for clone in clones:
                self.assertEqual(clone.read_answer(), b"")
            self.wait_waiting(server, 0)
            wait_until(lambda: harness.count_fds(server.pid) <= held, "nothing is kept open")

    def test_too_many(self):
        with PoolServer("spin", "--max-clones", "1", spares="1") as server, \
                server.connect() as connection:
            server.wait_parked(1)
            connection.start(spare="wait")
            wait_until(lambda: server.stats()["clones"]["live"] == 1, "it serves")
            with server.connect() as others:
                for _ in range(MOST):
                    others.start(spare="wait", answer=False)
                self.wait_waiting(server, MOST)
                refused = connection.clone(spare="wait")[1]
                self.assertEqual(refused["error"]["code"], "EAGAIN", refused)

    def test_the_server_stops(self):
        with PoolServer("spin", "--max-clones", "1", spares="1") as server, \
                server.connect() as connection:
            server.wait_parked(1)
            connection.start(spare="wait")
            wait_until(lambda: server.stats()["clones"]["live"] == 1, "it serves")
            with server.connect() as waiting:
                clone = waiting.start(spare="wait")
                self.wait_waiting(server, 1)
                connection.call("stop")
                self.assertEqual(clone.wait_end()["error"]["code"], "ESHUTDOWN")
                self.assertEqual(clone.read_answer(), b"")

    def test_not_for_ever(self):
        with PoolServer("spin", "--max-clones", "1", spares="1") as server, \
                server.connect() as connection:
            server.wait_parked(1)
            connection.start(spare="wait")
            wait_until(lambda: server.stats()["clones"]["live"] == 1, "it serves")
            with server.connect() as waiting:
                clone = waiting.start(spare="wait")
                reply = clone.wait_end()
                self.assertEqual(reply["error"]["code"], "EAGAIN", reply)
                self.assertIn("within 10 s", reply["error"]["message"])
                self.assertEqual(clone.read_answer(), b"")

    def test_nothing_to_wait_for(self):
        with Server("hello") as server, server.connect() as connection:
            self.assertEqual(connection.clone(spare="wait")[1]["error"]["code"], "EOPNOTSUPP")

    def test_command_line(self):
        with PoolServer("hello") as server:
            result = server.cli("clone", "--spare", "wait", "--json")
            self.assertEqual(result.returncode, 0, result)
            self.assertIn(b'"claim"', result.stdout)


if __name__ == "__main__":
    harness.main()

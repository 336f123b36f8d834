#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A template that is still booting: what its server says meanwhile, how the boot ends, and what comes
of freezing the guest wherever it is."""

import json
import os
import signal
import time

import harness
from harness import Server, count_threads, is_alive, readable, wait_until

FAILED, UNREACHABLE = 1, 3


class Booting(harness.TestCase):
    """Servers whose template takes its time."""

    def launch(self, *options, name="slow"):
        server = Server(name, *options).launch()
        self.addCleanup(server.clean)
        self.addCleanup(server.kill)
        return server

    def waiting(self, *options, **more):
        """A server whose guest is in the middle of its setup, and a connection to it."""
        server = self.launch(*options, **more)
        wait_until(lambda: "slow: waiting" in server.log() or server.process.poll() is not None,
                   "its guest has come to where it waits")
        connection = server.connect()
        self.addCleanup(connection.close)
        return server, connection

    def assert_error(self, reply, code, *words):
        self.assertIn("error", reply)
        self.assertEqual(reply["error"]["code"], code, reply)
        for word in words:
            self.assertIn(word, reply["error"]["message"])

    # ---- What it says meanwhile ----

    def test_who_asks_is_answered(self):
        server, connection = self.waiting()
        self.assertEqual(connection.greeting["state"], "booting")
        self.assertEqual(connection.greeting["max_request"], 0)
        self.assertEqual(connection.call("hello", protocol=1), {"protocol": 1})
        self.assertEqual(connection.call("list"), {"clones": [], "more": False})
        told = connection.call("inspect")
        self.assertEqual(told["template"]["state"], "booting")
        self.assertGreaterEqual(told["template"]["booting_ms"], 0)
        self.assertEqual(told["template"]["ram_bytes"], 128 << 20)
        self.assertNotIn("populated_bytes", told["template"])
        self.assertEqual(connection.call("stats")["state"], "booting")
        self.assert_error(connection.call("inspect", id=1), "ESRCH")
        self.assertFalse(readable(server.ready_fd, 0), "it is not ready")

    def test_what_needs_a_template_is_refused(self):
        server, connection = self.waiting()
        for members in ({}, {"detach": True}, {"request": "x" * 2000}):
            self.assert_error(connection.call("clone", **members), "EINPROGRESS", "booting")
        for members in ({"all": True}, {"id": 1}):
            self.assert_error(connection.call("kill", **members), "EINPROGRESS", "booting")
        # The descriptor that came with it is closed, not kept for the next one.
        clone = connection.start()
        self.assert_error(clone.wait_end(), "EINPROGRESS")
        self.assertEqual(clone.read_answer(), b"")
        self.assertEqual(connection.call("stats")["clones"]["refused"], 4)
        result = server.cli("clone")
        self.assertEqual(result.returncode, FAILED)
        self.assertIn(b"still booting", result.stderr)

    def test_bad_clients_are_no_other_than_later(self):
        _, connection = self.waiting()
        connection.send_raw(b"nonsense\n")
        self.assert_error(connection.read_line(), "EBADMSG")
        self.assertIsNone(connection.read_line())

    def test_connections_outlive_the_boot(self):
        server, connection = self.waiting("--args", "wait=700")
        self.assert_error(connection.call("clone"), "EINPROGRESS")
        self.assertTrue(server.wait_ready(), server.log())
        answer, end = connection.clone(b"abc")
        self.assert_end(end, "done")
        self.assertEqual(answer, b"ok slow clone=1 len=3\n")
        told = connection.call("inspect")["template"]
        self.assertEqual((told["state"], told["frozen_by"]), ("frozen", "guest"))
        self.assertGreaterEqual(told["booted_us"], 700000)
        self.assertEqual(connection.call("stats")["state"], "frozen")
        with server.connect() as late:
            self.assertEqual(late.greeting["state"], "frozen")
            self.assertEqual(late.greeting["max_request"], 1024)
        if not server.is_instrumented:
            self.assertEqual(count_threads(server.pid), 1)
        connection.close()
        server.stop()

    # ---- How it ends without a template ----

    def test_stop(self):
        """By a client or a signal: at once, in order, and whoever waits is told."""
        for way in ("stop", signal.SIGTERM, signal.SIGINT):
            with self.subTest(way=way):
                server, connection = self.waiting("--cpus", 2)
                if way == "stop":
                    self.assertEqual(connection.call("stop"), {"clones": 0})
                else:
                    server.process.send_signal(way)
                self.assertEqual(server.wait(), FAILED)
                self.assertIn("interrupted", server.log())
                self.assertIsNone(connection.read_line())
                self.assertFalse(os.path.exists(server.path))
                self.assertFalse(server.wait_ready())

    def test_kill(self):
        server, connection = self.waiting("--cpus", 2)
        server.kill()
        self.assertIsNone(connection.read_line())
        self.assertEqual(server.cli("stats").returncode, UNREACHABLE)
        with Server("hello", folder=server.folder, path=server.path) as again:
            again.check_serving()

    def test_boot_timeout(self):
        server, connection = self.waiting("--boot-timeout", "700ms")
        self.assertEqual(connection.call("stats")["state"], "booting")
        self.assertEqual(server.wait(), FAILED)
        self.assertIn("did not reach its template point within 700 ms", server.log())
        self.assertIsNone(connection.read_line())

    def test_a_guest_that_ends(self):
        server = self.launch("--args", "boot=halt", name="hostile")
        self.assertEqual(server.wait(), FAILED)
        self.assertIn("the guest ended before its template point (shutdown", server.log())

    # ---- Freezing ----

    def test_freeze(self):
        """Wherever it is; its clones go on from there."""
        for cpus in (1, 2):
            with self.subTest(cpus=cpus):
                server, connection = self.waiting("--args", "wait=1500", "--cpus", cpus)
                told = connection.call("freeze", tag=7)
                self.assertGreater(told["booted_us"], 0)
                self.assertGreater(told["frozen_us"], 0)
                self.assertGreater(told["populated_bytes"], 0)
                self.assertTrue(server.wait_ready())
                self.assert_error(connection.call("freeze"), "EALREADY", "frozen already")
                told = connection.call("inspect")["template"]
                self.assertEqual(told["frozen_by"], "request")
                clones = [connection.start(b"abc") for _ in range(3)]
                answers = {clone.read_answer() for clone in clones}
                self.assertEqual(answers, {b"ok slow clone=%d len=3\n" % i for i in (1, 2, 3)})
                for _ in clones:
                    self.assert_end(connection.read_line()["ended"], "done")
                # They have waited by the host's clock, not by one that stood still.
                self.assertNotIn("slow: waited", server.log())
                connection.close()
                server.stop()

    def test_freeze_before_it_said_anything(self):
        """A guest without a mailbox: it cannot be asked, and never answers; but it is cloned."""
        server = self.launch("--args", "boot=never-booted", name="hostile")
        wait_until(lambda: os.path.exists(server.path), "it has its socket")
        connection = wait_until(lambda: self.try_connect(server), "it listens")
        self.addCleanup(connection.close)
        self.assertIn("frozen_us", connection.call("freeze"))
        self.assert_error(connection.call("clone", request="x"), "EMSGSIZE", "no requests")
        connection.send({"op": "clone", "detach": True})
        pid = connection.read_line()["started"]["pid"]
        time.sleep(0.2)  # in which it would fail, if it did
        self.assertTrue(is_alive(pid), server.log())
        self.assertEqual(connection.call("kill", all=True), {"killed": 1})
        server.wait_quiet()
        connection.close()
        server.stop()

    def try_connect(self, server):
        try:
            return server.connect()
        except ConnectionRefusedError:
            return None

    def test_freeze_by_several_at_once(self):
        server, first = self.waiting("--mem", 64)
        others = [server.connect() for _ in range(20)]
        for i, connection in enumerate(others):
            connection.send({"op": "freeze", "tag": i})
        replies = [connection.read_line() for connection in others]
        for i, reply in enumerate(replies):
            self.assertEqual(reply["tag"], i)
            if "error" in reply:
                self.assert_error(reply, "EALREADY")
            else:
                self.assertGreater(reply["ok"]["populated_bytes"], 0)
        self.assertTrue(any("ok" in reply for reply in replies))
        for connection in others:
            connection.close()
        self.assertEqual(first.call("list")["clones"], [])
        self.assertTrue(server.wait_ready())
        first.close()
        server.stop()

    def test_freeze_twice_in_one_breath(self):
        server, connection = self.waiting()
        connection.send_raw(b'{"op":"freeze","tag":1}\n{"op":"freeze","tag":2}\n')
        replies = {reply["tag"]: reply for reply in (connection.read_line(), connection.read_line())}
        self.assertIn("ok", replies[1])
        self.assertIn(replies[2]["error"]["code"], ("EBUSY", "EALREADY"))
        connection.close()
        self.assertTrue(server.wait_ready())
        server.stop()

    def test_freeze_and_leave(self):
        """Who asks and does not wait for the answer harms nobody."""
        server, connection = self.waiting("--args", "wait=1000")
        with server.connect() as rude:
            rude.send({"op": "freeze"})
        self.assertTrue(server.wait_ready(), server.log())
        self.assertEqual(connection.clone()[1]["reason"], "done")
        connection.close()
        server.stop()

    def test_freeze_and_stop(self):
        """In one round: the stop counts, and whoever waits is told."""
        server, connection = self.waiting()
        connection.send_raw(b'{"op":"freeze","tag":1}\n{"op":"stop","tag":2}\n')
        replies = {}
        while reply := connection.read_line():
            replies[reply["tag"]] = reply
        self.assertIn("ok", replies[2])
        self.assertTrue("ok" in replies[1] or replies[1]["error"]["code"] == "EINTR", replies)
        self.assertIn(server.wait(), (0, FAILED))

    def test_freeze_after(self):
        server, connection = self.waiting("--args", "wait=2000", "--freeze-after", "500ms")
        self.assertTrue(server.wait_ready(), server.log())
        told = connection.call("inspect")["template"]
        self.assertEqual(told["frozen_by"], "time")
        self.assertGreaterEqual(told["booted_us"], 500000)
        self.assertEqual(connection.clone()[1]["reason"], "done")
        connection.close()
        server.stop()

    def test_freeze_of_a_frozen_one(self):
        with Server("hello", "--freeze-after", "1h") as server:
            with server.connect() as connection:
                self.assert_error(connection.call("freeze"), "EALREADY", "frozen already")
                self.assertEqual(connection.call("inspect")["template"]["frozen_by"], "guest")
            result = server.cli("freeze")
            self.assertEqual(result.returncode, FAILED)
            self.assertIn(b"frozen already", result.stderr)

    # ---- By the command line ----

    def test_the_verb(self):
        server, _ = self.waiting("--args", "wait=1000")
        result = server.cli("freeze")
        self.assertEqual(result.returncode, 0, result)
        self.assertRegex(result.stdout, rb"^frozen after [0-9.]+ s in [0-9.]+ ms; "
                                        rb"[0-9]+ KiB populated\n$")
        self.assertEqual(result.stderr, b"")
        self.assertTrue(server.wait_ready())
        self.assertEqual(server.cli("clone").returncode, 0)
        server.stop()

    def test_the_verb_with_json(self):
        server, _ = self.waiting()
        told = json.loads(server.cli("freeze", "--json", "--timeout", "1m").stdout)
        self.assertEqual(set(told), {"booted_us", "frozen_us", "populated_bytes"})
        self.assertTrue(server.wait_ready())
        server.stop()


if __name__ == "__main__":
    harness.main()

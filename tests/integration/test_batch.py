#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Batches: one message for many clones."""

import base64
import json
import os
import select
import signal
import socket
import struct

import harness
from harness import Server, run, wait_until
from spares import PoolServer, stop

OK, FAILED, MISUSED, _, CLONE = range(5)
HEADER = struct.Struct("=IIQ")


class Batch:
    """A batch under way: its connection has nothing else to say."""

    def __init__(self, connection, answer=True, **members):
        self.connection = connection
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.packets = {}  # index: (the clone's id, its answer)
        self.told = {}  # index: what became of it
        self.is_open = answer
        connection.send({"op": "clone", "tag": "b", "answer": answer, **members},
                        [theirs.fileno()] if answer else [])
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.ours.close()

    def take_packet(self):
        packet = self.ours.recv(1 << 18)
        self.is_open = bool(packet)
        if packet:
            index, zero, clone_id = HEADER.unpack_from(packet)
            assert zero == 0 and index not in self.packets, packet
            self.packets[index] = (clone_id, packet[HEADER.size:])

    def take_line(self):
        message = self.connection.read_line()
        assert message["tag"] == "b", message
        assert message["index"] not in self.told, message
        self.told[message["index"]] = message.get("ended") or message

    def take_in(self, timeout_s=0):
        """What is there of both, or comes in time: who reads one only keeps the other waiting."""
        poll = select.poll()
        poll.register(self.connection.socket, select.POLLIN)
        if self.is_open:
            poll.register(self.ours, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(timeout_s * 1000)}
        if self.ours.fileno() in ready:
            self.take_packet()
        if self.connection.socket.fileno() in ready:
            self.take_line()
        while b"\n" in self.connection.buffer:
            self.take_line()
        return bool(ready)

    def ends(self, count):
        """What became of so many of its clones, by index: each told once."""
        while len(self.told) < count:
            assert self.take_in(harness.DEADLINE_S), f"{len(self.told)} of {count} ends"
        return self.told

    def answers(self):
        """All packets up to the end of the socket: {index: (id, bytes)}."""
        self.ours.settimeout(harness.DEADLINE_S)
        while self.is_open:
            self.take_packet()
        return self.packets


class Batches(harness.TestCase):
    def all_done(self, ends):
        for end in ends.values():
            self.assert_end(end, "done")

    def check_echo(self, server, count, **members):
        words = [f"word {i}" for i in range(count)]
        with server.connect() as connection, Batch(connection, requests=words, **members) as batch:
            ends = batch.ends(count)
            answers = batch.answers()
        self.all_done(ends)
        self.assertEqual([answers[i] for i in range(count)],
                         [(ends[i]["id"], words[i].encode()) for i in range(count)])
        self.assertEqual(len({end["id"] for end in ends.values()}), count)

    def test_each_its_own_request(self):
        with Server("echo", "--max-clones", "64") as server:
            self.check_echo(server, 300)
            self.check_echo(server, 1)
            words = [base64.b64encode(bytes([i] * i)).decode() for i in range(1, 100)]
            with server.connect() as connection, Batch(connection, requests_b64=words) as batch:
                self.all_done(batch.ends(99))
                self.assertEqual({answer for _, answer in batch.answers().values()},
                                 {bytes([i] * i) for i in range(1, 100)})

    def test_by_count(self):
        with Server("echo") as server, server.connect() as connection:
            with Batch(connection, count=50, request="same") as batch:
                self.all_done(batch.ends(50))
                answers = batch.answers()
            self.assertEqual({answer for _, answer in answers.values()}, {b"same"})
            self.assertEqual(len(answers), 50)
            with Batch(connection, count=3, request="unheard", answer=False) as batch:
                self.all_done(batch.ends(3))

    def test_spares_serve_them(self):
        for options in ((), ("--reset",)):
            with self.subTest(options), PoolServer("echo", *options) as server:
                server.wait_parked(4)
                self.check_echo(server, 200)
                self.assertGreater(server.pool()["claims"], 3)
        # With "only", those for which there is none are refused.
        with PoolServer("echo") as server, server.connect() as connection:
            server.wait_parked(4)
            with Batch(connection, count=40, request="x", spare="only") as batch:
                ends = batch.ends(40)
            done = [end for end in ends.values() if end.get("reason") == "done"]
            refused = [end for end in ends.values() if "error" in end]
            self.assertGreaterEqual(len(done), 4)
            self.assertEqual(len(done) + len(refused), 40)
            self.assertEqual({end["error"]["code"] for end in refused} or {"EAGAIN"}, {"EAGAIN"})

    def test_spares_that_died_are_replaced(self):
        """Each claim that was not taken is sent again, as the same one of its batch."""
        with PoolServer("echo", "--spare-rate", "1") as server, server.connect() as connection:
            server.wait_parked(4)
            stopped = set(server.spares())
            stop(stopped)
            with Batch(connection, requests=["a", "b", "c"]) as batch:
                wait_until(lambda: server.pool()["claims"] == 3, "they are claimed")
                killed = 0
                while len(batch.told) < 3:
                    for pid, told in server.clones().items():
                        if pid in stopped and not told["spare"]:
                            stopped.remove(pid)
                            os.kill(pid, signal.SIGKILL)
                            killed += 1
                    batch.take_in()
                self.all_done(batch.ends(3))
                answers = batch.answers()
            self.assertEqual([answers[i][1] for i in range(3)], [b"a", b"b", b"c"])
            self.assertEqual(server.pool()["resent"], killed)
            self.assertGreaterEqual(killed, 3)

    def test_no_more_at_once_than_wanted(self):
        with Server("spin") as server, server.connect() as connection, \
                server.connect() as control:
            with Batch(connection, count=10, at_once=3):
                wait_until(lambda: control.call("stats")["clones"]["live"] == 3, "three live")
                for killed in range(1, 11):
                    victim = next(iter(control.call("list")["clones"]))["id"]
                    control.call("kill", id=victim)
                    message = connection.read_line()
                    self.assert_end(message["ended"], "killed")
                    left = min(3, 10 - killed)
                    wait_until(lambda n=left: control.call("stats")["clones"]["live"] == n,
                               f"{left} live")
                self.assertEqual(control.call("stats")["clones"]["peak"], 3)

    def test_waits_for_room_of_its_own(self):
        with Server("echo", "--max-clones", "5") as server:
            self.check_echo(server, 100)
            self.assertLessEqual(server.stats()["clones"]["peak"], 5)
            self.assertEqual(server.stats()["clones"]["refused"], 0)

    def test_refused_one_by_one_where_others_have_the_room(self):
        with Server("spin", "--max-clones", "2") as server, server.connect() as other, \
                server.connect() as connection:
            held = [other.start(), other.start()]
            wait_until(lambda: server.stats()["clones"]["live"] == 2, "it is full")
            with Batch(connection, count=30) as batch:
                ends = batch.ends(30)
            self.assertEqual({end["error"]["code"] for end in ends.values()}, {"EAGAIN"})
            self.assertEqual(server.stats()["clones"]["refused"], 30)
            for clone in held:
                clone.close()

    def test_others_get_their_turn(self):
        with Server("echo") as server, server.connect() as connection, \
                server.connect() as other:
            with Batch(connection, count=4000, at_once=64, request="x") as batch:
                for _ in range(5):
                    answer, end = other.clone(b"me too")
                    self.assert_end(end, "done")
                    self.assertEqual(answer, b"me too")
                # They were not made to wait for it.
                self.assertLess(server.stats()["clones"]["started"], 4000)
                self.all_done(batch.ends(4000))

    def test_progress_and_detach(self):
        with Server("spin") as server, server.connect() as connection:
            connection.send({"op": "clone", "tag": 5, "count": 20, "detach": True})
            started = [connection.read_line() for _ in range(20)]
            self.assertEqual({message["index"] for message in started}, set(range(20)))
            pids = {message["started"]["pid"] for message in started}
            self.assertEqual(pids, set(server.clones()))
            self.assertEqual(connection.call("kill", all=True), {"killed": 20})
            wait_until(lambda: not server.clones(), "all are gone")
        with Server("echo") as server, server.connect() as connection:
            connection.send({"op": "clone", "count": 20, "progress": True})
            messages = [connection.read_line() for _ in range(40)]
            self.assertTrue(all("tag" not in message for message in messages))
            for kind in ("started", "ended"):
                self.assertEqual({message["index"] for message in messages if kind in message},
                                 set(range(20)))

    def test_client_leaves(self):
        with Server("spin") as server, server.connect() as control:
            before = harness.count_fds(server.pid)
            for _ in range(5):
                connection = server.connect()
                with Batch(connection, count=4096, at_once=4):
                    wait_until(lambda: control.call("stats")["clones"]["live"] == 4, "some live")
                connection.close()
                wait_until(lambda: not control.call("list")["clones"], "all are gone")
            wait_until(lambda: harness.count_fds(server.pid) <= before, "nothing is left open")

    def test_client_that_does_not_read(self):
        """Its clones wait, and so do the ends that it is owed; nobody else does."""
        with Server("echo", "--max-clones", "100") as server, server.connect() as connection:
            with Batch(connection, count=4000, request="x" * 60000) as batch:
                wait_until(lambda: server.stats()["clones"]["live"] == 100,
                           "its clones wait to be read")
                with server.connect() as other:
                    self.assertEqual(other.call("hello"), {"protocol": 1})
                batch.ours.close()
                wait_until(lambda: server.stats()["clones"]["live"] < 100, "they have ended")

    def test_answers_too_large_for_a_packet(self):
        with Server("echo") as server, server.connect() as connection:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
            connection.send({"op": "clone", "answer": True, "requests": ["small", "x" * 30000]},
                            [theirs.fileno()])
            theirs.close()
            ends = {}
            for _ in range(2):
                message = connection.read_line()
                ends[message["index"]] = message["ended"]
            self.assert_end(ends[0], "done")
            self.assert_end(ends[1], "killed")
            self.assertIn("SO_SNDBUF", ends[1]["error"])
            ours.close()

    def test_misuse(self):
        def refused(code, connection, fds=(), **members):
            connection.send({"op": "clone", "tag": 1, **members}, fds)
            message = connection.read_line()
            self.assertEqual(message["error"]["code"], code, message)
            self.assertNotIn("index", message)

        with Server("hello") as server, server.connect() as connection:
            for members in ({"count": 0}, {"count": 4097}, {"count": "2"}, {"at_once": 1},
                            {"requests": []}, {"requests": "x"}, {"requests": [1]},
                            {"requests": ["x"] * 4097}, {"requests": ["x"], "count": 1},
                            {"requests": ["x"], "request": "y"}, {"requests_b64": ["*"]},
                            {"count": 2, "at_once": 1, "detach": True}):
                with self.subTest(members):
                    refused("EINVAL", connection, **members)
            refused("EMSGSIZE", connection, requests=["x" * 40000, "y" * 40000])
            refused("EBADF", connection, count=2, answer=True)
            read_end, write_end = os.pipe()
            refused("EINVAL", connection, [write_end], count=2, answer=True)
            refused("EINVAL", connection, [write_end], count=2, console=True)
            os.close(read_end)
            os.close(write_end)
            # More bytes than this guest takes, in one of them.
            limit = connection.greeting["max_request"]
            if limit < 60000:
                refused("EMSGSIZE", connection, requests=["x", "y" * (limit + 1)])
        with Server("spin") as server, server.connect() as connection:
            for _ in range(16):
                connection.send({"op": "clone", "count": 2, "at_once": 1})
            refused("EBUSY", connection, count=2)

    # ---- clone --lines ----

    def test_lines(self):
        with Server("echo") as server:
            lines = [f"line {i}" for i in range(5000)] + ["", 'a"b\\', "ä"]
            result = server.cli("clone", "--lines", "-", "--json",
                                stdin="\n".join(lines).encode())
            self.assertEqual(result.returncode, OK, result)
            told = [json.loads(line) for line in result.stdout.splitlines()]
            self.assertEqual({clone["line"]: clone["response"] for clone in told},
                             dict(enumerate(lines, 1)))
            path = os.path.join(server.folder, "lines")
            with open(path, "wb") as file:
                file.write(b"\xff\n")
            result = server.cli("clone", "--lines", path)
            self.assertRegex(result.stdout, rb"^==> line 1, clone \d+: done 0 <==\n\xff\n$")
            result = server.cli("clone", "--lines", "/dev/null")
            self.assertEqual((result.returncode, result.stdout), (OK, b""))

    def test_lines_that_fail(self):
        with Server("crash") as server:
            result = server.cli("clone", "--lines", "-", stdin=b"1\n2\n")
            self.assertEqual(result.returncode, CLONE, result)
        with Server("echo") as server:
            result = server.cli("clone", "--lines", "-", stdin=b"x" * 70000)
            self.assertEqual(result.returncode, FAILED, result)
            self.assertIn(b"line 1 ", result.stderr)
            result = server.cli("clone", "--lines", "/no/such/file")
            self.assertEqual(result.returncode, FAILED, result)
        for more in (("--count", "2"), ("--request", "x"), ("--console",)):
            result = run("clone", "--lines", "-", *more)
            self.assertEqual(result.returncode, MISUSED, result)


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that break the rules of the control protocol, or try the server's patience. Each harms
only itself: a well-behaved one is served before, meanwhile and after."""

import os
import random
import resource
import select
import socket

import harness
from harness import Connection, Server, children_of, wait_until

MAX_LINE = 131072
MAX_REQUEST = 65536


class Protocol(harness.TestCase):
    """All against one server, which must live through everything."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("echo").start()
        cls.good = cls.server.connect()

    @classmethod
    def tearDownClass(cls):
        cls.good.close()
        cls.server.stop()
        cls.server.clean()

    def setUp(self):
        self.check_good()
        self.addCleanup(self.check_good)

    def check_good(self):
        """The connection that was there all the time."""
        answer, end = self.good.clone(b"still here")
        self.assert_end(end, "done")
        self.assertEqual(answer, b"still here")

    def refuse(self, line, code, closes=False):
        """The server answers a line with an error of that code, and goes on or closes."""
        with self.server.connect() as connection:
            connection.send_raw(line + b"\n")
            reply = connection.read_line()
            self.assertIn("error", reply or {}, (line[:100], reply))
            self.assertEqual(reply["error"]["code"], code, (line[:100], reply))
            self.assertTrue(reply["error"]["message"])
            if closes:
                self.assertIsNone(connection.read_line())
            else:
                self.assertEqual(connection.call("hello", protocol=1), {"protocol": 1})
            return reply["error"]["message"]

    # ---- The greeting ----

    def test_greeting(self):
        with self.server.connect() as connection:
            self.assertEqual(connection.greeting["protocol"], 1)
            self.assertEqual(connection.greeting["pid"], self.server.pid)
            self.assertEqual(connection.greeting["max_request"], MAX_REQUEST)
            self.assertIn("forkvm", connection.greeting)

    def test_another_version(self):
        message = self.refuse(b'{"op":"hello","protocol":2}', "EPROTONOSUPPORT")
        self.assertIn("version 1", message)

    # ---- Lines that are not JSON ----

    def test_invalid_json(self):
        for line in (b"", b" ", b"hello", b"{", b"}", b'{"op":"stats"', b'{"op":"stats"}}',
                     b"{'op':'stats'}", b'{"op":stats}', b'{"op":"stats",}', b"\0", b"\xff\xfe",
                     b'{"op":"\xff"}', b'{"op":"stats"}garbage', b"GET / HTTP/1.1\r",
                     b'{"op":"\\ud800"}', b"nul", b"1e999", b'{"a":' * 20):
            with self.subTest(line=line):
                self.refuse(line, "EBADMSG", closes=True)

    def test_json_that_is_no_object(self):
        for line in (b"[]", b"1", b'"op"', b"true", b"null", b"[{}]", b'[{"op":"stats"}]'):
            with self.subTest(line=line):
                self.refuse(line, "EBADMSG", closes=True)

    def test_json_bombs(self):
        most = MAX_LINE - 1
        bombs = {
            "arrays": b"[" * most,
            "closed arrays": b"[" * (most // 2) + b"]" * (most // 2),
            "objects": b'{"a":' * (most // 5),
            "many empty arrays": b"[" + b"[]," * ((most - 10) // 3) + b"[]]",
            "many empty objects": b"[" + b"{}," * ((most - 10) // 3) + b"{}]",
            "many numbers": b"[" + b"1," * ((most - 10) // 2) + b"1]",
            "a long number": b"1" * most,
            "a long exponent": b"1e" + b"9" * (most - 2),
            "a long string": b'"' + b"a" * (most - 2) + b'"',
            "escapes": b'"' + b"\\u0041" * ((most - 2) // 6) + b'"',
            "nested in a member": b'{"op":"clone","request":' + b"[" * 10000 + b"]" * 10000 + b"}",
        }
        for name, line in bombs.items():
            with self.subTest(bomb=name), self.server.connect() as connection:
                connection.send_raw(line + b"\n")
                reply = connection.read_line()
                self.assertIn("error", reply, name)
                self.check_good()
        # As many members as fit a line, then the same members again and again.
        members = b",".join(b'"m%d":0' % i for i in range(10000))[:MAX_LINE - 100]
        members = members[:members.rindex(b",")]
        self.refuse(b'{"op":"stats",' + members + b"}", "EINVAL")
        self.refuse(b'{"op":"stats"' + b',"op":"stats"' * 100 + b"}", "EBADMSG", closes=True)

    def test_memory_after_bombs(self):
        before = self.server.stats()["memory"]["rss_kib"]
        line = b"[" + b"{}," * ((MAX_LINE - 10) // 3) + b"{}]\n"
        for _ in range(20):
            with self.server.connect() as connection:
                connection.send_raw(line)
                connection.read_line()
        after = self.server.stats()["memory"]["rss_kib"]
        if not self.server.is_instrumented:
            self.assertLess(after - before, 4096, "KiB that stay")

    # ---- Objects that are not requests ----

    def test_unknown_ops(self):
        for line in (b'{"op":"fork"}', b'{"op":""}', b'{"op":"CLONE"}', b'{"op":"clone "}',
                     b'{"op":"' + b"x" * 10000 + b'"}'):
            with self.subTest(line=line[:50]):
                self.refuse(line, "ENOSYS")

    def test_members_that_are_wrong(self):
        for line in (b"{}", b'{"tag":1}', b'{"op":1}', b'{"op":null}', b'{"op":["stats"]}',
                     b'{"op":"stats","x":1}', b'{"op":"stats","request":"x"}',
                     b'{"op":"clone","answer":1}', b'{"op":"clone","answer":"true"}',
                     b'{"op":"clone","timeout":5}', b'{"op":"clone","timeout_ms":-1}',
                     b'{"op":"clone","timeout_ms":1.5}', b'{"op":"clone","timeout_ms":"1"}',
                     b'{"op":"clone","timeout_ms":9223372036854775807}',
                     b'{"op":"clone","request":1}', b'{"op":"clone","request":["a"]}',
                     b'{"op":"clone","request_b64":"a"}', b'{"op":"clone","request_b64":"YQ"}',
                     b'{"op":"clone","request_b64":"YR=="}',
                     b'{"op":"clone","request_b64":"YQ==\\n"}',
                     b'{"op":"clone","request":"a","request_b64":"YQ=="}',
                     b'{"op":"clone","session":true}', b'{"op":"kill"}',
                     b'{"op":"kill","id":1,"all":true}', b'{"op":"kill","all":false}',
                     b'{"op":"kill","id":-1}', b'{"op":"kill","id":"1"}',
                     b'{"op":"inspect","id":1.0}', b'{"op":"list","after":-1}',
                     b'{"op":"stats","tag":""}', b'{"op":"stats","tag":1.5}',
                     b'{"op":"stats","tag":null}', b'{"op":"stats","tag":"a\\"b"}',
                     b'{"op":"stats","tag":"\\u0000"}',
                     b'{"op":"stats","tag":"' + b"x" * 65 + b'"}'):
            with self.subTest(line=line[:60]):
                self.refuse(line, "EINVAL")

    def test_numbers_beyond_64_bits(self):
        self.refuse(b'{"op":"kill","id":18446744073709551616}', "EBADMSG", closes=True)

    def test_no_such_clone(self):
        for op in (b"inspect", b"kill"):
            for number in (0, 1 << 40, (1 << 63) - 1):
                self.refuse(b'{"op":"%s","id":%d}' % (op, number), "ESRCH")

    def test_the_tag_comes_back_with_an_error(self):
        with self.server.connect() as connection:
            connection.send_raw(b'{"tag":17,"op":"clone","timeout":1}\n{"op":"nope","tag":"t"}\n')
            self.assertEqual(connection.read_line()["tag"], 17)
            self.assertEqual(connection.read_line()["tag"], "t")

    # ---- Requests and lines that are too long ----

    def test_request_of_64_kib_and_a_byte(self):
        with self.server.connect() as connection:
            for body in (b"a" * (MAX_REQUEST + 1), b"\xff" * (MAX_REQUEST + 1)):
                _, end = connection.clone(body)
                self.assertEqual(end["error"]["code"], "EMSGSIZE", end)
                self.assertIn(str(MAX_REQUEST), end["error"]["message"])
            for body in (b"a" * MAX_REQUEST, b"\xff" * MAX_REQUEST):
                answer, end = connection.clone(body)
                self.assert_end(end, "done")
                self.assertEqual(answer, body)

    def test_the_longest_line(self):
        start, end = b'{"op":"stats","tag":1', b"}"
        line = start + b" " * (MAX_LINE - 1 - len(start) - len(end)) + end
        with self.server.connect() as connection:
            connection.send_raw(line + b"\n")
            self.assertIn("ok", connection.read_line())

    def test_a_line_that_is_too_long(self):
        for size in (MAX_LINE, MAX_LINE + 1, 10 * MAX_LINE):
            with self.subTest(size=size), self.server.connect() as connection:
                try:
                    connection.send_raw(b"{" + b" " * size)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                reply = connection.read_line()
                # With more of it on its way the reset may overtake the reply.
                if reply is not None:
                    self.assertEqual(reply["error"]["code"], "EMSGSIZE", reply)
                    self.assertIsNone(connection.read_line())

    # ---- Pieces and floods ----

    def test_byte_by_byte(self):
        with self.server.connect() as connection:
            for byte in b'{"op":"hello","protocol":1}\n':
                connection.send_raw(bytes([byte]))
            self.assertEqual(connection.read_line(), {"ok": {"protocol": 1}})

    def test_many_lines_at_once(self):
        with self.server.connect() as connection:
            connection.send_raw(b'{"op":"hello"}\n' * 5000)
            for _ in range(5000):
                self.assertEqual(connection.read_line(), {"ok": {"protocol": 1}})

    def test_half_a_line_and_silence(self):
        """Closed after a while, with a word; meanwhile nobody waits for it."""
        with self.server.connect() as silent, self.server.connect() as busy:
            # One that always has half a line there, but never the same for long.
            busy.send_raw(b'{"op":"he')
            self.check_good()
            silent.send_raw(b'{"op":"cl')
            for _ in range(10):
                self.check_good()
            while not harness.readable(silent.socket.fileno(), 0.5):
                busy.send_raw(b'llo"}\n{"op":"he')
                self.assertEqual(busy.read_line(), {"ok": {"protocol": 1}})
            busy.send_raw(b'llo"}\n')
            self.assertEqual(busy.read_line(), {"ok": {"protocol": 1}})
            reply = silent.read_line()
            self.assertEqual(reply["error"]["code"], "ETIMEDOUT", reply)
            self.assertIsNone(silent.read_line())

    def test_half_a_line_and_gone(self):
        for data in (b"{", b'{"op":"clone","request":"' + b"a" * 60000):
            connection = self.server.connect()
            connection.send_raw(data)
            connection.close()

    def test_nothing_at_all(self):
        quiet = [self.server.connect() for _ in range(20)]
        self.check_good()
        for connection in quiet:
            connection.close()

    def test_gone_before_the_greeting(self):
        for _ in range(200):
            self.server.connect(greet=False).close()

    def test_gone_before_the_reply(self):
        for _ in range(50):
            connection = self.server.connect()
            connection.send_raw(b'{"op":"stats"}\n{"op":"list"}\n{"op":"clone"}\n')
            connection.close()
        self.server.wait_quiet()

    def test_a_reader_that_does_not_read(self):
        """It is not listened to any more, and closed at the latest when it has too much unread;
        memory does not grow with what it asks."""
        with self.server.connect() as deaf:
            deaf.socket.setblocking(False)
            line = b'{"op":"inspect"}\n' * 1000
            sent = 0
            for _ in range(2000):
                if not select.select([], [deaf.socket], [], 0.2)[1]:
                    break
                try:
                    sent += deaf.socket.send(line)
                except (BrokenPipeError, ConnectionResetError):
                    break
                except BlockingIOError:
                    break
            self.assertLess(sent, 16 << 20, "it was listened to all the time")
            for _ in range(10):
                self.check_good()
            if not self.server.is_instrumented:
                self.assertLess(self.server.stats()["memory"]["private_kib"], 64 << 10)

    def test_a_reader_that_reads_late(self):
        """All the replies are there when it does, whole and in order."""
        with self.server.connect() as late:
            late.socket.setblocking(False)
            count = 0
            # As many as both sockets hold, and what the server keeps besides.
            while select.select([], [late.socket], [], 0.2)[1]:
                try:
                    late.send({"op": "hello", "tag": count})
                except BlockingIOError:
                    break
                count += 1
            self.check_good()
            late.socket.settimeout(harness.DEADLINE_S)
            self.assertGreater(count, 100)
            for i in range(count):
                self.assertEqual(late.read_line(), {"tag": i, "ok": {"protocol": 1}})

    # ---- Descriptors ----

    def test_descriptors_that_did_not_come(self):
        with self.server.connect() as connection:
            for members in ({"answer": True}, {"console": True},
                            {"answer": True, "console": True}):
                connection.send({"op": "clone", **members})
                reply = connection.read_line()
                self.assertEqual(reply["error"]["code"], "EBADF", reply)

    def test_descriptors_nobody_asked_for(self):
        """Dropped with their connection; at most so many may wait."""
        before = self.server.holdings(connections=1)
        with self.server.connect() as connection:
            connection.send({"op": "hello"}, [0] * 64)
            self.assertIn("ok", connection.read_line())
            connection.send({"op": "hello"}, [0])
            reply = connection.read_line()
            self.assertEqual(reply["error"]["code"], "EMFILE", reply)
        self.assertEqual(self.server.holdings(connections=1), before)

    def test_descriptors_of_a_refused_request(self):
        """They are closed, and the next request gets its own."""
        before = self.server.holdings(connections=1)
        with self.server.connect() as connection:
            read_end, write_end = os.pipe()
            for members in ({"timeout": 1}, {"request": 5}, {"request": "a" * (MAX_REQUEST + 1)}):
                connection.send({"op": "clone", "answer": True, **members}, [write_end])
                self.assertIn("error", connection.read_line())
            connection.send({"op": "nonsense", "answer": True}, [write_end])
            self.assertIn("error", connection.read_line())
            os.close(write_end)
            self.assertEqual(os.read(read_end, 1), b"", "nobody has the other end")
            os.close(read_end)
            answer, _ = connection.clone(b"mine")
            self.assertEqual(answer, b"mine")
        self.assertEqual(self.server.holdings(connections=1), before)

    def test_the_servers_own_socket_as_a_descriptor(self):
        """A connection to the server, handed to the server: odd, and nobody's loss."""
        with self.server.connect() as connection, self.server.connect() as other:
            connection.send({"op": "clone", "answer": True, "request": '{"op":"stats"}\n'},
                            [other.socket.fileno()])
            self.assertEqual(connection.read_line()["ended"]["reason"], "done")
            self.assertIn("ok", other.read_line(), "the guest's answer was a request")

    def test_noise(self):
        """Whatever bytes: an error or nothing, never the end of the server."""
        rng = random.Random(5)
        words = [b"{", b"}", b"[", b'"op"', b":", b'"clone"', b'"answer":true', b",", b"\n", b"\0",
                 b'"request":"', b"\\u", b"1", b"\xf0\x9f", b" ", b'"']
        for _ in range(300):
            with self.server.connect() as connection:
                data = b"".join(rng.choice(words) for _ in range(rng.randrange(200)))
                fds = [0] * rng.randrange(3)
                try:
                    connection.send_raw(data + b"\n", fds)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                connection.socket.shutdown(socket.SHUT_WR)
                while connection.read_line() is not None:
                    pass


class Crowds(harness.TestCase):
    def test_10000_connections(self):
        """One after another without closing: the idle ones make room, each is told, and whoever
        works with the server is served all the time."""
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        most = min(10000, limits[1] - 100)
        with Server("hello", "--max-connections", 500) as server:
            busy = server.connect()
            crowd = []
            for i in range(most):
                crowd.append(Connection(server.path))
                if i % 100 == 0:
                    busy.clone()
            stats = server.stats()["connections"]
            self.assertLessEqual(stats["open"], 500)
            self.assertGreaterEqual(stats["evicted"], most - 500)
            told = 0
            for connection in crowd[:100]:
                reply = connection.read_line()
                self.assertEqual(reply["error"]["code"], "EBUSY")
                told += 1
            self.assertEqual(told, 100)
            self.assertIn("pid", crowd[-1].call("inspect")["server"])
            server.check_serving()
            for connection in crowd:
                connection.close()
            wait_until(lambda: server.stats()["connections"]["open"] <= 2, "they are gone")
            busy.close()

    def test_connections_with_clones_are_not_evicted(self):
        with Server("spin", "--max-connections", 3) as server:
            connections = [server.connect() for _ in range(3)]
            clones = [connection.start(progress=True) for connection in connections]
            for clone in clones:
                clone.wait_started()
            with Connection(server.path, greet=False) as one_too_many:
                reply = one_too_many.read_line()
                self.assertEqual(reply["error"]["code"], "EBUSY", reply)
                self.assertIsNone(one_too_many.read_line())
            for connection, clone in zip(connections, clones):
                connection.close()
                clone.close()
            # Only then is there room for another connection.
            wait_until(lambda: len(children_of(server.pid)) <= 1, "the clones are gone")
            server.wait_quiet()

    def test_no_descriptors_for_connections(self):
        """More idle clients than the limit on open files allows: clones are made all the same."""
        with Server("hello", wrapper=["prlimit", "--nofile=400:400"]) as server:
            crowd = []
            for _ in range(500):
                crowd.append(Connection(server.path))
            self.assertIn("started", server.stats()["clones"])
            server.check_serving()
            for connection in crowd:
                connection.close()
            wait_until(lambda: server.stats()["connections"]["open"] == 1, "they are gone")
            server.check_serving()

    def test_many_clients_at_once(self):
        with Server("echo") as server:
            connections = [server.connect() for _ in range(50)]
            clones = []
            for _ in range(4):
                for i, connection in enumerate(connections):
                    clones.append((connection.start(b"%d" % i), b"%d" % i))
            for clone, body in clones:
                self.assertEqual(clone.read_answer(), body)
            for connection in connections:
                tags = {connection.read_line()["tag"] for _ in range(4)}
                self.assertEqual(tags, {1, 2, 3, 4})
                connection.close()

    def test_users_that_may_not(self):
        """Another user gets no further than being told so; an allowed one is served."""
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        for allowed, uid in ((False, 12346), (True, 12345)):
            with Server("hello", "--allow-uid", 12345) as server:
                os.chmod(server.folder, 0o755)
                pid = os.fork()
                if pid == 0:
                    try:
                        os.setgroups([])
                        os.setuid(uid)
                        line = Connection(server.path).greeting
                        os._exit(0 if ("forkvm" in line) == allowed else 1)
                    finally:
                        os._exit(2)
                self.assertEqual(os.waitpid(pid, 0)[1], 0)
                server.check_serving()


if __name__ == "__main__":
    harness.main()

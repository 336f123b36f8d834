#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every stub through a template and its clones: each clone proves itself from inside the guest."""

import os
import re
import time

import harness
from harness import Server

LARGE = 64 * 1024  # the most a request may have


def fields(answer):
    """{"name": "value"} of an answer's name=value words."""
    return dict(re.findall(rb"([a-z_0-9]+)=(\S+)", answer))


def cpu_flags():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


class Stubs(harness.TestCase):
    def ask(self, server, request=b"", count=5):
        """count clones, one after another; each must be done, and its answer start with ok."""
        answers = []
        with server.connect() as connection:
            for _ in range(count):
                answer, end = connection.clone(request)
                self.assert_end(end, "done")
                self.assertTrue(answer.startswith(b"ok"), answer)
                answers.append(answer)
        return answers

    def test_hello(self):
        with Server("hello") as server:
            answers = self.ask(server, count=20)
            self.assertEqual(answers, [b"ok hello clone=%d\n" % i for i in range(1, 21)])

    def test_echo(self):
        every_byte = bytes(range(256))
        bodies = [b"", b"x", b"\0", every_byte, "snowman \u2603".encode(), b"\n" * 100,
                  every_byte * 255, every_byte * 256, b"a" * (LARGE - 1), b"a" * LARGE]
        with Server("echo") as server, server.connect() as connection:
            for body in bodies:
                answer, end = connection.clone(body)
                self.assert_end(end, "done")
                self.assertEqual(answer, body)

    def test_echo_too_long(self):
        with Server("echo") as server, server.connect() as connection:
            _, end = connection.clone(b"a" * (LARGE + 1))
            self.assertEqual(end["error"]["code"], "EMSGSIZE", end)
            answer, end = connection.clone(b"still there")
            self.assertEqual(answer, b"still there")

    def test_request_longer_than_this_guest_takes(self):
        with Server("hello") as server, server.connect() as connection:
            most = connection.greeting["max_request"]
            self.assertLess(most, LARGE)
            _, end = connection.clone(b"a" * (most + 1))
            self.assertEqual(end["error"]["code"], "EMSGSIZE", end)
            self.assertIn(str(most), end["error"]["message"])
            _, end = connection.clone(b"a" * most)
            self.assert_end(end, "done")

    def dirty(self, *options):
        with Server("dirty", "--args", "region=8", *options) as server:
            seeds = [b"pages=200 seed=%d check=200 hole=24" % seed for seed in range(4)]
            for seed in seeds:
                for answer in self.ask(server, seed, count=3):
                    values = fields(answer)
                    self.assertEqual(int(values[b"pages"]), 200)
                    self.assertEqual(int(values[b"check"]), 200)
                    self.assertEqual(int(values[b"hole"]), 24)
            return values

    def test_dirty(self):
        for slots in ("all", "populated"):
            with self.subTest(slots=slots):
                self.dirty("--slots", slots)

    def test_dirty_above_4_gib(self):
        for slots in ("all", "populated"):
            with self.subTest(slots=slots):
                values = self.dirty("--slots", slots, "--mem", "6G")
                self.assertGreater(int(values[b"high"]), 0)

    def test_dirty_in_a_memory_file(self):
        with Server("hello") as server:  # for its folder
            path = os.path.join(server.folder, "ram")
            self.dirty("--mem-path", path)
            self.assertEqual(os.stat(path).st_size, 128 << 20)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_dirty_at_once(self):
        """Many clones that write the same pages at the same time see only their own."""
        with Server("dirty", "--args", "region=8") as server, server.connect() as connection:
            clones = [connection.start(b"pages=500 seed=7 check=500") for _ in range(24)]
            ended = {}
            for clone in clones:
                self.assertTrue(clone.read_answer().startswith(b"ok"))
            for _ in clones:
                message = connection.read_line()
                ended[message["tag"]] = message["ended"]
            for clone in clones:
                self.assert_end(ended[clone.tag], "done")

    def test_fpu(self):
        flags = cpu_flags()
        for slots in ("all", "populated"):
            with self.subTest(slots=slots), Server("fpu", "--slots", slots) as server:
                for answer in self.ask(server):
                    self.assertIn(b"x87 sse", answer)
                    if "avx" in flags:
                        self.assertIn(b" avx", answer)

    def test_clock(self):
        with Server("clock") as server:
            for answer in self.ask(server, count=20):
                values = fields(answer)
                self.assertGreaterEqual(int(values[b"tsc_forward_ns"]), 0)
                told = int(values[b"wall_clock_ns"]) / 1e9
                self.assertLess(abs(time.time() - told), harness.DEADLINE_S)

    def test_unique(self):
        with Server("unique") as server:
            answers = self.ask(server, b"draws=4", count=100)
        for name in (b"clone", b"generation", b"draws"):
            values = {fields(answer)[name] for answer in answers}
            self.assertEqual(len(values), 100, name)
        draws = [draw for answer in answers for draw in fields(answer)[b"draws"].split(b",")]
        self.assertEqual(len(set(draws)), 400)

    def test_unique_over_two_servers(self):
        """Generation ids do not repeat when a server does: they are not derived from the clone id."""
        answers = []
        for _ in range(2):
            with Server("unique") as server:
                answers += self.ask(server, count=3)
        self.assertEqual(len({fields(answer)[b"generation"] for answer in answers}), 6)

    def test_regs(self):
        for slots in ("all", "populated"):
            with self.subTest(slots=slots), Server("regs", "--slots", slots) as server:
                self.ask(server)

    def test_regs_with_irqchip(self):
        with Server("regs", "--irqchip") as server:
            self.ask(server)

    def test_smp(self):
        for cpus in (1, 2, 4):
            with self.subTest(cpus=cpus), Server("smp", "--cpus", cpus) as server:
                for answer in self.ask(server):
                    self.assertEqual(fields(answer)[b"cpus"], b"%d" % cpus)

    def test_spin_until_its_time_is_up(self):
        with Server("spin") as server, server.connect() as connection:
            answer, end = connection.clone(timeout_ms=50)
            self.assert_end(end, "timeout")
            self.assertEqual(answer, b"")
            server.wait_quiet()

    def test_crash(self):
        with Server("crash") as server, server.connect() as connection:
            for _ in range(5):
                answer, end = connection.clone()
                self.assert_end(end, "guest-error")
                self.assertIn("triple fault", end["error"])
                self.assertEqual(answer, b"")

    def test_populated(self):
        """RAM that the template filled is there in every clone."""
        with Server("dirty", "--mem", "512", "--args", "populate=256") as server:
            for answer in self.ask(server, b"pages=1000 check=20000", count=3):
                self.assertEqual(fields(answer)[b"check"], b"20000")
            with server.connect() as connection:
                info = connection.call("inspect")["template"]
            self.assertGreaterEqual(info["populated_bytes"], 256 << 20)

    def test_the_least_ram(self):
        with Server("hello", "--mem", "2M") as server:
            self.ask(server)


class Sessions(harness.TestCase):
    """A clone that is asked again and again, parked in between."""

    def end_of(self, connection):
        return connection.read_line()["ended"]

    def test_requests_in_turn(self):
        with Server("echo") as server, server.connect() as connection:
            session = connection.session(b"first")
            self.assertEqual(session.recv(LARGE), b"first")
            for body in (b"x", b"a" * 5000, bytes(range(256)) * 100, b"last"):
                session.send(body)
                self.assertEqual(session.recv(LARGE + 1), body)
            session.close()
            self.assert_end(self.end_of(connection), "done")

    def test_state_stays_between_requests(self):
        with Server("unique") as server, server.connect() as connection:
            session = connection.session(b"draws=2")
            seen = set(fields(session.recv(LARGE))[b"draws"].split(b","))
            for seq in range(2, 6):
                session.send(b"draws=2")
                values = fields(session.recv(LARGE))
                self.assertEqual(int(values[b"seq"]), seq)
                seen |= set(values[b"draws"].split(b","))
            self.assertEqual(len(seen), 10)
            session.close()
            self.assert_end(self.end_of(connection), "done")

    def test_dirty_pages_of_earlier_requests(self):
        with Server("dirty") as server, server.connect() as connection:
            session = connection.session(b"pages=20 seed=1")
            self.assertTrue(session.recv(LARGE).startswith(b"ok"))
            for seed in range(2, 5):
                session.send(b"pages=20 seed=%d" % seed)
                answer = session.recv(LARGE)
                self.assertTrue(answer.startswith(b"ok"), answer)
                self.assertGreater(int(fields(answer)[b"again"]), 0)
            session.close()
            self.assert_end(self.end_of(connection), "done")

    def test_a_request_that_is_too_long(self):
        with Server("hello") as server, server.connect() as connection:
            session = connection.session()
            session.recv(LARGE)
            session.send(b"a" * (connection.greeting["max_request"] + 1))
            end = self.end_of(connection)
            self.assert_end(end, "killed")
            self.assertIn("request of", end["error"])
            session.close()

    def test_an_empty_request_is_the_end(self):
        with Server("echo") as server, server.connect() as connection:
            session = connection.session(b"x")
            self.assertEqual(session.recv(LARGE), b"x")
            session.send(b"")
            self.assert_end(self.end_of(connection), "done")
            session.close()

    def test_only_packet_sockets_have_sessions(self):
        with Server("echo") as server, server.connect() as connection:
            read_end, write_end = os.pipe()
            connection.send({"op": "clone", "tag": 1, "answer": True, "session": True},
                            [write_end])
            reply = connection.read_line()
            self.assertEqual(reply["error"]["code"], "EINVAL", reply)
            os.close(write_end)
            self.assertEqual(os.read(read_end, 1), b"", "the server has closed its copy")
            os.close(read_end)

    def test_many_parked_clones(self):
        with Server("echo") as server, server.connect() as connection:
            sessions = [connection.session(b"%d" % i) for i in range(50)]
            for i, session in enumerate(sessions):
                self.assertEqual(session.recv(LARGE), b"%d" % i)
            for i, session in enumerate(reversed(sessions)):
                session.send(b"again %d" % i)
                self.assertEqual(session.recv(LARGE), b"again %d" % i)
            for session in sessions:
                session.close()
            for _ in sessions:
                self.assert_end(self.end_of(connection), "done")


if __name__ == "__main__":
    harness.main()

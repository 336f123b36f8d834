#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Spares: claimed by one request each, made again, given up, killed; and what a client sees of it."""

import contextlib
import os
import random
import signal
import threading
import time

import harness
import tracing
from harness import Server, wait_until
from spares import PoolServer, stop, words

SIZE = 1 << 17


class Claims(harness.TestCase):
    def test_each_serves_once_with_its_own_identity(self):
        with PoolServer("unique") as server, server.connect() as connection:
            server.wait_parked(4)
            seen = {"clone": set(), "generation": set(), "draws": set()}
            claimed = 0
            for _ in range(120):
                before = server.spares()
                answer, end = connection.clone(b"draws=2")
                self.assert_end(end, "done")
                told = words(answer)
                self.assertEqual(int(told["clone"]), end["id"])
                for key, values in seen.items():
                    self.assertNotIn(told[key], values, key)
                    values.add(told[key])
                if "claim" in end["stages"]:
                    claimed += 1
                    self.assertIn(end["pid"], before)
                    self.assertEqual(before[end["pid"]]["id"], end["id"])
            pool = server.pool()
            self.assertGreater(claimed, 60)
            self.assertEqual(pool["claims"], claimed)
            self.assertEqual(pool["misses"], 120 - claimed)
            self.assertEqual(server.stats()["clones"]["started"], 120)
            server.wait_parked(4)

    def test_parked_and_claimed_in_one_round(self):
        """The server goes to wait with a spare just made, and finds that it has parked, and a claim of
        it, in one round: what the spare was lent is closed, and nothing goes round in circles."""
        with PoolServer("echo", spares="1") as server, server.connect() as connection:
            def at_rest():
                wait_until(lambda: connection.call("stats")["spares"]["parked"] == 1, "it has parked")
                self.assertEqual(connection.call("stats")["connections"]["open"], 1)
                return harness.count_fds(server.pid)
            before = at_rest()
            for _ in range(5):
                traced = tracing.Server(server.pid)
                connection.send({"op": "clone", "request": "x"})
                spare = traced.run_until_fork()
                traced.run_until_wait()
                tracing.detach(spare)
                wait_until(lambda: tracing.is_receiving(spare), "it has parked")
                # Requests come before spares, but only 16 in a row.
                for _ in range(17):
                    connection.send({"op": "clone", "request": "y"})
                tracing.detach(server.pid)
                ends = [connection.read_line()["ended"] for _ in range(18)]
                for end in ends:
                    self.assert_end(end, "done")
                self.assertIn(spare, [end["pid"] for end in ends])
                self.assertEqual(server.process.poll(), None)
                self.assertLessEqual(at_rest(), before)

    def test_stages_and_the_time_of_day(self):
        """It was made before it was asked for, and knows what time it is now."""
        with PoolServer("unique") as server, server.connect() as connection:
            server.wait_parked(4)
            answer, end = connection.clone(spare="only")
            stages = end["stages"]
            made = ("fork", "child", "start", "vm", "memslots", "vcpus", "state", "run")
            served = ("received", "claim", "awake", "ready", "answered", "ended")
            for order in (made, served, ("run", "received")):
                self.assertEqual(sorted(order, key=stages.get), list(order), stages)
            parked_ns = stages["claim"] - stages["run"]
            _, later = connection.clone(spare="never")
            self.assertNotIn("claim", later["stages"])
            # The host's clocks: the time that it shows is not that of its making.
            made_ago_ns = time.monotonic_ns() - stages["run"]
            shown_ago_ns = time.time_ns() - int(words(answer)["wall_clock_ns"])
            self.assertLess(shown_ago_ns, made_ago_ns - parked_ns // 2)

    def test_every_size_of_request(self):
        with PoolServer("echo") as server, server.connect() as connection:
            for size in (0, 1, 4095, 4096, 4097, 60000, 65536):
                server.wait_parked(4)
                request = random.Random(size).randbytes(size)
                answer, end = connection.clone(request, spare="only")
                self.assert_end(end, "done")
                self.assertEqual(answer, request)

    def test_a_request_that_is_too_long_costs_no_spare(self):
        with PoolServer("hello") as server, server.connect() as connection:
            server.wait_parked(4)
            reply = connection.clone(b"x" * 1025)[1]
            self.assertEqual(reply["error"]["code"], "EMSGSIZE", reply)
            self.assertEqual(server.pool()["parked"], 4)

    def test_all_kinds_of_guests(self):
        for name, options, request in (
                ("smp", ("--cpus", "3"), b""), ("fpu", (), b""), ("regs", (), b""),
                ("clock", (), b""), ("dirty", ("--args", "region=4"), b"pages=64 check=64 hole=8"),
                ("virtio", ("--rng",), b"op=random bytes=32 segments=2"),
                ("hello", ("--irqchip", "--cpuid", "--mem", "5G"), b"")):
            with self.subTest(stub=name), PoolServer(name, *options) as server:
                server.wait_parked(4)
                with server.connect() as connection:
                    for _ in range(3):
                        server.wait_parked(1)
                        answer, end = connection.clone(request, spare="only")
                        self.assert_end(end, "done")
                        self.assertEqual(answer[:2], b"ok", answer)

    def test_sessions(self):
        with PoolServer("echo") as server, server.connect() as connection:
            server.wait_parked(4)
            sessions = [connection.session(f"first of {i}".encode(), spare="only")
                        for i in range(4)]
            for i, session in enumerate(sessions):
                self.assertEqual(session.recv(SIZE), f"first of {i}".encode())
                for j in range(3):
                    session.send(f"{j} of {i}".encode())
                    self.assertEqual(session.recv(SIZE), f"{j} of {i}".encode())
            for session in sessions:
                session.close()
            for _ in sessions:
                self.assert_end(connection.read_line()["ended"], "done")

    def test_the_console(self):
        with PoolServer("hostile") as server, server.connect() as connection:
            server.wait_parked(4)
            answer, answer_end = os.pipe()
            console, console_end = os.pipe()
            connection.send({"op": "clone", "tag": 1, "spare": "only", "answer": True,
                             "console": True, "request": "op=console-binary"},
                            [answer_end, console_end])
            os.close(answer_end)
            os.close(console_end)
            self.assert_end(connection.read_line()["ended"], "done")
            with os.fdopen(answer, "rb") as file:
                self.assertTrue(file.read().startswith(b"ok"))
            with os.fdopen(console, "rb") as file:
                self.assertGreater(len(file.read()), 0)

    def test_started_is_told_when_it_is_true(self):
        with PoolServer("echo") as server, server.connect() as connection:
            server.wait_parked(4)
            spares = {clone["id"]: pid for pid, clone in server.spares().items()}
            clone = connection.start(b"x", progress=True, spare="only")
            started = clone.wait_started()
            self.assertEqual(spares[started["id"]], started["pid"])
            self.assertEqual(clone.read_answer(), b"x")
            self.assertEqual(clone.wait_end()["id"], started["id"])
            detached = connection.start(b"y", detach=True, spare="only")
            # It may be one that was made meanwhile.
            self.assertNotEqual(detached.wait_started()["id"], started["id"])
            self.assertEqual(detached.read_answer(), b"y")
            self.assertEqual(server.pool()["claims"], 2)
            server.wait_served()

    def test_a_clients_leaving_ends_its_claimed_clones(self):
        with PoolServer("spin") as server:
            server.wait_parked(4)
            with server.connect() as connection:
                connection.start(spare="only")
                wait_until(lambda: server.stats()["clones"]["live"] == 1, "it is claimed")
            wait_until(lambda: server.stats()["clones"]["ended"]["killed"] == 1, "it is killed")

    def test_time_counts_from_the_claim(self):
        with PoolServer("spin", "--clone-timeout", "400ms") as server:
            server.wait_parked(4)
            with server.connect() as connection:
                first = connection.clone(spare="only")[1]
                # Those that are left have been parked for longer than that by now.
                second = connection.clone(spare="only", timeout_ms=300)[1]
            for end in (first, second):
                self.assert_end(end, "timeout")
                self.assertIn("claim", end["stages"])
            self.assertEqual(server.pool()["lost"]["died"], 0)

    def test_members(self):
        with PoolServer("hello") as server, server.connect() as connection:
            for bad in ("yes", "", True, 1, None):
                reply = connection.clone(spare=bad)[1]
                self.assertEqual(reply["error"]["code"], "EINVAL", reply)
            server.wait_parked(4)
            for spare, claimed in (("never", False), ("any", True), ("only", True)):
                end = connection.clone(spare=spare)[1]
                self.assertEqual("claim" in end["stages"], claimed, spare)
        with Server("hello") as server, server.connect() as connection:
            self.assertEqual(connection.clone(spare="only")[1]["error"]["code"], "EOPNOTSUPP")
            self.assert_end(connection.clone(spare="any")[1], "done")

    def test_without_any_left(self):
        with PoolServer("spin", "--spare-rate", "1", spares="1") as server:
            server.wait_parked(1)
            with server.connect() as connection:
                clones = [connection.start(spare="only") for _ in range(3)]
                refused = [connection.read_line() for _ in range(2)]
                for message in refused:
                    self.assertEqual(message["error"]["code"], "EAGAIN", message)
                connection.start(spare="any")
                wait_until(lambda: server.stats()["clones"]["live"] == 2, "one was made")
                for clone in clones:
                    clone.close()

    def test_command_line(self):
        with PoolServer("hello") as server:
            server.wait_parked(4)
            result = server.cli("clone", "--spare", "only", "--json")
            self.assertEqual(result.returncode, 0, result)
            self.assertIn(b'"claim"', result.stdout)
            self.assertIn(b"spare", server.cli("list").stdout)
            self.assertIn(b"claims", server.cli("stats").stdout)
            result = server.cli("clone", "--spare", "perhaps")
            self.assertEqual(result.returncode, 2, result)
            self.assertIn(b"any, never, only or wait", result.stderr)


class Upkeep(harness.TestCase):
    def test_marks(self):
        """More are kept when more are asked for at once."""
        with PoolServer("hello", spares="2:12") as server, server.connect() as connection:
            server.wait_parked(2)
            self.assertEqual(server.pool()["wanted"], 2)
            for clone in [connection.start() for _ in range(10)]:
                clone.read_answer()
                connection.read_line()
            server.wait_parked(8)
            self.assertLessEqual(server.pool()["parked"], 12)

    def test_age(self):
        with PoolServer("hello", "--spare-age", "200ms", spares="3") as server:
            server.wait_parked(3)
            first = set(server.spares())
            wait_until(lambda: not first & set(server.spares()), "all were replaced")
            pool = server.wait_parked(3)
            self.assertGreaterEqual(pool["lost"]["age"], 3)
            self.assertEqual(pool["lost"]["died"], 0)

    def test_memory(self):
        with PoolServer("hello", "--spare-memory", "4096B", spares="3") as server:
            pool = wait_until(lambda: server.pool()["lost"]["memory"] and server.pool(),
                              "one is too many")
            self.assertGreater(pool["bytes_each"], 4096)
            wait_until(lambda: not server.spares(), "and none is kept")
            server.check_serving()
            made = server.pool()["made"]
            server.check_serving()
            self.assertEqual(server.pool()["made"], made)

    def test_a_clones_own_limit_of_memory(self):
        with PoolServer("dirty", "--clone-memory", "8M", "--args", "region=32", spares="2") as server:
            server.wait_parked(2)
            with server.connect() as connection:
                session = connection.session(b"pages=4000", spare="only")
                end = connection.read_line()["ended"]
                self.assert_end(end, "out-of-memory")
                session.close()
            self.assertEqual(server.wait_parked(2)["lost"]["killed"], 0)

    def test_they_make_room(self):
        with PoolServer("spin", "--max-clones", "3", spares="3") as server:
            server.wait_parked(3)
            with server.connect() as connection:
                clones = [connection.start(spare="never") for _ in range(3)]
                wait_until(lambda: server.stats()["clones"]["live"] == 3, "all three live")
                wait_until(lambda: len(server.clones()) == 3, "and nobody else does")
                self.assertEqual(server.pool()["lost"]["room"], 3)
                refused = connection.clone(spare="never")[1]
                self.assertEqual(refused["error"]["code"], "EAGAIN", refused)
                for clone in clones:
                    clone.close()
            server.wait_parked(3)

    def test_killed_by_request(self):
        with PoolServer("spin") as server, server.connect() as connection:
            server.wait_parked(4)
            victim = next(iter(server.spares().values()))["id"]
            self.assertEqual(connection.call("kill", id=victim), {"killed": 1})
            wait_until(lambda: server.pool()["lost"]["killed"] == 1, "it is gone")
            server.wait_parked(4)
            connection.start(spare="only")
            wait_until(lambda: server.stats()["clones"]["live"] == 1, "one is claimed")
            self.assertEqual(connection.call("kill", all=True), {"killed": 1})
            self.assert_end(connection.read_line()["ended"], "killed")
            self.assertEqual(server.pool()["lost"]["killed"], 1)

    def test_nothing_is_left_of_them(self):
        with PoolServer("hello", spares="3") as server:
            server.wait_parked(3)
            before = harness.count_fds(server.pid)
            with server.connect() as connection:
                for _ in range(300):
                    self.assert_end(connection.clone()[1], "done")
            server.wait_parked(3)
            wait_until(lambda: server.pool()["making"] == 0, "the pool is at rest")
            # Before, the last spare's end of its socket may not have been closed here yet.
            wait_until(lambda: harness.count_fds(server.pid) <= before, "descriptors are as before")
            wait_until(lambda: len(harness.children_of(server.pid)) == 4, "three, and the anchor")

    def test_with_the_server(self):
        """However it ends, and whatever clones are to do: spares end with it."""
        for options in ((), ("--keep-clones",)):
            with self.subTest(options=options), PoolServer("hello", *options) as server:
                server.wait_parked(4)
                self.assertEqual(server.cli("stop").returncode, 0)
            for number in (signal.SIGTERM, signal.SIGKILL):
                with self.subTest(options=options, signal=number):
                    server = PoolServer("hello", *options)
                    server.start()
                    server.wait_parked(4)
                    spares = server.spares()
                    server.process.send_signal(number)
                    server.wait()
                    wait_until(lambda: not any(map(harness.is_alive, spares)), "they are gone")
                    server.clean()


class Trouble(harness.TestCase):
    def test_spares_are_killed_while_claims_go_on(self):
        """Nobody gets a dead one, and no request is lost."""
        with PoolServer("echo", spares="6") as server:
            server.wait_parked(6)
            enough = threading.Event()
            killed = []

            def kill_some():
                with server.connect() as watcher:
                    while not enough.is_set():
                        spares = [clone["pid"] for clone in watcher.call("list")["clones"]
                                  if clone["spare"]]
                        for pid in random.sample(spares, min(2, len(spares))):
                            try:
                                os.kill(pid, signal.SIGKILL)
                                killed.append(pid)
                            except ProcessLookupError:
                                pass

            def claim_some(number):
                with server.connect() as connection:
                    for i in range(250):
                        request = f"{number} {i}".encode()
                        answer, end = connection.clone(request)
                        if end.get("reason") == "killed" and end["pid"] in killed:
                            # It was claimed between the look and the kill: then it was a
                            # clone that somebody killed, and its client is told.
                            told.append(end)
                            continue
                        served.append((answer == request, end))

            served, told = [], []
            killer = threading.Thread(target=kill_some)
            clients = [threading.Thread(target=claim_some, args=(n,)) for n in range(3)]
            killer.start()
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            enough.set()
            killer.join()
            for right, end in served:
                self.assertTrue(right, end)
                self.assert_end(end, "done")
            self.assertEqual(len(served) + len(told), 750)
            self.assertLess(len(told), 250, "most kills hit spares")
            for end in told:
                # None was given to one that was dead before it was claimed.
                self.assertIn("claim", end["stages"])
            pool = server.pool()
            self.assertGreater(pool["claims"], 0)
            self.assertGreater(len(killed), 50)
            server.wait_parked(6)
            server.check_serving()

    def test_a_claim_that_was_not_taken_is_served_by_another(self):
        """Spares that stand still are claimed, and killed before they have looked."""
        with PoolServer("echo", "--spare-rate", "1", spares="2") as server:
            server.wait_parked(2)
            stopped, killed = set(server.spares()), 0
            stop(stopped)
            with server.connect() as connection:
                clone = connection.start(b"served all the same", progress=True)
                wait_until(lambda: server.pool()["claims"] == 1, "it is claimed")
                # The next one stands still, too, unless another has been made by then.
                while not harness.readable(clone.answer_fd, 0):
                    for pid, told in server.clones().items():
                        if pid in stopped and not told["spare"]:
                            stopped.remove(pid)
                            os.kill(pid, signal.SIGKILL)
                            killed += 1
                started = clone.wait_started()
                self.assertEqual(clone.read_answer(), b"served all the same")
                end = clone.wait_end()
                self.assert_end(end, "done")
                self.assertEqual(started["id"], end["id"])
            self.assertGreater(killed, 0)
            self.assertEqual(server.pool()["resent"], killed)
            clones = server.stats()["clones"]
            self.assertEqual(clones["ended"]["killed"], 0)
            self.assertEqual(clones["started"], 1)

    def test_a_claim_that_was_not_taken_and_a_client_that_left(self):
        with PoolServer("echo", "--spare-rate", "1", spares="1") as server:
            server.wait_parked(1)
            stop(server.spares())
            with server.connect() as connection:
                connection.start(b"x")
                wait_until(lambda: server.pool()["claims"] == 1, "it is claimed")
            wait_until(lambda: server.stats()["clones"]["live"] == 0, "it is killed")
            self.assertEqual(server.pool()["resent"], 0)
            server.check_serving()

    def test_killed_just_before_the_claim(self):
        """What is killed while it waits still wakes up to its claim, but has not taken it."""
        with PoolServer("echo") as server, server.connect() as connection:
            for i in range(60):
                server.wait_parked(2)
                for pid in server.spares():
                    with contextlib.suppress(ProcessLookupError):  # given up, and gone meanwhile
                        os.kill(pid, signal.SIGKILL)
                answer, end = connection.clone(f"{i}".encode())
                self.assert_end(end, "done")
                self.assertEqual(answer, f"{i}".encode())
            self.assertGreater(server.pool()["resent"], 0)

    def test_more_claims_than_can_be_kept(self):
        """Spares that all stand still: what cannot be sent again is not sent to them."""
        with PoolServer("echo", "--spare-rate", "20", spares="20") as server:
            server.wait_parked(20)
            stopped = set(server.spares())
            stop(stopped)
            with server.connect() as connection:
                clones = [connection.start(str(i).encode()) for i in range(20)]
                wait_until(lambda: server.stats()["clones"]["started"] == 20, "all have begun")
                self.assertEqual(server.pool()["claims"], 16)
                for pid in stopped:
                    os.kill(pid, signal.SIGKILL)
                for i, clone in enumerate(clones):
                    self.assertEqual(clone.read_answer(), str(i).encode())
                for _ in clones:
                    self.assert_end(connection.read_line()["ended"], "done")

    def test_hostile_spares(self):
        with Server("hostile") as server, server.connect() as connection:
            answer, _ = connection.clone(b"op=list")
        ways = dict(line[6:].rsplit(":", 1) for line in answer.decode().split()
                    if line.startswith("spare/"))
        self.assertGreater(len(ways), 8)
        for way, end in ways.items():
            with self.subTest(way=way), PoolServer("hostile", "--args", f"spare={way}") as server:
                if end == "ok":
                    server.wait_parked(4)
                elif end == "timeout":
                    wait_until(lambda: server.pool()["making"], "one is on its way for ever")
                else:
                    wait_until(lambda: server.pool()["lost"]["failed"], "one has come to nothing")
                with server.connect() as connection:
                    answer, told = connection.clone(b"op=console-empty")
                self.assert_end(told, "done")
                self.assertEqual("claim" in told["stages"], end == "ok")
                self.assertEqual(answer[:2], b"ok")
                # Making them is not tried over and over again.
                self.assertLess(server.pool()["made"], 100)

    def test_a_guest_that_is_frozen_somewhere_else(self):
        """It comes to its template point in the spare, and parks there."""
        with PoolServer("slow", "--args", "wait=300", "--freeze-after", "1ms") as server:
            server.wait_parked(4)
            with server.connect() as connection:
                answer, end = connection.clone(spare="only")
            self.assertEqual(answer[:7], b"ok slow", answer)
            self.assert_end(end, "done")


if __name__ == "__main__":
    harness.main()

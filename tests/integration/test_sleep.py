#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--sleep-after: sessions that wait for their next request have no VM meanwhile, and nobody notices."""

import os
import resource
import signal
import time

import disks
import harness
import hostile
from harness import Server, wait_until
from spares import PoolServer, words

SIZE = 1 << 16
AFTER = ("--sleep-after", "20ms")


def has_vm(pid):
    """Does that process have a KVM VM?"""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("anon_inode:kvm-v"):
                return True
        except FileNotFoundError:
            continue
    return False


def wait_asleep(pid):
    wait_until(lambda: not has_vm(pid), f"process {pid} sleeps")


class Sleeper:
    """A session, and the process of its clone."""

    def __init__(self, connection, request=b"", **members):
        self.connection = connection
        self.socket = connection.session(request, progress=True, **members)
        self.pid = connection.read_line()["started"]["pid"]
        self.first = self.socket.recv(SIZE)

    def ask(self, request):
        self.socket.send(request)
        return self.socket.recv(SIZE)

    def sleep(self):
        wait_asleep(self.pid)
        return self

    def end(self):
        self.socket.close()
        return self.connection.read_line()["ended"]


class Sessions(harness.TestCase):
    def go_on(self, name, request, *options):
        with Server(name, *AFTER, *options) as server, server.connect() as connection:
            sleeper = Sleeper(connection, request)
            self.assertEqual(sleeper.first[:2], b"ok", sleeper.first)
            for _ in range(4):
                sleeper.sleep()
                answer = sleeper.ask(request)
                self.assertEqual(answer[:2], b"ok", answer)
            end = sleeper.end()
            self.assert_end(end, "done")
            self.assertGreaterEqual(end["sleeps"], 4)
            self.assertNotIn("stays awake", server.log())

    def test_the_guest_goes_on(self):
        for name, request in (("echo", b"ok then"), ("unique", b"draws=2"), ("fpu", b"fpu"),
                              ("regs", b"regs"), ("clock", b"clock"),
                              ("dirty", b"pages=50 check=50 hole=9")):
            with self.subTest(stub=name):
                self.go_on(name, request)

    def test_guests_of_other_kinds(self):
        self.go_on("echo", b"ok", "--cpuid")
        self.go_on("virtio", b"op=random bytes=64 segments=3", "--rng")
        self.go_on("dirty", b"pages=50 check=50 hole=9", "--slots", "all", "--mem", "6144")

    def test_time_passes(self):
        """By both of the guest's clocks: no less than it was seen asleep, no more than in all."""
        with Server("clock", *AFTER) as server, server.connect() as connection:
            began = time.monotonic_ns()
            sleeper = Sleeper(connection).sleep()
            asleep = time.monotonic_ns()
            time.sleep(0.5)
            least = time.monotonic_ns() - asleep
            answer = words(sleeper.ask(b"and now?"))
            most = time.monotonic_ns() - began
            for clock in ("tsc_forward_ns", "kvmclock_forward_ns"):
                # The rate that the guest counts by is known to a hundredth at least.
                self.assertGreater(int(answer[clock]), least * 0.99, answer)
                self.assertLess(int(answer[clock]), most * 1.01, answer)

    def test_nobody_sleeps_without_the_option(self):
        with Server("echo") as server, server.connect() as connection:
            sleeper = Sleeper(connection, b"one")
            self.assertEqual(connection.call("inspect")["server"]["sleep_after_ms"], 0)
            self.assertTrue(has_vm(sleeper.pid))
            self.assertEqual(sleeper.ask(b"two"), b"two")
            self.assertNotIn("sleeps", sleeper.end())

    def test_who_is_asked_in_time_does_not_sleep(self):
        with Server("echo", "--sleep-after", "1h") as server, server.connect() as connection:
            sleeper = Sleeper(connection, b"one")
            for i in range(50):
                self.assertEqual(sleeper.ask(b"%d" % i), b"%d" % i)
            self.assertNotIn("sleeps", sleeper.end())
            self.assertEqual(connection.call("inspect")["server"]["sleep_after_ms"], 3600000)

    def test_many_asleep_at_once(self):
        with Server("echo", *AFTER) as server, server.connect() as connection:
            sleepers = [Sleeper(connection, b"%d" % i) for i in range(100)]
            for sleeper in sleepers:
                sleeper.sleep()
            for i, sleeper in enumerate(sleepers):
                self.assertEqual(sleeper.ask(b"again %d" % i), b"again %d" % i)
            for sleeper in sleepers:
                end = sleeper.end()
                self.assert_end(end, "done")
                self.assertGreater(end["sleeps"], 0)


class Ends(harness.TestCase):
    def test_its_client_leaves(self):
        with Server("echo", *AFTER) as server, server.connect() as connection:
            self.assert_end(Sleeper(connection, b"x").sleep().end(), "done")
            server.check_serving()

    def test_it_is_killed(self):
        with Server("echo", *AFTER) as server, server.connect() as connection:
            sleeper = Sleeper(connection, b"x").sleep()
            os.kill(sleeper.pid, signal.SIGKILL)
            self.assert_end(connection.read_line()["ended"], "killed")

    def test_its_time_is_up(self):
        with Server("echo", *AFTER) as server, server.connect() as connection:
            sleeper = Sleeper(connection, b"x", timeout_ms=5000).sleep()
            self.assert_end(connection.read_line()["ended"], "timeout")
            sleeper.socket.close()

    def test_too_large_a_request(self):
        with Server("hello", *AFTER) as server, server.connect() as connection:
            sleeper = Sleeper(connection).sleep()
            sleeper.socket.setsockopt(1, 7, 1 << 20)  # SO_SNDBUF
            sleeper.socket.send(b"x" * 70000)
            self.assert_end(connection.read_line()["ended"], "killed")
            sleeper.socket.close()

    def test_it_cannot_be_woken(self):
        with Server("echo", *AFTER) as server, server.connect() as connection:
            sleeper = Sleeper(connection, b"x").sleep()
            resource.prlimit(sleeper.pid, resource.RLIMIT_NOFILE, (0, 0))
            sleeper.socket.send(b"y")
            end = connection.read_line()["ended"]
            self.assert_end(end, "host-error")
            self.assertRegex(end["error"], "wake up for the next request: KVM_CREATE_VM: ")
            sleeper.socket.close()
            server.check_serving()

    def test_it_cannot_sleep(self):
        with Server("echo", "--sleep-after", "3s") as server:
            with server.connect() as connection:
                sleeper = Sleeper(connection, b"x")
                # One, which it has: poll(2) takes no more than this many either.
                resource.prlimit(sleeper.pid, resource.RLIMIT_NOFILE, (1, 1))
                wait_until(lambda: "stays awake: KVM_CREATE_VM: " in server.log(), "it says so")
                self.assertEqual(sleeper.ask(b"y"), b"y")
                end = sleeper.end()
                self.assert_end(end, "done")
                self.assertNotIn("sleeps", end)
            self.assertEqual(server.log().count("stays awake"), 1)

    def test_hostile_guests(self):
        """What each misuse comes to, when the guest has slept before it."""
        with Server("hostile", *AFTER) as server, server.connect() as connection:
            for op, reason in hostile.misuses_of(hostile.list_ops()).items():
                with self.subTest(op=op):
                    limit = hostile.time_limit(connection, reason)
                    sleeper = Sleeper(connection, b"op=none-such", timeout_ms=limit).sleep()
                    answer = sleeper.ask(f"op={op}".encode())
                    sleeper.socket.close()
                    end = connection.read_line()["ended"]
                    self.assertNotIn(b"FAIL", answer)
                    if reason == "ok":
                        self.assertEqual(answer[:2], b"ok", answer)
                        self.assert_end(end, "done")
                    else:
                        self.assertIn(end["reason"], hostile.right_ends(connection, reason), end)
                    # One that was killed tells nothing.
                    self.assertGreaterEqual(end.get("sleeps", 1), 1)
            server.check_serving()


class Spares(harness.TestCase):
    def test_parked_spares_stay_awake(self):
        with PoolServer("echo", *AFTER, spares="2") as server, server.connect() as connection:
            server.wait_parked(2)
            sleeper = Sleeper(connection, b"x", spare="only").sleep()
            server.wait_parked(2)
            for pid in server.spares():
                self.assertTrue(has_vm(pid))
            self.assertEqual(sleeper.ask(b"y"), b"y")
            self.assertGreater(sleeper.end()["sleeps"], 0)

    def test_who_has_slept_is_not_reset(self):
        with PoolServer("echo", "--reset", *AFTER, spares="1") as server:
            with server.connect() as connection:
                server.wait_parked(1)
                sleeper = Sleeper(connection, b"x", spare="only").sleep()
                self.assertEqual(sleeper.ask(b"y"), b"y")
                end = sleeper.end()
                self.assert_end(end, "done")
                wait_until(lambda: not harness.is_alive(sleeper.pid), "it has ended")
                for i in range(5):
                    server.wait_parked(1)
                    answer, end = connection.clone(b"%d" % i, spare="only")
                    self.assertEqual(answer, b"%d" % i)
                    self.assert_end(end, "done")
                self.assertGreater(server.pool()["resets_quick"] +
                                   server.pool()["resets_thorough"], 0)


class Disks(disks.DiskTestCase):
    def test_what_was_written_is_read(self):
        for options in ((), ("--overlay", self.overlays())):
            with self.subTest(options=options), self.serve(*AFTER, *options) as server:
                with disks.Session(server) as session:
                    for seed in range(1, 5):
                        session.do(f"op=fill count=64 seed={seed}")
                        wait_asleep(session.pid)
                        session.do(f"op=verify count=64 seed={seed}")
                        session.do("op=flush")

    def test_an_export_of_one_that_sleeps(self):
        """Twice the same bytes, and the clone goes on."""
        with self.serve(*AFTER, "--overlay", self.overlays()) as server:
            with disks.Session(server) as session:
                session.do("op=fill count=64 seed=7")
                session.do("op=flush")
                exports = []
                for name in ("first", "second"):
                    wait_asleep(session.pid)
                    result = server.cli("disk", "export", f"{session.id}:0", self.path(name))
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertFalse(has_vm(session.pid))
                    exports.append(disks.digest(self.path(name)))
                    session.do("op=verify count=64 seed=7")
                self.assertEqual(exports[0], exports[1])
                self.assertNotEqual(exports[0], disks.digest(self.image))
                self.assertGreaterEqual(session.end()["sleeps"], 2)


class Refusals(harness.TestCase):
    def refuse(self, pattern, *options):
        server = Server("echo", *options).launch()
        self.assertNotEqual(server.wait(), 0)
        self.assertRegex(server.log(), pattern)
        server.clean()

    def test_guests_that_cannot(self):
        self.refuse("--sleep-after is not possible with this guest: it has interrupt controllers",
                    *AFTER, "--irqchip")
        self.refuse("--sleep-after is not possible with this guest: it has several vCPUs",
                    *AFTER, "--cpus", "2")

    def test_no_time(self):
        self.refuse("--sleep-after takes a time", "--sleep-after", "soon")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""kill -9 of clones and of servers, at any moment: no other clone is harmed, nothing stays behind."""

import os
import random
import signal
import threading

import harness
from harness import Server, children_of, is_alive, run, stat_of, stub, wait_until


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Killer(threading.Thread):
    """Kills the server's children as it comes upon them, but for those that are safe."""

    def __init__(self, server, safe, seed):
        super().__init__()
        self.server_pid = server.pid
        self.safe = safe
        self.random = random.Random(seed)
        self.done = threading.Event()
        self.start()

    def run(self):
        while not self.done.is_set():
            for pid in fast_children(self.server_pid):
                if pid not in self.safe and self.random.random() < 0.3:
                    kill(pid)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.done.set()
        self.join()


def fast_children(pid):
    """Where the kernel tells them in one file, that: a clone may live for a millisecond."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return list(children_of(pid))


class KilledClones(harness.TestCase):
    def test_at_random_moments(self):
        """Clones are killed from before their first instruction to after their last, while
        others, parked, go on answering."""
        with Server("echo") as server, server.connect() as parked, server.connect() as connection:
            server.check_serving()
            before = server.holdings(connections=2)
            safe = server.anchor()
            sessions = [parked.session(b"x", progress=True) for _ in range(5)]
            safe |= {parked.read_line()["started"]["pid"] for _ in sessions}
            for session in sessions:
                self.assertEqual(session.recv(10), b"x")
            ends = {"done": 0, "killed": 0}
            with Killer(server, safe, seed=1):
                for i in range(150):
                    clones = [connection.start(b"victim") for _ in range(4)]
                    session = sessions[i % len(sessions)]
                    session.send(b"round %d" % i)
                    for _ in clones:
                        reason = connection.read_line()["ended"]["reason"]
                        self.assertIn(reason, ends)
                        ends[reason] += 1
                    for clone in clones:
                        self.assertIn(clone.read_answer(), (b"", b"victim"))
                    self.assertEqual(session.recv(100), b"round %d" % i)
            self.assertGreater(ends["killed"], 0, "none was: this test shows nothing")
            for session in sessions:
                session.close()
            for _ in sessions:
                self.assert_end(parked.read_line()["ended"], "done")
            self.assertEqual(server.holdings(connections=2), before)
            server.check_serving()

    def test_at_random_moments_with_several_vcpus(self):
        with Server("smp", "--cpus", 3) as server, server.connect() as connection:
            ends = {"done": 0, "killed": 0}
            with Killer(server, server.anchor(), seed=3):
                for _ in range(100):
                    answer, end = connection.clone()
                    ends[end["reason"]] += 1
                    if end["reason"] == "done":
                        self.assertTrue(answer.startswith(b"ok"), answer)
            self.assertGreater(ends["killed"], 0, "none was: this test shows nothing")
            server.wait_quiet()
            server.check_serving()

    def test_some_of_many_parked(self):
        """Half of the clones that are parked are killed; the others go on, unchanged."""
        with Server("dirty", "--args", "region=4") as server, server.connect() as connection:
            sessions = []
            for i in range(20):
                session = connection.session(b"pages=50 seed=%d" % i, progress=True)
                started = connection.read_line()["started"]
                self.assertTrue(session.recv(4096).startswith(b"ok"))
                sessions.append((session, started["pid"]))
            for _, pid in sessions[::2]:
                kill(pid)
            for _ in sessions[::2]:
                self.assert_end(connection.read_line()["ended"], "killed")
            for session, _ in sessions[1::2]:
                session.send(b"pages=50 seed=99")
                answer = session.recv(4096)
                self.assertTrue(answer.startswith(b"ok"), answer)
                self.assertIn(b"again=", answer)
            for session, _ in sessions[::2]:
                self.assertEqual(session.recv(4096), b"", "its end of the socket is closed")
            for session, _ in sessions:
                session.close()
            for _ in sessions[1::2]:
                self.assert_end(connection.read_line()["ended"], "done")
            server.wait_quiet()

    def test_a_stopped_clone(self):
        """One that is stopped holds nobody up, can be killed, and can be timed out."""
        with Server("echo") as server, server.connect() as connection:
            session = connection.session(b"x", progress=True)
            pid = connection.read_line()["started"]["pid"]
            self.assertEqual(session.recv(10), b"x")
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: stat_of(pid)[0] == "T", "it is stopped")
            for _ in range(5):
                server.check_serving()
            with server.connect() as other:
                other.call("kill", all=True)
            self.assert_end(connection.read_line()["ended"], "killed")
            session.close()
            server.wait_quiet()


class KilledAnchor(harness.TestCase):
    def test_clones_are_made_without_it(self):
        with Server("hello") as server:
            anchor = server.anchor()
            self.assertEqual(len(anchor), 1)
            for pid in anchor:
                kill(pid)
            wait_until(lambda: "anchor" in server.log().split("ready", 1)[1], "it is noticed")
            wait_until(lambda: not children_of(server.pid), "no zombie is left of it")
            for _ in range(5):
                server.check_serving()


class KilledServer(harness.TestCase):
    def test_takes_its_clones_along(self):
        server = Server("spin").start()
        connection = server.connect()
        clones = [connection.start(progress=True) for _ in range(10)]
        pids = [connection.read_line()["started"]["pid"] for _ in clones]
        with server.connect() as other:
            other.send({"op": "clone", "detach": True})
            pids.append(other.read_line()["started"]["pid"])
        everyone = list(children_of(server.pid))
        self.assertTrue(set(pids) <= set(everyone))
        server.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in everyone), "all children are gone")
        self.assertIsNone(connection.read_line())
        for clone in clones:
            self.assertEqual(clone.read_answer(), b"")
        connection.close()

        # What is left in the file system does not stand in the way of the next one.
        self.assertTrue(os.path.exists(server.path))
        with Server("hello", folder=server.folder, path=server.path) as again:
            again.check_serving()
        server.clean()

    def test_leaves_them_if_told_so(self):
        server = Server("echo", "--keep-clones").start()
        with server.connect() as connection:
            session = connection.session(b"before", progress=True, detach=True)
            pid = connection.read_line()["started"]["pid"]
            self.assertEqual(session.recv(100), b"before")
        server.kill()
        self.assertTrue(is_alive(pid))
        session.send(b"after")
        self.assertEqual(session.recv(100), b"after")

        # And they do not keep the socket or its lock from the next server.
        with Server("hello", folder=server.folder, path=server.path) as again:
            again.check_serving()
            session.send(b"still")
            self.assertEqual(session.recv(100), b"still")
        session.close()
        wait_until(lambda: not is_alive(pid), "it ends when its client leaves")
        server.clean()

    def test_stopped_in_order_with_kept_clones(self):
        with Server("echo", "--keep-clones") as server:
            with server.connect() as connection:
                session = connection.session(b"before", progress=True, detach=True)
                pid = connection.read_line()["started"]["pid"]
                self.assertEqual(session.recv(100), b"before")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)
            session.send(b"after")
            self.assertEqual(session.recv(100), b"after")
            session.close()
            wait_until(lambda: not is_alive(pid), "it ends when its client leaves")

    def test_at_random_moments(self):
        """Killed while it boots, forks, answers: the next one always starts, no clone is left."""
        rng = random.Random(2)
        server = Server("hello")
        for _ in range(8):
            server.start()
            everyone = set(children_of(server.pid))
            stop = threading.Event()

            def load():
                try:
                    with server.connect() as connection:
                        while not stop.is_set():
                            connection.clone()
                except (AssertionError, OSError):
                    pass  # it was killed

            threads = [threading.Thread(target=load) for _ in range(2)]
            for thread in threads:
                thread.start()
            wanted = rng.randrange(50)
            wait_until(lambda: server.stats()["clones"]["started"] >= wanted, "some clones")
            everyone |= set(children_of(server.pid))
            server.kill()
            stop.set()
            for thread in threads:
                thread.join()
            wait_until(lambda: not any(is_alive(pid) for pid in everyone), "nobody is left")
        server.start()
        server.check_serving()
        server.stop()
        server.clean()

    def test_before_it_is_ready(self):
        """A server that is killed or stopped while its template boots."""
        for number, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 1),
                               (signal.SIGINT, 1)):
            with self.subTest(signal=number), Server("hello") as scratch:
                path = os.path.join(scratch.folder, "other")
                process = harness.subprocess.Popen(
                    [harness.FORKVM, "serve", "--stub", stub("hostile"), "--args",
                     "boot=never-template", "--boot-timeout", "0", "--socket", path],
                    stderr=harness.subprocess.PIPE)
                wait_until(lambda: os.path.exists(path), "it has its socket")
                process.send_signal(number)
                message = process.communicate(timeout=harness.DEADLINE_S)[1].decode()
                self.assertEqual(process.returncode, status, message)
                if status == 1:
                    self.assertIn("interrupted", message)
                    self.assertFalse(os.path.exists(path))
                with Server("hello", folder=scratch.folder, path=path) as again:
                    again.check_serving()


class Stopping(harness.TestCase):
    def test_by_each_way(self):
        for way in ("SIGTERM", "SIGINT", "stop"):
            with self.subTest(way=way):
                server = Server("spin").start()
                connection = server.connect()
                clone = connection.start(progress=True)
                pid = clone.wait_started()["pid"]
                if way == "stop":
                    result = server.cli("stop")
                    self.assertEqual(result.returncode, 0, result)
                    self.assertIn(b"1 clones were alive", result.stdout)
                else:
                    server.process.send_signal(getattr(signal, way))
                end = clone.wait_end()
                self.assert_end(end, "killed")
                self.assertIn("stopped", end["error"])
                clone.close()
                self.assertEqual(server.wait(), 0)
                self.assertFalse(is_alive(pid))
                self.assertFalse(os.path.exists(server.path))
                self.assertFalse(os.path.exists(server.path + ".lock"))
                connection.close()
                server.clean()

    def test_nobody_is_served_meanwhile(self):
        with Server("hello") as server:
            connection = server.connect()
            self.assertEqual(connection.call("stop"), {"clones": 0})
            self.assertEqual(server.wait(), 0)
            connection.close()
            result = run("stats", "--socket", server.path)
            self.assertEqual(result.returncode, 3)
            self.assertIn(b"no server", result.stderr)


if __name__ == "__main__":
    harness.main()

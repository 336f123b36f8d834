#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How clones end, each with its reason, and what is left of them: nothing."""

import os
import resource
import signal
import socket

import harness
from harness import Server, is_alive, wait_until


class Ends(harness.TestCase):
    def test_done_with_status(self):
        with Server("hostile") as server, server.connect() as connection:
            _, end = connection.clone(b"op=done-maximal")
            self.assert_end(end, "done", 0xffffffff)
            self.assertNotIn("error", end)

    def test_shutdown(self):
        with Server("hostile") as server, server.connect() as connection:
            _, end = connection.clone(b"op=halt")
            self.assert_end(end, "shutdown")
            self.assertIn("halted", end["error"])

    def test_guest_error(self):
        with Server("crash") as server, server.connect() as connection:
            _, end = connection.clone()
            self.assert_end(end, "guest-error")
            self.assertIn("triple fault", end["error"])

    def test_timeout_of_the_request(self):
        with Server("spin") as server, server.connect() as connection:
            _, end = connection.clone(timeout_ms=1)
            self.assert_end(end, "timeout")
            _, end = connection.clone(timeout_ms=100)
            self.assert_end(end, "timeout")
            self.assertEqual(server.stats()["clones"]["ended"]["timeout"], 2)

    def test_timeout_of_the_server(self):
        """--clone-timeout is the default, and the most a request can have."""
        with Server("spin", "--clone-timeout", "100ms") as server:
            with server.connect() as connection:
                for members in ({}, {"timeout_ms": 0}, {"timeout_ms": 1000000000}):
                    _, end = connection.clone(**members)
                    self.assert_end(end, "timeout")

    def test_no_timeout_for_who_is_in_time(self):
        with Server("echo", "--clone-timeout", "60s") as server, server.connect() as connection:
            for _ in range(20):
                _, end = connection.clone(b"quick", timeout_ms=60000)
                self.assert_end(end, "done")

    def test_killed_on_request(self):
        with Server("spin") as server, server.connect() as connection, \
                server.connect() as other:
            clone = connection.start(progress=True)
            started = clone.wait_started()
            self.assertEqual(other.call("kill", id=started["id"]), {"killed": 1})
            end = clone.wait_end()
            self.assert_end(end, "killed")
            self.assertIn("request", end["error"])
            self.assertEqual(clone.read_answer(), b"")
            reply = other.call("kill", id=started["id"])
            self.assertEqual(reply["error"]["code"], "ESRCH")

    def test_killed_all(self):
        with Server("spin") as server, server.connect() as connection:
            clones = [connection.start() for _ in range(10)]
            wait_until(lambda: server.stats()["clones"]["live"] == 10, "all live")
            with server.connect() as other:
                self.assertEqual(other.call("kill", all=True), {"killed": 10})
            for _ in clones:
                self.assert_end(connection.read_line()["ended"], "killed")
            for clone in clones:
                clone.close()

    def test_killed_by_a_signal(self):
        with Server("spin") as server, server.connect() as connection:
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
                clone = connection.start(progress=True)
                pid = clone.wait_started()["pid"]
                os.kill(pid, number)
                end = clone.wait_end()
                self.assert_end(end, "killed")
                self.assertIn(f"({number})", end["error"])
                clone.close()

    def test_crashed(self):
        """A signal that says that forkvm itself failed: told as that."""
        with Server("spin") as server, server.connect() as connection:
            clone = connection.start(progress=True)
            os.kill(clone.wait_started()["pid"], signal.SIGSEGV)
            end = clone.wait_end()
            self.assertIn(end["reason"], ("host-error",), end)
            clone.close()

    def test_its_client_leaves(self):
        with Server("spin") as server:
            connection = server.connect()
            clone = connection.start(progress=True)
            pid = clone.wait_started()["pid"]
            connection.close()
            wait_until(lambda: not is_alive(pid), "the clone is gone")
            clone.close()
            server.wait_quiet()
            self.assertEqual(server.stats()["clones"]["ended"]["killed"], 1)

    def test_detached_clones_stay(self):
        with Server("spin") as server:
            with server.connect() as connection:
                clone = connection.start(answer=False, detach=True)
                pid = clone.wait_started()["pid"]
            self.assertTrue(is_alive(pid))
            with server.connect() as other:
                listed = other.call("list")["clones"]
                self.assertEqual([clone["pid"] for clone in listed], [pid])
                self.assertTrue(listed[0]["detached"])
                other.call("kill", all=True)
            wait_until(lambda: not is_alive(pid), "the clone is gone")
            server.wait_quiet()

    def test_a_detached_clone_answers(self):
        with Server("echo") as server:
            read_end, write_end = os.pipe()
            with server.connect() as connection:
                connection.send({"op": "clone", "detach": True, "answer": True,
                                 "request": "later"}, [write_end])
                self.assertIn("started", connection.read_line())
            os.close(write_end)
            self.assertEqual(os.read(read_end, 100), b"later")
            os.close(read_end)
            server.wait_quiet()

    def test_nobody_reads_the_answer(self):
        with Server("echo") as server, server.connect() as connection:
            read_end, write_end = os.pipe()
            os.close(read_end)
            connection.send({"op": "clone", "tag": 1, "answer": True, "request": "x"}, [write_end])
            os.close(write_end)
            end = connection.read_line()["ended"]
            self.assert_end(end, "killed")
            self.assertIn("closed the answer", end["error"])

    def test_an_answer_that_is_read_slowly(self):
        """The clone waits for its reader; nobody else does."""
        body = bytes(range(256)) * 256
        with Server("echo") as server, server.connect() as connection:
            clone = connection.start(body)
            for _ in range(20):
                server.check_serving()
            self.assertEqual(clone.read_answer(), body)
            self.assert_end(clone.wait_end(), "done")

    def test_answers_to_every_kind_of_descriptor(self):
        with Server("echo") as server, server.connect() as connection:
            body = b"z" * 5000
            path = os.path.join(server.folder, "answer")
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            connection.send({"op": "clone", "answer": True, "request": body.decode()}, [fd])
            os.close(fd)
            self.assert_end(connection.read_line()["ended"], "done")
            with open(path, "rb") as file:
                self.assertEqual(file.read(), body)

            for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
                ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
                theirs.setblocking(False)
                connection.send({"op": "clone", "answer": True, "request": body.decode()},
                                [theirs.fileno()])
                theirs.close()
                self.assert_end(connection.read_line()["ended"], "done")
                ours.settimeout(harness.DEADLINE_S)
                got = b""
                while piece := ours.recv(1 << 16):
                    got += piece
                self.assertEqual(got, body)
                ours.close()

            fd = os.open("/dev/null", os.O_RDONLY)
            connection.send({"op": "clone", "answer": True, "request": "x"}, [fd])
            os.close(fd)
            end = connection.read_line()["ended"]
            self.assertNotEqual(end["reason"], "done", "it cannot be written to")
            server.check_serving()

    def test_console(self):
        with Server("hostile") as server, server.connect() as connection:
            read_end, write_end = os.pipe()
            connection.send({"op": "clone", "console": True, "request": "op=exception"},
                            [write_end])
            os.close(write_end)
            self.assertEqual(connection.read_line()["ended"]["reason"], "done")
            self.assertIn(b"exception", os.read(read_end, 4096))
            os.close(read_end)

    def test_memory_limit(self):
        with Server("dirty", "--mem", "512", "--args", "region=256", "--clone-memory",
                    "64M") as server, server.connect() as connection:
            session = connection.session(b"pages=1000")
            self.assertTrue(session.recv(4096).startswith(b"ok"))
            session.send(b"pages=40000 check=0")
            end = connection.read_line()["ended"]
            self.assert_end(end, "out-of-memory")
            self.assertIn("--clone-memory", end["error"])
            session.close()

    def test_the_record_of_an_end(self):
        """Stages in their order, pids and ids that are plausible, a tag that comes back."""
        order = ["received", "fork", "child", "start", "vm", "populate", "memslots", "vcpus", "state", "run",
                 "ready", "answered", "ended"]
        with Server("echo") as server, server.connect() as connection:
            for tag in (0, 7, 2**63 - 1, "text", "x" * 64):
                read_end, write_end = os.pipe()
                connection.send({"op": "clone", "tag": tag, "answer": True}, [write_end])
                os.close(write_end)
                message = connection.read_line()
                os.close(read_end)
                self.assertEqual(message["tag"], tag)
                stages = message["ended"]["stages"]
                self.assertEqual(list(stages), order)
                self.assertEqual(sorted(stages.values()), list(stages.values()))


class Limits(harness.TestCase):
    def test_max_clones(self):
        with Server("spin", "--max-clones", 3) as server, server.connect() as connection:
            clones = [connection.start() for _ in range(3)]
            refused = connection.start()
            reply = refused.wait_end()
            self.assertEqual(reply["error"]["code"], "EAGAIN", reply)
            self.assertIn("--max-clones", reply["error"]["message"])
            self.assertEqual(refused.read_answer(), b"")
            with server.connect() as other:
                other.call("kill", all=True)
            for _ in clones:
                self.assert_end(connection.read_line()["ended"], "killed")
            again = connection.start(progress=True)
            again.wait_started()
            for clone in [*clones, again]:
                clone.close()

    def test_no_descriptors_left_for_a_clone(self):
        """The host refuses to fork: the client is told, and the server lives on."""
        with Server("hello") as server, server.connect() as connection:
            limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (5, limits[1]))
            _, end = connection.clone(answer=False)
            self.assertEqual(end["error"]["code"], "EMFILE", end)
            self.assertIn("open files", end["error"]["message"])
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
            answer, end = connection.clone()
            self.assert_end(end, "done")
            self.assertEqual(server.stats()["clones"]["refused"], 1)

    def test_no_descriptors_left_for_an_answer(self):
        """The kernel drops a descriptor on its way: that connection is over, no other."""
        with Server("hello") as server, server.connect() as other:
            with server.connect() as connection:
                limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (5, limits[1]))
                clone = connection.start()
                reply = connection.read_line()
                self.assertEqual(reply["error"]["code"], "EMFILE", reply)
                self.assertIsNone(connection.read_line())
                self.assertEqual(clone.read_answer(), b"")
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
            _, end = other.clone()
            self.assert_end(end, "done")


class Traces(harness.TestCase):
    def test_an_end_leaves_nothing(self):
        """After each kind of end: the same descriptors and children as before."""
        with Server("hostile") as server:
            server.check_serving()
            before = server.holdings()
            with server.connect() as connection:
                for op in ("list", "halt", "triple-fault", "done-maximal", "ready-twice"):
                    connection.clone(f"op={op}".encode())
                for _ in range(3):
                    connection.clone(b"x" * 60000)  # refused
            self.assertEqual(server.holdings(), before)


if __name__ == "__main__":
    harness.main()

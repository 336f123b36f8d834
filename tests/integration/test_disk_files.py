#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What clones write to their disks, and where it ends up: isolation, limits, exports, durable
overlays and what is left of them after any end."""

import json
import os
import random
import signal
import socket
import time

import disks
import harness
from disks import BLOCK, Session, answers, digest
from harness import is_alive, run, wait_until

OK, FAILED = 0, 1


class Overlays(disks.DiskTestCase):
    """Each of the ways in which overlays are kept."""

    def everywhere(self):
        """Options of all places where overlays may be."""
        yield "memory", ()
        yield "memory, no io_uring", ("--no-io-uring",)
        yield "folder", ("--overlay", self.overlays())
        yield "folder, no io_uring", ("--overlay", self.overlays(), "--no-io-uring")
        # With several vCPUs requests are served by a thread of their own.
        yield "folder, two vCPUs", ("--overlay", self.overlays(), "--cpus", "2")

    def test_isolation(self):
        """50 clones write different patterns to the same blocks; each finds its own, and what is
        below them is as it was."""
        before = digest(self.image)
        for name, options in self.everywhere():
            with self.subTest(overlays=name):
                with self.serve(*options, args="fill=1 seed=99") as server:
                    self.write_side_by_side(server)
                self.assertEqual(digest(self.image), before)
                self.assertEqual(os.listdir(self.overlays()), [])

    def write_side_by_side(self, server):
        first = self.path("first.img")
        with Session(server) as session:
            # What the template wrote is there.
            session.do("op=verify count=256 seed=99")
            self.export(server, session, first)
        sessions = [Session(server) for _ in range(50)]
        for i, session in enumerate(sessions):
            session.do(f"op=fill block=100 count=300 depth=32 seed={1000 + i}")
        for i, session in enumerate(sessions):
            session.do(f"op=verify block=100 count=300 depth=32 seed={1000 + i}")
            session.do("op=verify count=100 depth=32 seed=99")
        for session in sessions:
            self.assert_end(session.end(), "done")
            session.close()
        with Session(server) as session:
            session.do("op=verify count=256 depth=32 seed=99")
            last = self.path("last.img")
            self.export(server, session, last)
        self.assertEqual(digest(first), digest(last))
        server.wait_quiet()

    def export(self, server, session, path, disk=0):
        result = server.cli("disk", "export", f"{session.id}:{disk}", path)
        self.assertEqual(result.returncode, OK, result)
        return path

    def test_small_writes(self):
        """Parts of blocks, over every kind of layer."""
        for name, options in self.everywhere():
            with self.subTest(overlays=name), self.serve(*options, args="fill=1 seed=5") as server:
                with Session(server) as session:
                    session.do("op=fill size=512 block=3 count=3 seed=7")
                    session.do("op=verify size=512 block=3 count=3 seed=7")
                    session.do("op=verify size=512 count=3 seed=5")
                    session.do("op=verify size=512 block=6 count=100 seed=5")
                    session.do("op=fill size=512 block=6001 count=1 seed=8")
                    session.do("op=verify size=512 block=6001 count=1 seed=8")
                    told = bytes.fromhex(session.do("op=peek size=512 block=6000")["data"])
                    self.assertEqual(told[:8], b"IMAGE\0\0\0")

    def test_limit(self):
        """A full overlay is an I/O error to the guest, and one line in the log."""
        for name, options in self.everywhere():
            with self.subTest(overlays=name):
                with self.serve("--overlay-limit", "1", *options) as server:
                    with Session(server) as session:
                        session.do("op=fill count=256 depth=8")
                        answer = session.ask("op=fill block=256 count=10 depth=4")
                        self.assertIn("reason=status", answer)
                        self.assertIn("status=1", answer)
                        # The VM lives, reads, and writes where it has written before.
                        session.do("op=verify count=256 depth=8")
                        session.do("op=fill count=256 depth=8 seed=2")
                        session.do("op=verify count=256 seed=2")
                        self.assertIn("FAIL", session.ask("op=fill block=300 count=1"))
                        self.assert_end(session.end(), "done")
                    lines = [line for line in server.log().splitlines() if "clone 1:" in line]
                    self.assertEqual(len(lines), 1, server.log())
                    self.assertIn("disk 0", lines[0])
                    self.assertIn("limit", lines[0])
                    # The next one has a limit of its own.
                    with Session(server) as session:
                        session.do("op=fill count=256 depth=8")

    def test_a_full_file_system(self):
        """The same of the host's own limit."""
        if os.geteuid() != 0:
            self.skipTest("mounting takes root")
        folder = self.overlays()
        mounted = os.system(f"mount -t tmpfs -o size=1m,mode=0700 forkvm-test {folder}")
        if mounted != 0:
            self.skipTest("this user may not mount")
        try:
            with self.serve("--overlay", folder) as server:
                with Session(server) as session:
                    answer = session.ask("op=fill count=600")
                    self.assertIn("status=1", answer)
                    session.do("op=verify count=100")
                    self.assert_end(session.end(), "done")
                self.assertIn("no space left", server.log())
        finally:
            os.system(f"umount {folder}")

    def test_read_only(self):
        with self.serve(disks=[self.image + ",ro"]) as server:
            with Session(server) as session:
                self.assertEqual(session.first.count(b"ro=1"), 1)
                self.assertIn("FAIL", session.ask("op=fill count=1"))
                told = bytes.fromhex(session.do("op=peek size=512 block=9")["data"])
                self.assertEqual(told[:8], b"IMAGE\0\0\0")
                out = self.export(server, session, self.path("out.img"))
                self.assertEqual(digest(out), digest(self.image))

    def test_image_that_shrinks(self):
        with self.serve() as server, Session(server) as session:
            os.truncate(self.image, 100 * BLOCK)
            self.assertIn("status=1", session.ask("op=verify block=500 count=1"))
            session.do("op=fill block=500 count=1")
            session.do("op=verify block=500 count=1")
            self.assertIn("disk 0", server.log())

    def test_figures(self):
        """forkvm stats sums up what clones have done; inspect tells of a live one."""
        for name, options in self.everywhere():
            with self.subTest(overlays=name), self.serve(*options) as server:
                for _ in range(3):
                    with Session(server) as session:
                        session.do("op=fill count=64 depth=16")
                        session.do("op=verify count=64 depth=16")
                        session.do("op=flush")
                        told = json.loads(
                            server.cli("inspect", "--json", session.id).stdout)["disks"]["0"]
                        self.assertEqual(told["mode"], "overlay")
                        self.assertEqual(told["requests"]["write"], 64)
                        self.assertEqual(told["overlay_bytes"], 64 * BLOCK)
                        self.assert_end(session.end(), "done")
                told = server.stats()["disks"]["0"]
                self.assertEqual(told["clones"], 3)
                self.assertEqual(told["requests"], {"read": 192, "write": 192, "flush": 3,
                                                    "discard": 0, "write_zeroes": 0})
                self.assertEqual(told["bytes"]["write"], 192 * BLOCK)
                self.assertEqual(told["batch_max"], 16)
                self.assertGreaterEqual(told["depth_max"], 16)
                self.assertEqual(sum(told["latency_us"]["histogram"]), 387)
                self.assertGreater(told["latency_us"]["max"], 0)
                self.assertEqual(told["errors"], 0)
                if "no io_uring" in name:
                    self.assertEqual(told["enters"], 0)
                self.assertIn(b"batch_mean", server.cli("stats").stdout)

    def test_ring_is_used(self):
        """With O_DIRECT requests wait for a device, so they go through the ring."""
        with self.serve("--overlay", self.overlays(),
                        disks=[self.image + ",durable,direct=on"]) as server:
            with Session(server) as session:
                session.do("op=fill count=256 depth=64 seed=3")
                session.do("op=flush")
                session.do("op=verify count=256 depth=64 seed=3")
                self.assert_end(session.end(), "done")
            told = server.stats()["disks"]["0"]
            self.assertGreater(told["submitted"], 256)
            self.assertLess(told["enters"], told["submitted"] / 4)


class Given(disks.DiskTestCase):
    """Disks that clones are given."""

    def test_modes(self):
        other = disks.make_image(self.path("other.img"), 500, seed=4)
        before = digest(other)
        for options in ((), ("--overlay", self.overlays()), ("--no-io-uring",)):
            with self.serve(*options, disks=[self.image, "none,serial=given"]) as server:
                with Session(server, disks=[(1, other, "overlay")]) as session:
                    told = session.do("op=info disk=1")
                    self.assertEqual((told["sectors"], told["changed"]), ("4000", "1"))
                    self.assertEqual(session.do("op=id disk=1")["id"], "given")
                    session.do("op=fill disk=1 count=20 seed=9")
                    session.do("op=verify disk=1 count=20 seed=9")
                    out = self.path("out.img")
                    result = server.cli("disk", "export", f"{session.id}:1", out)
                    self.assertEqual(result.returncode, OK, result)
                    with open(out, "rb") as file:
                        data = file.read()
                    self.assertEqual(len(data), 500 * BLOCK)
                    self.assertEqual(disks.sector_of(data, 159), (159, 9))
                    self.assertEqual(data[160 * 512:160 * 512 + 8], b"IMAGE\0\0\0")
                    self.assert_end(session.end(), "done")
                self.assertEqual(digest(other), before)
                with Session(server, disks=[(1, other, "ro")]) as session:
                    self.assertIn("FAIL", session.ask("op=fill disk=1 count=1"))
                    session.do("op=peek disk=1")
                self.assertEqual(digest(other), before)
                with Session(server) as session:
                    self.assertEqual(session.do("op=info disk=1")["sectors"], "0")
                    result = server.cli("disk", "export", f"{session.id}:1", self.path("x"))
                    self.assertIn(b"is empty", result.stderr)

    def test_written_through(self):
        other = disks.make_image(self.path("other.img"), 100)
        with self.serve(disks=["none"]) as server:
            with Session(server, disks=[(0, other, "rw")]) as session:
                session.do("op=fill count=10 seed=12")
                session.do("op=flush")
                result = server.cli("disk", "export", session.id, self.path("x"))
                self.assertIn(b"writes to itself", result.stderr)
                self.assert_end(session.end(), "done")
            with open(other, "rb") as file:
                data = file.read()
            self.assertEqual(disks.sector_of(data, 79), (79, 12))
            self.assertIsNone(disks.sector_of(data, 80))
            self.assertEqual(len(data), 100 * BLOCK)

    def test_command_line(self):
        other = disks.make_image(self.path("other.img"), 100)
        with self.serve(disks=["none", "none"]) as server:
            result = server.cli("clone", "--disk", f"1={other},rw", "--request",
                                "op=fill disk=1 count=5 seed=6")
            self.assertEqual((result.returncode, result.stdout[:2]), (OK, b"ok"), result)
            result = server.cli("clone", "--count", "5", "--disk", f"0={other}", "--request",
                                "op=verify count=5 seed=6")
            self.assertEqual((result.returncode, result.stdout.count(b"ok")), (OK, 5), result)
            # The driver was set up in the template, so it cannot learn that: writes fail.
            result = server.cli("clone", "--disk", f"0={other},ro", "--request", "op=fill")
            self.assertIn(b"FAIL", result.stdout)

    def test_a_block_device(self):
        device = self.loop_device()
        with self.serve(disks=[device, "none"]) as server:
            with Session(server, disks=[(1, device, "overlay")]) as session:
                for disk in (0, 1):
                    told = session.do(f"op=info disk={disk}")
                    self.assertEqual(int(told["sectors"]), self.blocks * 8)
                    session.do(f"op=fill disk={disk} count=10 depth=10")
                    session.do(f"op=verify disk={disk} count=10 depth=10")
                    out = self.path("out.img")
                    result = server.cli("disk", "export", f"{session.id}:{disk}", out)
                    self.assertEqual(result.returncode, OK, result)
                    self.assertEqual(os.path.getsize(out), self.blocks * BLOCK)

    def loop_device(self):
        if os.geteuid() != 0:
            self.skipTest("loop devices take root")
        with os.popen(f"losetup --find --show {self.image} 2>&1") as output:
            device = output.read().strip()
        if not device.startswith("/dev/"):
            self.skipTest(f"no loop device is to be had: {device}")
        self.addCleanup(os.system, f"losetup --detach {device}")
        return device


class Export(disks.DiskTestCase):
    def serve_with(self, *options):
        return self.serve("--overlay", self.overlays(), *options,
                          disks=[self.image + ",durable", self.image])

    def test_what_the_guest_sees(self):
        """The export, as another server's image, is the disk that the clone has."""
        out = [self.path(f"out{disk}.img") for disk in (0, 1)]
        with self.serve_with() as server, Session(server) as session:
            for disk in (0, 1):
                session.do(f"op=fill disk={disk} block=10 count=100 depth=8 seed=21")
                session.do(f"op=discard disk={disk} block=20 count=30")
                session.do(f"op=zero disk={disk} block=60 count=7")
                session.do(f"op=fill disk={disk} size=512 block=8001 count=3 seed=22")
                result = server.cli("disk", "export", f"{session.id}:{disk}", out[disk])
                self.assertEqual(result.returncode, OK, result)
                # It goes on, and nothing of this is in what was exported.
                session.do(f"op=fill disk={disk} block=10 count=100 seed=23")
        with self.serve(disks=out) as server, Session(server) as session:
            for disk in (0, 1):
                session.do(f"op=verify disk={disk} block=10 count=10 seed=21")
                session.do(f"op=verify disk={disk} block=60 count=7 expect=zero")
                session.do(f"op=verify disk={disk} block=67 count=43 seed=21")
                session.do(f"op=verify disk={disk} size=512 block=8001 count=3 seed=22")
                told = bytes.fromhex(session.do(f"op=peek disk={disk} size=512 block=8000")["data"])
                self.assertEqual(told[:8], b"IMAGE\0\0\0")

    def test_while_it_writes(self):
        """A guest that is stopped in the middle of it: what it had flushed is in the export."""
        dice = random.Random(2)
        with open(self.image, "r+b") as image:
            image.truncate(0)
            image.truncate(self.blocks * BLOCK)
        for options in (("--cpus", "1"), ("--cpus", "2")):
            with self.serve("--overlay", self.overlays(), *options,
                            disks=[self.image + ",durable", "none"]) as server:
                with Session(server, "op=log count=64 flush=16 depth=16", console=True) as session:
                    told = b""
                    for _ in range(10):
                        time.sleep(dice.random() * 0.02)
                        while harness.readable(session.console_fd, 0):
                            told += os.read(session.console_fd, 1 << 16)
                        out = self.path("out.img")
                        result = server.cli("disk", "export", session.id, out)
                        self.assertEqual(result.returncode, OK, result)
                        last = disks.last_flushed(told)
                        with Session(server, disks=[(1, out, "ro")]) as checker:
                            checker.do(f"op=check disk=1 count=64 last={last}")
                    self.assertGreater(last, 0)

    def test_sparse(self):
        """What nobody wrote takes no room."""
        sparse = self.path("sparse.img")
        with open(sparse, "wb") as file:
            file.truncate(10 << 30)
        with self.serve(disks=[sparse]) as server, Session(server) as session:
            session.do("op=fill block=1000000 count=16 depth=8")
            out = self.path("out.img")
            result = server.cli("disk", "export", session.id, out, "--json")
            self.assertEqual(result.returncode, OK, result)
            self.assertEqual(json.loads(result.stdout)["size"], 10 << 30)
            self.assertLess(os.stat(out).st_blocks * 512, 1 << 20)

    def test_refusals(self):
        with self.serve_with() as server, Session(server) as session:
            out = self.path("out")
            for args, word in ((("99", out), b"no live clone 99"),
                               ((f"{session.id}:2", out), b"no disk 2"),
                               ((session.id, self.folder), b"is a directory"),
                               ((session.id, "/dev/null"), b"not replaced"),
                               ((session.id, self.path("no/x")), b"No such file")):
                result = server.cli("disk", "export", *args)
                self.assertEqual(result.returncode, FAILED, result)
                self.assertIn(word, result.stderr)
            session.do("op=info")
            self.assertEqual(sorted(os.listdir(self.folder)), ["base.img", "overlays"])

    def test_replaces_whole(self):
        """What was there before stays until the new one is complete."""
        out = self.path("out.img")
        with open(out, "wb") as file:
            file.write(b"before")
        with self.serve() as server, Session(server) as session:
            result = server.cli("disk", "export", "99", out)
            self.assertEqual(result.returncode, FAILED)
            with open(out, "rb") as file:
                self.assertEqual(file.read(), b"before")
            result = server.cli("disk", "export", session.id, out)
            self.assertEqual(result.returncode, OK, result)
            self.assertEqual(digest(out), digest(self.image))
        self.assertEqual(sorted(os.listdir(self.folder)), ["base.img", "out.img"])

    # ---- The protocol's part ----

    def held(self, server, session):
        """A connection that holds the clone: (connection, reply, descriptors)."""
        connection = server.connect()
        connection.send({"op": "export", "id": session.id})
        data, fds, _, _ = socket.recv_fds(connection.socket, 1 << 16, 30)
        return connection, json.loads(data), fds

    def close(self, connection, fds):
        connection.close()
        for fd in fds:
            os.close(fd)

    def state(self, session):
        return harness.stat_of(session.pid)[0]

    def test_stands_still_meanwhile(self):
        with self.serve_with() as server, Session(server) as session:
            connection, reply, fds = self.held(server, session)
            self.assertEqual(reply["ok"]["descriptors"], ["image", "data", "data", "bitmap"])
            self.assertEqual(reply["ok"]["size"], self.blocks * BLOCK)
            self.assertEqual(len(fds), 4)
            for fd in fds:
                with self.assertRaises(OSError):
                    os.write(fd, b"x")
            self.assertEqual(self.state(session), "T")
            told = json.loads(server.cli("list", "--json").stdout)
            self.assertTrue(told["held"])
            self.assertIn(b"held", server.cli("list").stdout)
            self.assertEqual(connection.call("release", id=session.id), {"ended": False})
            wait_until(lambda: self.state(session) != "T", "it goes on")
            session.do("op=fill count=4")
            self.assertIn("error", connection.call("release", id=session.id))
            self.close(connection, fds)

    def test_goes_on_when_its_client_leaves(self):
        with self.serve_with() as server, Session(server) as session:
            connection, _, fds = self.held(server, session)
            self.assertEqual(self.state(session), "T")
            self.close(connection, fds)
            session.do("op=fill count=4")

    def test_goes_on_when_its_time_is_up(self):
        with self.serve_with() as server, Session(server) as session:
            with server.connect() as connection:
                connection.send({"op": "export", "id": session.id, "timeout_ms": 50})
                data, fds, _, _ = socket.recv_fds(connection.socket, 1 << 16, 30)
                self.assertIn(b'"ok"', data)
                wait_until(lambda: self.state(session) != "T", "it goes on")
                session.do("op=fill count=4")
                reply = connection.call("release", id=session.id)
                self.assertEqual(reply["error"]["code"], "ETIMEDOUT")
                self.close(connection, fds)
            self.assertIn("has not released it in time", server.log())

    def test_one_after_the_other(self):
        """Two connections hold it: it goes on when both have released it."""
        with self.serve_with() as server, Session(server) as session:
            first = self.held(server, session)
            second = self.held(server, session)
            busy = first[0].call("export", id=session.id)
            self.assertEqual(busy["error"]["code"], "EBUSY")
            self.assertEqual(first[0].call("release", id=session.id), {"ended": False})
            self.assertEqual(self.state(session), "T")
            self.assertEqual(second[0].call("release", id=session.id), {"ended": False})
            session.do("op=fill count=4")
            self.close(first[0], first[2])
            self.close(second[0], second[2])

    def test_ends_meanwhile(self):
        with self.serve_with() as server, Session(server) as session:
            connection, _, fds = self.held(server, session)
            server.cli("kill", session.id)
            self.assert_end(session.connection.read_line()["ended"], "killed")
            self.assertEqual(connection.call("release", id=session.id), {"ended": True})
            reply = connection.call("export", id=session.id)
            self.assertEqual(reply["error"]["code"], "ESRCH")
            self.close(connection, fds)
            server.check_serving()

    def test_server_stops_meanwhile(self):
        with self.serve_with() as server, Session(server) as session:
            connection, _, fds = self.held(server, session)
            self.assertEqual(self.state(session), "T")
            server.stop()
            wait_until(lambda: not is_alive(session.pid), "the clone has ended")
            self.close(connection, fds)

    def test_kept_clone_goes_on_when_the_server_stops(self):
        with self.serve_with("--keep-clones") as server:
            session = Session(server)
            connection, _, fds = self.held(server, session)
            self.assertEqual(self.state(session), "T")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(), 0)
            wait_until(lambda: self.state(session) != "T", "it goes on")
            session.do("op=fill count=4")
            session.close()
            wait_until(lambda: not is_alive(session.pid), "the clone has ended")
            self.close(connection, fds)

    def test_bad_requests(self):
        with self.serve_with() as server, server.connect() as connection:
            for members in ({}, {"id": 1, "disk": 4}, {"id": 1, "disk": -1}, {"id": "1"},
                            {"id": 1, "x": 1}):
                self.assertEqual(connection.call("export", **members)["error"]["code"], "EINVAL")
            self.assertEqual(connection.call("release")["error"]["code"], "EINVAL")
            self.assertEqual(connection.call("release", id=1)["error"]["code"], "EINVAL")
            with Session(server) as session:
                reply = connection.call("export", id=session.id, timeout_ms=3600001)
                self.assertEqual(reply["error"]["code"], "ERANGE")

    def test_another_users_clone(self):
        if os.geteuid() != 0:
            self.skipTest("being several users takes root")
        with self.serve("--allow-uid", 65534) as server:
            os.chmod(server.folder, 0o711)
            os.chmod(self.folder, 0o777)
            with Session(server) as session:
                result = server.cli("disk", "export", session.id, self.path("out"), user=65534)
                self.assertEqual(result.returncode, FAILED, result)
                self.assertIn(b"another user's", result.stderr)
            asked = server.cli("clone", "--detach", "--request", "op=log quiet=1 count=64",
                               user=65534)
            self.assertEqual(asked.returncode, OK, asked)
            number = asked.stdout.decode().strip()
            for who in ({"user": 65534}, {}):
                result = server.cli("disk", "export", number, self.path("out"), **who)
                self.assertEqual(result.returncode, OK, result)
                os.unlink(self.path("out"))
            server.cli("kill", number)
            server.wait_quiet()

    def test_nothing_is_left(self):
        with self.serve_with() as server:
            server.check_serving()
            before = server.holdings()
            for _ in range(20):
                with Session(server) as session:
                    connection, _, fds = self.held(server, session)
                    if random.random() < 0.5:
                        connection.call("release", id=session.id)
                    self.close(connection, fds)
            self.assertEqual(server.holdings(), before)


class Durable(disks.DiskTestCase):
    def setUp(self):
        super().setUp()
        with open(self.image, "r+b") as image:
            image.truncate(0)
            image.truncate(self.blocks * BLOCK)

    def files(self):
        return sorted(os.listdir(self.overlays()))

    def commit(self, name, out="committed.img"):
        result = run("disk", "commit", os.path.join(self.overlays(), name), self.path(out))
        self.assertEqual(result.returncode, OK, result)
        return self.path(out)

    def serve_durable(self, *options, **more):
        return self.serve("--overlay", self.overlays(), *options,
                          disks=[self.image + ",durable", "none"], **more)

    def test_commit(self):
        before = digest(self.image)
        with self.serve_durable("--name", "shop", args="fill=1 seed=31") as server:
            with Session(server) as session:
                self.assertEqual(self.files(), ["shop-1-0.overlay", "shop-template-0-0.overlay"])
                session.do("op=fill block=200 count=100 depth=16 seed=32")
                session.do("op=flush")
                self.assert_end(session.end(), "done")
            template = digest(os.path.join(self.overlays(), "shop-template-0-0.overlay"))
            info = json.loads(run("disk", "info", "--json", os.path.join(
                self.overlays(), "shop-1-0.overlay")).stdout)
            self.assertEqual((info["format"], info["overlays"]), ("overlay", 2))
        out = self.commit("shop-1-0.overlay")
        self.assertEqual(digest(self.image), before)
        self.assertEqual(template,
                         digest(os.path.join(self.overlays(), "shop-template-0-0.overlay")))
        with self.serve(disks=[out]) as server, Session(server) as session:
            session.do("op=verify count=200 depth=16 seed=31")
            session.do("op=verify block=200 count=100 depth=16 seed=32")
            session.do("op=verify block=300 count=100 expect=zero")
        # The template's own can be committed as well.
        self.commit("shop-template-0-0.overlay", "template.img")

    def test_in_use(self):
        """No image is made of what a clone still writes to."""
        with self.serve_durable() as server, Session(server) as session:
            session.do("op=fill count=4")
            path = os.path.join(self.overlays(), "default-1-0.overlay")
            for args in (("commit", path, self.path("out")), ("info", path)):
                result = run("disk", *args)
                self.assertEqual(result.returncode, FAILED, result)
                self.assertIn(b"being written to by a clone", result.stderr)
            # What the template wrote is not written to any more.
            self.commit("default-template-0-0.overlay")
            self.assert_end(session.end(), "done")
            self.commit("default-1-0.overlay")

    def test_restart(self):
        """A second server leaves the first one's files alone."""
        for run_number in (0, 2, 4):
            with self.serve_durable() as server, Session(server) as session:
                self.assertEqual(session.id, run_number + 1)
                session.do(f"op=fill count=4 seed={run_number}")
                session.do("op=flush")
                self.assert_end(session.end(), "done")
        self.assertEqual(self.files(), [
            f"default-{name}-0.overlay" for name in
            ("1", "3", "5", "template-0", "template-2", "template-4")])
        for run_number in (0, 2, 4):
            out = self.commit(f"default-{run_number + 1}-0.overlay")
            with open(out, "rb") as file:
                self.assertEqual(disks.sector_of(file.read(), 31), (31, run_number))

    def test_changed_below(self):
        with self.serve_durable() as server, Session(server) as session:
            session.do("op=fill count=4")
            session.do("op=flush")
            self.assert_end(session.end(), "done")
        with open(self.image, "r+b") as image:
            image.write(b"changed")
        result = run("disk", "commit", os.path.join(self.overlays(), "default-1-0.overlay"),
                     self.path("out"))
        self.assertEqual(result.returncode, FAILED)
        self.assertIn(b"changed", result.stderr)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_kill_at_any_moment(self):
        """200 clones are killed while they write and flush; all that they have told as flushed is
        in their overlays."""
        seed = int.from_bytes(os.urandom(4), "little")
        dice = random.Random(seed)
        flushed = 0
        with self.serve_durable() as server:
            for number in range(200):
                with self.subTest(round=number, seed=seed):
                    last = self.one_killed(server, dice)
                    flushed += last > 0
            self.assertGreater(flushed, 100)

    def one_killed(self, server, dice):
        """The last record that a clone told of before it was killed; what is there is checked."""
        count, every = dice.choice((7, 33, 64)), dice.choice((1, 5, 16))
        with Session(server, f"op=log block=3 count={count} flush={every} depth=8",
                     console=True) as session:
            if dice.random() < 0.9:
                harness.readable(session.console_fd, harness.DEADLINE_S)
            time.sleep(dice.random() * 0.02)
            os.kill(session.pid, signal.SIGKILL)
            self.assert_end(session.connection.read_line()["ended"], "killed")
            told = b""
            while piece := os.read(session.console_fd, 1 << 16):
                told += piece
        last = disks.last_flushed(told)
        path = os.path.join(self.overlays(), f"default-{session.id}-0.overlay")
        out = self.path("committed.img")
        result = run("disk", "commit", path, out)
        if os.path.exists(path):
            os.unlink(path)
        if not told and result.returncode == FAILED:
            # Killed before its guest ran: the overlay was not made yet, or not its header.
            self.assertRegex(result.stderr, b"is no overlay|No such file")
            return 0
        self.assertEqual(result.returncode, OK, result)
        with Session(server, disks=[(1, out, "ro")]) as checker:
            checker.do(f"op=check disk=1 block=3 count={count} last={last}")
        return last

    def test_server_killed(self):
        """The same when the server goes, and its clones with it."""
        dice = random.Random(1)
        for _ in range(5):
            server = self.serve_durable().start()
            sessions = [Session(server, "op=log count=32 flush=8 depth=8", console=True)
                        for _ in range(4)]
            time.sleep(dice.random() * 0.05)
            server.kill()
            for session in sessions:
                wait_until(lambda pid=session.pid: not is_alive(pid), "its clones are gone")
                told = b""
                while piece := os.read(session.console_fd, 1 << 16):
                    told += piece
                last = disks.last_flushed(told)
                session.close()
                name = f"default-{session.id}-0.overlay"
                if not told and not os.path.exists(os.path.join(self.overlays(), name)):
                    continue  # it had not come to making one
                out = self.commit(name)
                with self.serve(disks=[out]) as checker, Session(checker) as check:
                    check.do(f"op=check count=32 last={last}")
            server.clean()


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The disk device as a guest's driver meets it, through the whole program: each misuse, every layout
of requests, freezing with requests under way, clones killed in the middle of them; with one vCPU,
which waits for its disk, and with two, where a thread serves it."""

import contextlib
import os
import random
import re
import signal

import disks
import harness
from disks import Session
from harness import is_alive, wait_until

SEED = int(os.environ.get("FORKVM_TEST_SEED", "0")) or random.randrange(1 << 32)


def misuses(session):
    """{name: what it must lead to}: "reset", or a status."""
    return dict(line.split(":") for line in session.ask("op=list").split())


def complaints(server, number):
    """What the log says of a clone's devices."""
    return re.findall(rf"warning +clone {number}: (device .*)", server.log())


class Device(disks.DiskTestCase):
    def everywhere(self):
        """Options by which requests go another way each: at once, or through a ring."""
        for cpus in ("1", "2"):
            yield f"{cpus} vCPUs, overlay in memory", ("--cpus", cpus)
            yield f"{cpus} vCPUs, overlay in a file", ("--cpus", cpus, "--overlay", self.overlays())
            yield f"{cpus} vCPUs, no io_uring", ("--cpus", cpus, "--no-io-uring")

    def test_misuses(self):
        """One line in the log for each that stops the device, none for others; a sibling notices
        nothing."""
        for cpus in ("1", "2"):
            with self.subTest(cpus=cpus), self.serve("--cpus", cpus) as server:
                with Session(server) as sibling:
                    sibling.do("op=fill count=32 seed=5")
                    expected = misuses(sibling)
                    for name, outcome in expected.items():
                        with Session(server) as session:
                            words = session.do(f"op={name}")
                            session.do("op=flush")
                            told = complaints(server, session.id)
                        self.assertEqual(len(told), outcome == "reset", f"{name}: {told}")
                        if outcome != "reset":
                            self.assertEqual(words["status"], outcome, name)
                        for line in told:
                            self.assertRegex(line, r"^device virtio-blk, disk 0: queue 0: chain ")
                    sibling.do("op=verify count=32 seed=5")
        self.assertGreater(len(expected), 30)
        print(f"{len(expected)} misuses, {list(expected.values()).count('reset')} stop the device")

    def test_layouts(self):
        """The same bytes, however a request is cut into descriptors, and wherever its data are."""
        layouts = [f"layout={layout} indirect={indirect} segments={segments} misalign={misalign}"
                   for layout in ("plain", "merged", "bytes") for indirect in (0, 1)
                   for segments in (1, 7, 16) for misalign in (0, 1, 512)]
        for name, options in self.everywhere():
            with self.subTest(way=name), self.serve(*options) as server:
                with Session(server) as session:
                    for seed, layout in enumerate(layouts, 1):
                        size = (512, 4096, 65536)[seed % 3]
                        words = f"size={size} block=1 count=3 seed={seed}"
                        session.do(f"op=fill {words} {layout}")
                        session.do(f"op=verify {words}")
                        session.do(f"op=fill {words}")
                        session.do(f"op=verify {words} {layout}")

    def test_frozen_with_requests_under_way(self):
        """What the template had not waited for is done, once, in each of its clones."""
        for name, options in self.everywhere():
            args = "fill=1 seed=3 pending=40"
            with self.subTest(way=name), self.serve(*options, args=args) as server:
                for _ in range(3):
                    with Session(server) as session:
                        session.do("op=verify seed=3 size=65536 count=56 depth=16")
                        session.do("op=loop kind=randmix n=200 depth=32")

    def test_log_and_check(self):
        """Records are found as they were flushed, by the driver that wrote them."""
        for name, options in self.everywhere():
            with self.subTest(way=name), self.serve(*options) as server:
                with Session(server) as session:
                    log = session.do("op=log count=100 n=1500 depth=16 flush=40 quiet=1")
                    self.assertEqual(log["last"], "1500")
                    words = session.do("op=check count=100 last=1500 depth=16")
                    self.assertEqual((words["whole"], words["torn"], words["newest"]),
                                     ("100", "0", "1500"))
                    # The check would notice what is missing.
                    session.do("op=zero block=50")
                    self.assertIn("reason=lost", session.ask("op=check count=100 last=1500"))

    def test_killed_in_the_middle(self):
        """Clones that are killed with requests under way leave nothing, and harm nobody."""
        chance = random.Random(SEED)
        for name, options in self.everywhere():
            with self.subTest(way=name, seed=SEED), self.serve(*options, args="fill=1") as server:
                holdings = server.holdings()
                with Session(server) as sibling:
                    for _ in range(6):
                        victim = Session(server)
                        victim.socket.send(b"op=loop kind=randmix n=100000000 depth=64 size=65536")
                        sibling.do(f"op=fill count=20 seed={chance.randrange(1000) + 1}")
                        sibling.do(f"op=loop kind=randread n={chance.randrange(300) + 1} depth=8")
                        os.kill(victim.pid, signal.SIGKILL)
                        self.assertEqual(victim.connection.read_line()["ended"]["reason"], "killed")
                        victim.close()
                    sibling.do("op=verify block=20 count=236 depth=16")
                wait_until(lambda: server.holdings() == holdings, "nothing is left of them")

    def test_four_disks(self):
        """Each is its own; two are empty slots, of which one is filled in one clone."""
        given = disks.make_image(self.path("given.img"), 64, seed=8)
        second = disks.make_image(self.path("second.img"), 128)
        for cpus in ("1", "2"):
            with self.serve("--cpus", cpus, disks=[self.image, "none", second, "none"]) as server:
                with Session(server, disks=[(3, given, "ro")]) as session:
                    info = [session.do(f"op=info disk={i}") for i in range(4)]
                    self.assertEqual([words["sectors"] for words in info],
                                     [str(self.blocks * 8), "0", "1024", "512"])
                    self.assertEqual([words["changed"] for words in info], ["0", "0", "0", "1"])
                    self.assertEqual({words["queues"] for words in info}, {cpus})
                    for disk in (0, 2):
                        session.do(f"op=fill disk={disk} count=128 depth=32 seed={disk + 1}")
                    session.do("op=peek disk=1 status=1")
                    session.do("op=fill disk=3 status=1")
                    for disk in (0, 2):
                        session.do(f"op=verify disk={disk} count=128 depth=32 seed={disk + 1}")
                    data = bytes.fromhex(session.do("op=peek disk=3 block=9")["data"])
                    with open(given, "rb") as file:
                        self.assertEqual(data, file.read()[9 * disks.BLOCK:][:len(data)])
                with Session(server) as session:
                    self.assertEqual(session.do("op=info disk=3")["sectors"], "0")

    def test_write_cache(self):
        """Switched off, each write is followed by a flush of the disk's own."""
        with self.serve() as server, Session(server) as session:
            self.assertEqual(session.do("op=info")["wce"], "1")
            session.do("op=fill count=10")
            self.assertEqual(session.do("op=wce value=0")["wce"], "0")
            session.do("op=fill count=10")
            session.do("op=reset")
            self.assertEqual(session.do("op=info")["wce"], "1")
            session.do("op=fill count=10")
            session.do("op=verify count=10")
            self.assert_end(session.end(), "done")
            told = server.stats()["disks"]["0"]
            self.assertEqual((told["requests"]["write"], told["requests"]["flush"]), (30, 10))

    def test_the_thread_for_devices_lets_vcpus_go_on(self):
        """It takes no processor from one that rings; the vCPUs' threads are as any others."""
        with self.serve("--cpus", "2") as server, Session(server) as session:
            def policies():
                found = []
                for task in os.listdir(f"/proc/{session.pid}/task"):
                    with contextlib.suppress(ProcessLookupError):  # the kernel's workers come and go
                        found.append(os.sched_getscheduler(int(task)))
                return found
            # It says so of itself, when it runs.
            harness.wait_until(lambda: policies().count(os.SCHED_BATCH) == 1, "one is a batch job")
            self.assertGreaterEqual(policies().count(os.SCHED_OTHER), 2)

    def test_a_ring_when_the_server_is_gone(self):
        """Nobody is there to make it: the clone does without."""
        server = self.serve("--keep-clones").start()
        with Session(server, detach=True) as session:
            server.kill()
            for kind in ("randread", "randwrite"):
                told = session.do(f"op=loop kind={kind} size=4096 depth=16 n=64")
                self.assertEqual(told["requests"], "64")
        wait_until(lambda: not is_alive(session.pid), "it ends when its client leaves")
        server.clean()


if __name__ == "__main__":
    harness.main()

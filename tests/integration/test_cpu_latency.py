#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--cpu-latency: the kernel is asked to have idle CPUs wake up fast, while clients ask for something."""

import os
import struct

import harness
from harness import Server, wait_until

DEVICE = "/dev/cpu_dma_latency"
LIMIT_US = 7


def limit_us():
    """What the kernel keeps to: the least of all that it was asked."""
    with open(DEVICE, "rb", buffering=0) as device:
        return struct.unpack("i", device.read(4))[0]


class CpuLatency(harness.TestCase):
    def setUp(self):
        super().setUp()
        if not os.path.exists(DEVICE):
            self.skipTest(f"this kernel has no {DEVICE}")
        if limit_us() <= LIMIT_US:
            self.skipTest("something else on this host asks for as much already")

    def is_asked_for(self, connection):
        """By the server's word and the kernel's. This is traffic, too: a busy host may have let the
        last message's time go by."""
        told = connection.call("inspect")["server"]
        self.assertEqual(told["cpu_latency_us"], LIMIT_US)
        return limit_us() == LIMIT_US and told["cpu_latency_held"]

    def test_is_asked_for_under_traffic_only(self):
        with Server("hello", "--cpu-latency", LIMIT_US) as server:
            wait_until(lambda: limit_us() > LIMIT_US, "it lets go when nobody asks")
            with server.connect() as connection:
                for _ in range(3):  # as often as it likes
                    _, end = connection.clone()
                    self.assert_end(end, "done")
                    wait_until(lambda: self.is_asked_for(connection), "it has asked")
                    wait_until(lambda: limit_us() > LIMIT_US, "it has let go")

    def test_ends_with_the_server(self):
        """Killed, with a clone that lives on."""
        server = Server("echo", "--cpu-latency", LIMIT_US, "--keep-clones").start()
        try:
            with server.connect() as connection, connection.session(b"one") as session:
                self.assertEqual(session.recv(100), b"one")
                wait_until(lambda: self.is_asked_for(connection), "it has asked")
                server.process.kill()
                server.process.wait()
                wait_until(lambda: limit_us() > LIMIT_US, "nobody asks any more")
                session.send(b"two")
                self.assertEqual(session.recv(100), b"two")
        finally:
            server.kill()
            server.clean()

    def test_no_spares_needed_and_none_by_default(self):
        with Server("hello") as server:
            with server.connect() as connection:
                connection.clone()
                self.assertGreater(limit_us(), LIMIT_US)
                self.assertNotIn("cpu_latency_us", connection.call("inspect")["server"])


if __name__ == "__main__":
    harness.main()

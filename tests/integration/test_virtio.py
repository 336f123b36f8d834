#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The virtio stub, which drives the entropy device well and badly: what clones draw differs, each
misuse stops the device and nothing else, and the server's log says why."""

import re

import harness
from harness import Server


def misuses(connection):
    """{name: does it break the device?}"""
    answer, _ = connection.clone(b"op=list")
    names = dict(line.split(":") for line in answer.decode().split())
    return {name: end == "reset" for name, end in names.items()}


def complaints(server):
    """{clone's number: [what the log says of its devices]}"""
    told = {}
    for number, text in re.findall(r"warning +clone (\d+): (device .*)", server.log()):
        told.setdefault(int(number), []).append(text)
    return told


# Notifications as exits of the only vCPU, or by ioeventfds to a thread; interrupts that lead nowhere,
# or by irqfds to controllers.
SHAPES = ((), ("--irqchip",), ("--cpus", "2"), ("--cpus", "2", "--irqchip"))


class Virtio(harness.TestCase):
    def draw(self, connection, request=b"op=random bytes=64"):
        answer, end = connection.clone(request)
        self.assert_end(end, "done")
        found = re.match(rb"ok op=random bytes=\d+ data=([0-9a-f]+)\n$", answer)
        self.assertTrue(found, answer)
        return found.group(1)

    def test_clones_draw_different_bytes(self):
        for shape in SHAPES:
            with self.subTest(shape):
                self.check_drawing(shape)

    def check_drawing(self, shape):
        with Server("virtio", "--rng", *shape) as server, server.connect() as connection:
            drawn = [self.draw(connection) for _ in range(20)]
            self.assertEqual(len(set(drawn)), 20)
            self.assertEqual(len(drawn[0]), 128)
            for request in (b"op=random bytes=65536 segments=16", b"op=random bytes=1"):
                self.draw(connection, request)
            self.assertEqual(complaints(server), {})

    def misuse(self, connection, name):
        """A clone that does it: its answer and its number."""
        answer, end = connection.clone(f"op={name}".encode())
        self.assert_end(end, "done")
        return answer.decode(), end["id"]

    def test_misuses(self):
        for shape in SHAPES:
            with self.subTest(shape):
                self.check_misuses(shape)

    def check_misuses(self, shape):
        with Server("virtio", "--rng", *shape) as server, server.connect() as connection:
            expected = misuses(connection)
            self.assertGreater(len(expected), 20)
            self.assertIn(True, expected.values())
            # A sibling that is there all the time.
            sibling = connection.session(b"op=random bytes=16")
            self.assertIn(b"ok op=random", sibling.recv(1 << 16))
            for name, breaks in expected.items():
                with self.subTest(misuse=name):
                    answer, number = self.misuse(connection, name)
                    self.assertRegex(answer, f"^ok op={name} status=")
                    told = complaints(server).get(number, [])
                    self.assertEqual(len(told), 1 if breaks else 0, told)
            sibling.sendall(b"op=random bytes=16")
            self.assertIn(b"ok op=random", sibling.recv(1 << 16))
            sibling.close()
            self.assert_end(connection.read_line()["ended"], "done")
            self.draw(connection)
            told = [text for texts in complaints(server).values() for text in texts]
            print(f"{len(expected)} misuses, {sum(expected.values())} broke the device, "
                  f"{len(told)} complaints in the log, {len(set(told))} different ones")

    def test_without_the_device(self):
        """The stub ends at once, and the server says so."""
        server = Server("virtio", "--no-rng")
        try:
            self.assertFalse(server.launch().wait_ready())
            self.assertEqual(server.wait(), 1)
            self.assertIn("guest", server.log())
        finally:
            server.kill()
            server.clean()


if __name__ == "__main__":
    harness.main()

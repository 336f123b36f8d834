#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""After a thousand clones the server has what it had before: descriptors, threads, children, memory."""

import struct

import harness
from harness import Server, children_of, wait_until

CLONES = 1000
AT_ONCE = 16


def is_static(program):
    """An ELF program that asks for no interpreter (PT_INTERP)."""
    with open(program, "rb") as file:
        header = file.read(1 << 12)
    offset, = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    return all(struct.unpack_from("<I", header, offset + i * size)[0] != 3 for i in range(count))


class Leaks(harness.TestCase):
    def storm(self, server, count, request=b"", wanted=b"ok"):
        """count clones, some at once, on one connection; each is done and answers."""
        under_way = {}
        started = done = 0
        with server.connect() as connection:
            while done < count:
                while started < count and len(under_way) < AT_ONCE:
                    clone = connection.start(request)
                    under_way[clone.tag] = clone
                    started += 1
                message = connection.read_line()
                self.assert_end(message["ended"], "done")
                answer = under_way.pop(message["tag"]).read_answer()
                self.assertTrue(answer.startswith(wanted), answer)
                done += 1

    def memory_of(self, server):
        """In KiB, without the storm's connection, whose buffers are as large as it made them, and
        which may not be closed yet. Not what is private to the server, which depends on how many
        ended clones the kernel has not taken down yet: their memory shares the server's pages."""
        with server.connect() as control:
            wait_until(lambda: control.call("stats")["connections"]["open"] == 1, "others are closed")
        with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        return {kind: int(fields[kind].split()[0]) for kind in ("RssAnon", "VmPTE")}

    def check(self, name, *options, **more):
        with Server(name, *options) as server:
            self.storm(server, 100, **more)
            before = server.holdings()
            memory = self.memory_of(server)
            self.storm(server, CLONES, **more)
            self.assertEqual(server.holdings(), before)
            after = self.memory_of(server)
            if not server.is_instrumented:
                for kind, before_kib in memory.items():
                    self.assertLess(after[kind] - before_kib, 128, kind)
            self.assertEqual(server.stats()["clones"]["ended"]["done"], CLONES + 100)

    def test_a_thousand_clones(self):
        self.check("hello")

    def test_a_clone_is_small(self):
        """What a clone has to itself: the page of its stack, that of its machine, one of its RAM,
        two of kvm_run; and one branch of page tables for all of that (cradle.h). One that learns the
        working set has more."""
        with Server("hello", "--working-set", "off") as server, server.connect() as connection:
            if server.is_instrumented or not is_static(harness.FORKVM):
                return
            parked = [connection.session() for _ in range(20)]
            for session in parked:
                session.recv(1 << 16)
            for pid in server.clones():
                with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
                    private = sum(int(line.split()[1]) for line in rollup
                                  if line.startswith("Private_"))
                with open(f"/proc/{pid}/status", encoding="ascii") as status:
                    tables = sum(int(line.split()[1]) for line in status
                                 if line.startswith("VmPTE"))
                self.assertLessEqual(private, 32)
                self.assertLessEqual(tables, 28)
            for session in parked:
                session.close()

    def test_with_requests(self):
        self.check("echo", request=b"e" * 20000, wanted=b"eee")

    def test_with_several_vcpus(self):
        self.check("smp", "--cpus", 2)

    def test_without_the_anchor(self):
        with Server("hello", "--no-anchor") as server:
            self.storm(server, 50)
            wait_until(lambda: not children_of(server.pid), "no child is left")

    def test_connections(self):
        """A thousand clients, one after another, each with a clone."""
        with Server("hello") as server:
            for _ in range(50):
                server.check_serving()
            before = server.holdings()
            for _ in range(CLONES):
                with server.connect() as connection:
                    connection.clone()
            self.assertEqual(server.holdings(), before)


if __name__ == "__main__":
    harness.main()

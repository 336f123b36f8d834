#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The VM Generation ID and its notification: Debian's generic kernel, whose own driver listens to it,
learns of each fork exactly once, and finds the clone's id in memory."""

import re

import harness_linux as linux
import harness
import images

linux.run_in_lab(lambda: {
    "kernel": images.kernel("generic"),
    "initrd": images.initrd("plain", "generic"),
}, memory_mib=2048, timeout_s=300)

CLONES = 10
TOLD = "crng reseeded due to virtual machine fork"
# Where vmm/base/layout.h puts it; ACPI tells the guest. /dev/mem shows what is not RAM to the kernel.
READ_PAGE = ("exec dd if=/dev/mem bs=4096 skip=$((0xf0000 / 4096)) count=1 2>/dev/null | "
             "hexdump -v -e '1/1 \"%02x\"'")
COUNTS = f"exec grep ACPI:Ged /proc/interrupts; dmesg | grep -c '{TOLD}'"


class Generation(harness.TestCase):
    def counts(self, session):
        """(notifications since boot, how often the kernel said that it was forked)"""
        text = session.ask(COUNTS)
        found = re.search(r"^ *\d+: +(\d+) .*ACPI:Ged\n(\d+)\n$", text)
        self.assertTrue(found, text)
        return int(found.group(1)), int(found.group(2))

    def counts_when_told(self, session):
        def told():
            counts = self.counts(session)
            return counts if counts[1] else None

        return harness.wait_until(told, "the kernel tells of the fork")

    def test_told_once(self):
        seen = set()
        # What the template had counted is in the server's log.
        with linux.LinuxServer(
                cmdline='"forkvm.setup=grep ACPI:Ged /proc/interrupts"') as server, \
                server.connect() as connection:
            before = re.search(r"template: .*?\d+: +(\d+) .*ACPI:Ged", server.log())
            self.assertTrue(before, server.log())
            before = int(before.group(1))
            for _ in range(CLONES):
                with linux.Session(connection) as session:
                    told = linux.identity(session.answer())
                    self.assertEqual(self.counts_when_told(session), (before + 1, 1))
                    # Not a second time.
                    session.ask("exec sleep 0.2; echo slept")
                    self.assertEqual(self.counts(session), (before + 1, 1))
                    page = session.ask(READ_PAGE)
                    self.assertEqual(page.count(told["generation_id"]), 1, page[:200])
                    seen.add(told["generation_id"])
                self.assertEqual(connection.read_line()["ended"]["reason"], "done")
            self.assertEqual(len(seen), CLONES)
            linux.report(f"\n{CLONES} clones: each kernel was told of its fork once "
                         f"(ACPI:Ged {before} in the template, {before + 1} in each clone), and has "
                         f"its own id in memory")


if __name__ == "__main__":
    harness.main()

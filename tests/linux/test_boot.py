#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's kernels boot to the template point, with few and many vCPUs, with RAM on one side of the
hole below 4 GiB and on both; a clone of each sees what it was given. Prints a table.

By default a few machines that have each kernel, each number of vCPUs and each size of RAM at least
once; with --all every combination.
"""

import itertools
import re
import sys
from collections import namedtuple

import harness_linux as linux
import harness
import images

Machine = namedtuple("Machine", "kernel cpus memory_mib")

KERNELS = ("cloud", "generic")
CPUS = (1, 2, 8)
MEMORY_MIB = (256, 5120)
ALL = [*itertools.starmap(Machine, itertools.product(KERNELS, CPUS, MEMORY_MIB)),
       Machine("vmlinux", 2, 256)]
FEW = [Machine("generic", 1, 5120), Machine("cloud", 8, 256), Machine("cloud", 2, 5120),
       Machine("vmlinux", 2, 256)]
# What the kernel keeps for itself of a machine's RAM: its own image, and a structure for each page.
KEPT_MIB = 64
KEPT_PART = 0.03

is_complete = "--all" in sys.argv[1:]
linux.run_in_lab(lambda: {
    "cloud": images.kernel("cloud"),
    "generic": images.kernel("generic"),
    "vmlinux": images.vmlinux("generic"),
    "cloud.initrd": images.initrd("plain", "cloud"),
    "generic.initrd": images.initrd("plain", "generic"),
}, memory_mib=6144, timeout_s=1800 if is_complete else 500)


def row(*cells):
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, (8, 5, 9, 9, 9, 12, 9, 10)))


class Boot(harness.TestCase):
    def boot(self, machine):
        initrd = "cloud.initrd" if machine.kernel == "cloud" else "generic.initrd"
        with linux.LinuxServer(machine.kernel, initrd, cpus=machine.cpus,
                               memory=machine.memory_mib) as server, \
                server.connect() as connection:
            template = server.template()
            self.assertEqual(template["frozen_by"], "guest")
            timer = linux.Timer()
            with linux.Session(connection) as session:
                self.assertTrue(linux.identity(session.answer())["reseeded"])
                answered_s = timer.seconds
                cpus = int(session.ask("exec nproc"))
                seen_kib = int(re.search(r"MemTotal: +(\d+) kB",
                                         session.ask("exec cat /proc/meminfo")).group(1))
        linux.report(row(machine.kernel, machine.cpus, f"{machine.memory_mib} MiB",
                         f"{template['booted_us'] / 1e6:.1f} s",
                         f"{template['frozen_us'] / 1e3:.0f} ms",
                         f"{template['populated_bytes'] / (1 << 20):.0f} MiB",
                         f"{answered_s:.2f} s", f"{cpus}, {seen_kib // 1024} MiB"))
        self.assertEqual(cpus, machine.cpus)
        kept_kib = machine.memory_mib * 1024 - seen_kib
        self.assertGreater(kept_kib, 0)
        self.assertLess(kept_kib, (KEPT_MIB + machine.memory_mib * KEPT_PART) * 1024)

    def test_matrix(self):
        linux.report("\n" + row("kernel", "vCPUs", "RAM", "booted", "frozen", "populated",
                                "answered", "clone sees"))
        for machine in ALL if is_complete else FEW:
            with self.subTest(machine=machine):
                self.boot(machine)


if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word != "--all"]
    harness.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Templates with several vCPUs: in their clones every CPU works, and has its timer.

FORKVM_TEST_CPUS=4,16 takes these counts instead of 2 and 8.
"""

import os
import re

import harness_linux as linux
import harness
import images
import trouble

linux.run_in_lab(lambda: {
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("plain", "cloud"),
})

COUNTS = [int(word) for word in os.environ.get("FORKVM_TEST_CPUS", "2,8").split(",")]
# On each CPU, one after another: which it is, and some work there.
PINNED = ("exec for c in $(seq 0 $(($(nproc)-1))); do taskset $(printf %x $((1<<c))) "
          "sh -c 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; "
          "grep Cpus_allowed_list /proc/self/status'; done")
# And on all at once.
TOGETHER = ("exec for c in $(seq 0 $(($(nproc)-1))); do taskset $(printf %x $((1<<c))) "
            "sh -c 'i=0; while [ $i -lt 6000 ]; do i=$((i+1)); done; echo done' & done; wait")


def interrupts(session, name):
    """Of that kind, one number a CPU."""
    line = re.search(rf"^ *{name}: +((?:\d+ +)+)", session.ask("exec cat /proc/interrupts"),
                     re.MULTILINE)
    return [int(word) for word in line.group(1).split()]


class Smp(harness.TestCase):
    def check_clone(self, session, cpus):
        session.answer()
        before = interrupts(session, "LOC")
        self.assertEqual(len(before), cpus)
        self.assertEqual(re.findall(r"Cpus_allowed_list:\s*(\S+)", session.ask(PINNED)),
                         [str(cpu) for cpu in range(cpus)])
        self.assertEqual(session.ask(TOGETHER).split(), ["done"] * cpus)
        after = interrupts(session, "LOC")
        moved = [new - old for old, new in zip(before, after)]
        self.assertTrue(all(moved), f"timer interrupts on each CPU: {moved}")
        self.assertEqual(session.ask("exec cat /sys/devices/system/cpu/online").strip(),
                         f"0-{cpus - 1}")
        self.assertEqual(trouble.lines_of(session.ask("exec dmesg")), [])
        return moved

    def check(self, cpus):
        timer = linux.Timer()
        with linux.LinuxServer(cpus=cpus) as server:
            template = server.template()
            booted = timer.seconds
            with server.connect() as connection:
                with linux.Session(connection) as session:
                    moved = self.check_clone(session, cpus)
                # Two at once, neither of which is in the other's way.
                with linux.Session(connection) as one, linux.Session(connection) as other:
                    self.check_clone(one, cpus)
                    self.check_clone(other, cpus)
            self.assertEqual(template["vcpus"], cpus)
        linux.report(f"{cpus} vCPUs: booted in {booted:.1f} s, frozen in "
                     f"{template['frozen_us'] / 1000:.0f} ms; timer interrupts {moved}; "
                     f"{timer.seconds:.1f} s in all")


for count in COUNTS:
    setattr(Smp, f"test_{count}", lambda self, cpus=count: self.check(cpus))

if __name__ == "__main__":
    harness.main()

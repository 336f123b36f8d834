#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A workload that checks its own results is started in a template with two vCPUs, and runs through
the freeze and on in two clones at once; neither it nor the kernel finds anything wrong.

FORKVM_TEST_SECONDS: how long it runs on in each clone (10).
"""

import os
import re
import shutil

import harness_linux as linux
import harness
import images
import trouble

SECONDS = int(os.environ.get("FORKVM_TEST_SECONDS", "10"))
CPUS = 2
LOG = "/run/stress.log"
# stress-ng counts an operation of vm once a method has been through all of its memory: with tens of MiB
# the first method takes as long as the test does.
WORK = ("stress-ng --verify --metrics-brief --timeout 3600 --temp-path /tmp --oom-avoid "
        "--matrix 1 --matrix-size 32 --cpu 1 --cpu-method all --timer 1 --timer-freq 500 --futex 1 "
        "--vm 1 --vm-bytes 2M")


def make_images():
    program = shutil.which("stress-ng")
    if not program:
        raise images.Missing("stress-ng is missing (package stress-ng)")
    return {
        "kernel": images.kernel("cloud"),
        "initrd": images.initrd("workload", "cloud", "--program", f"{program}:/bin/stress-ng"),
    }


linux.run_in_lab(make_images, memory_mib=3072, timeout_s=400 + 20 * SECONDS)

# Ask it to stop as a user would, wait for its own verdict, and show all it has said.
REPORT = (f"exec sleep {SECONDS}; kill -INT $(cat /run/stress.pid); "
          "i=0; while kill -0 $(cat /run/stress.pid) 2>/dev/null && [ $i -lt 300 ]; do "
          f"i=$((i+1)); usleep 100000; done; cat {LOG}; echo status $(cat /run/stress.status); dmesg")


class Workload(harness.TestCase):
    def check_clone(self, report):
        status = re.search(r"^status (\d+)$", report, re.MULTILINE)
        self.assertIsNotNone(status, report[-2000:])
        said, log = report[:status.start()], report[status.end():]
        self.assertEqual(status.group(1), "0", said[-2000:])
        self.assertIn("successful run completed", said, said[-2000:])
        for bad in ("fail:", "corrupted", "verification failed", "error:"):
            self.assertNotIn(bad, said, said[-2000:])
        self.assertEqual(trouble.lines_of(log), [])
        done = re.findall(r"metrc: \[\d+\] (\w+) +(\d+) ", said)
        self.assertGreaterEqual(len(done), 5, said[-2000:])
        for stressor, operations in done:
            self.assertGreater(int(operations), 0, stressor + ": " + said[-2000:])
        linux.report("in a clone: " + ", ".join(f"{name} {count}" for name, count in done))

    def test_workload(self):
        setup = (f"(sh -c 'echo $$ > /run/stress.pid; exec {WORK}' > {LOG} 2>&1; "
                 "echo $? > /run/stress.status) & sleep 3")
        with linux.LinuxServer(cpus=CPUS, cmdline=f'forkvm.setup="{setup}"') as server:
            with server.connect() as connection:
                clones = [connection.start(REPORT.encode()) for _ in range(2)]
                for clone in clones:
                    self.check_clone(clone.read_answer().decode(errors="replace"))
                for _ in clones:
                    end = connection.read_line()["ended"]
                    self.assert_end(end, "done")
            linux.report(f"two clones, {SECONDS} s each after the freeze: nothing is wrong")


if __name__ == "__main__":
    harness.main()

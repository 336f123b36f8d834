#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's kernels boot to the template point, and clones of them answer."""

import harness_linux as linux
import harness
import images

linux.run_in_lab(lambda: {
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("plain", "cloud"),
}, memory_mib=2048)


class Boot(harness.TestCase):
    def test_clone_answers(self):
        with linux.LinuxServer(cpus=2) as server, server.connect() as connection:
            with linux.Session(connection) as session:
                self.assertTrue(linux.identity(session.answer())["reseeded"])
                self.assertEqual(session.ask("exec nproc"), "2\n")


if __name__ == "__main__":
    harness.main()

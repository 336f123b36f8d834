#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How Linux guests switch themselves off, or reset themselves: by each way that a PC has."""

import harness_linux as linux
import harness
import images

linux.run_in_lab(lambda: {
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("plain", "cloud"),
})

PANIC = "sh -c 'echo c >/proc/sysrq-trigger'"  # and panic=-1 on the command line: at once


class Power(harness.TestCase):
    def check_end(self, server, command, words):
        """One clone carries that out, and another answers after it."""
        with server.connect() as connection:
            connection.start(f"exec {command}".encode(), answer=False)
            end = connection.read_line()["ended"]
            self.assertEqual(end["reason"], "shutdown", end)
            self.assertIn(words, end["error"], end)
            self.assertEqual(linux.ask(connection, "exec echo well"), "well\n")

    def test_by_the_kernels_choice(self):
        with linux.LinuxServer() as server:
            for command, words in (("poweroff -f", "power-off"), ("reboot -f", "a reset"),
                                   (PANIC, "a reset")):
                with self.subTest(command):
                    self.check_end(server, command, words)

    def test_by_the_keyboard_controller(self):
        with linux.LinuxServer(cmdline="reboot=k") as server:
            self.check_end(server, "reboot -f", "a reset")

    def test_by_acpi(self):
        with linux.LinuxServer(cmdline="reboot=a", cpus=2) as server:
            self.check_end(server, "reboot -f", "a reset")
            self.check_end(server, "poweroff -f", "power-off")

    def test_before_the_template_point(self):
        for command, words in (("poweroff -f", "power-off"), ("reboot -f", "a reset")):
            with self.subTest(command):
                server = linux.LinuxServer(cmdline=f'forkvm.setup="{command}"')
                try:
                    with self.assertRaisesRegex(AssertionError, f"the guest asked for {words}"):
                        server.start()
                finally:
                    server.clean()


if __name__ == "__main__":
    harness.main()

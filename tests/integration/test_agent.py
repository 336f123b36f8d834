#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Linux agent with a host that it plays itself: a clone's life from its options to its end.

Nothing of this machine is changed: a pretended clone that is not init leaves clock, hostname, machine
id and random generator alone. What they do is for guests to show.
"""

import json
import os
import re
import subprocess
import tempfile

import harness

AGENT = harness.stub("forkvm-agent")
INITRD = os.path.join(harness.ROOT, "tests", "lab", "initrd")


def agent(*args, env=None):
    command = [AGENT, "--pretend-clone=7", "--modules-list", "/nonexistent", *args]
    return subprocess.run(command, capture_output=True, timeout=harness.DEADLINE_S, env=env,
                          check=False, stdin=subprocess.DEVNULL)


def requests(*texts):
    return [word for text in texts for word in ("--pretend-request", text)]


class Agent(harness.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def hook(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text + "\n")
        os.chmod(path, 0o755)

    def test_built_in_requests(self):
        result = agent("--no-hooks", *requests("", "echo  a b", "exec exit 3", "clock", "nothing"))
        self.assertEqual(result.returncode, 0, result)
        lines = result.stdout.decode().split("\n")
        told = json.loads(lines[0])
        self.assertEqual(told["clone_id"], 7)
        self.assertRegex(told["generation_id"], "^[0-9a-f]{32}$")
        self.assertRegex(told["getrandom"], "^[0-9a-f]{64}$")
        self.assertNotEqual(told["getrandom"], told["urandom"])
        for step in ("reseeded", "clock_set", "hostname_set", "machine_id_set"):
            self.assertIs(told[step], False, step)
        self.assertEqual(lines[1], " a b")
        self.assertIn("error_ns", json.loads(lines[2]))
        self.assertIn("there is no such request", lines[3])
        self.assertIn(b"exit status 3", result.stderr)

    def test_handler(self):
        env = {"PATH": "/usr/bin:/bin", "FORKVM_CLONE_ID": "stale", "OWN": "kept"}
        result = agent("--no-hooks", "--handler", "echo $FORKVM_CLONE_ID $OWN $FORKVM_REQUEST_SEQ; cat",
                       *requests("one", "two"), env=env)
        self.assertEqual(result.stdout, b"7 kept 1\none\n7 kept 2\ntwo\n", result)

    def test_spare(self):
        """A clone without a request is renewed, waits, and is given its first one."""
        self.hook("10-told", "echo hook $FORKVM_REQUEST_SEQ >&2")
        result = agent("--pretend-spare", "--hooks-dir", self.folder, "--handler",
                       "echo $FORKVM_REQUEST_SEQ; cat", *requests("one", "two"))
        self.assertEqual((result.returncode, result.stdout), (0, b"1\none\n2\ntwo\n"), result)
        self.assertIn(b"hook 0", result.stderr)

    def test_once(self):
        result = agent("--no-hooks", "--once", *requests("echo first", "echo second"))
        self.assertEqual((result.returncode, result.stdout), (0, b"first\n"), result)

    def test_setup(self):
        result = agent("--no-hooks", "--setup", "echo ready >&2", *requests("echo served"))
        self.assertEqual((result.stdout, result.stderr), (b"served\n", b"ready\n"), result)
        result = agent("--setup", "exit 9", *requests("echo served"))
        self.assertEqual((result.returncode, result.stdout), (3, b""), result)
        self.assertIn(b"exit status 9", result.stderr)

    def test_hooks(self):
        self.hook("10-first", "echo one $FORKVM_CLONE_ID >&2")
        self.hook("20-fails", "exit 1")
        self.hook("30-last", "echo three >&2")
        self.hook("40.ignored", "echo never >&2")
        result = agent("--hooks-dir", self.folder)
        told = json.loads(result.stdout)
        self.assertEqual((told["hooks_run"], told["hooks_failed"]), (3, 1))
        self.assertRegex(result.stderr, re.compile(rb"^one 7\n.*20-fails: exit status 1\nthree\n$", re.S))
        result = agent("--hooks-dir", self.folder, "--hooks-must-succeed")
        self.assertEqual((result.returncode, result.stdout), (4, b""), result)

    def test_bad_options(self):
        for args in (("--bogus",), ("word",), ("--handler",), ("--hook-timeout", "soon")):
            result = agent(*args)
            self.assertEqual((result.returncode, result.stdout), (2, b""), result)
            self.assertTrue(result.stderr.startswith(b"forkvm-agent: error: "), result)

    def test_help(self):
        result = agent("--help")
        self.assertEqual(result.returncode, 0)
        for option in (b"--module ", b"--setup ", b"--handler ", b"--once ", b"--freeze "):
            self.assertIn(option, result.stdout)


class Initrd(harness.TestCase):
    def build(self, path, *args):
        return subprocess.run([INITRD, path, "--agent", AGENT, "--no-busybox", *args],
                              capture_output=True, timeout=harness.DEADLINE_S, check=False)

    def test_same_input_same_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            images = []
            for name in ("a", "b"):
                path = os.path.join(folder, name)
                result = self.build(path, "--text", "/etc/x", "some text", "--add",
                                    f"{INITRD}:/bin/script", "--script", "/bin/y", "true")
                self.assertEqual(result.returncode, 0, result)
                with open(path, "rb") as file:
                    images.append(file.read())
            self.assertEqual(*images)

    def test_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a")
            for args in (("--module", "virtio"), ("--add", "/nonexistent:/x"), ("--bogus",),
                         ("--modules-from", folder, "--module", "virtio")):
                result = self.build(path, *args)
                self.assertEqual(result.returncode, 1, result)
                self.assertTrue(result.stderr.startswith(b"initrd: "), result)
                self.assertFalse(os.path.exists(path))


if __name__ == "__main__":
    harness.main()

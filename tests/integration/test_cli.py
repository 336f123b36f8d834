#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command line: every verb, its output for people and as JSON, its exit statuses."""

import base64
import json
import os
import subprocess
import termios

import harness
from harness import Server, is_alive, run, wait_until

OK, FAILED, MISUSED, UNREACHABLE, CLONE = range(5)
MAX_REQUEST = 65536
VERBS = ("serve", "clone", "list", "inspect", "kill", "disk", "freeze", "stats", "stop",
         "version", "help")


class Cli(harness.TestCase):
    def expect(self, result, status, stdout=None, *words):
        self.assertEqual(result.returncode, status, result)
        if stdout is not None:
            self.assertEqual(result.stdout, stdout, result)
        for word in words:
            self.assertIn(word.encode(), result.stderr, result)
        if status == OK:
            self.assertEqual(result.stderr, b"", result)

    # ---- Without a server ----

    def test_help(self):
        result = run("help")
        self.expect(result, OK)
        for verb in VERBS:
            self.assertIn(verb.encode(), result.stdout)
        for args in (("--help",), ("-h",)):
            self.assertEqual(run(*args).stdout, result.stdout)
        for verb in VERBS:
            told = run("help", verb)
            self.expect(told, OK)
            self.assertIn(b"usage: forkvm " + verb.encode(), told.stdout)
        for verb in VERBS[:-2]:
            self.assertEqual(run(verb, "--help").stdout, run("help", verb).stdout)

    def test_version(self):
        result = run("version")
        self.expect(result, OK)
        self.assertRegex(result.stdout, rb"^forkvm \d+\.\d+\.\d+ \(protocol 1\)\n$")
        self.assertEqual(run("--version").stdout, result.stdout)
        told = json.loads(run("version", "--json").stdout)
        self.assertEqual(told["protocol"], 1)
        self.assertIn(told["forkvm"].encode(), result.stdout)

    def test_no_such_verb(self):
        self.expect(run("frobnicate"), MISUSED, b"", "frobnicate")
        self.expect(run("help", "frobnicate"), MISUSED, b"", "frobnicate")
        self.expect(run(""), MISUSED, b"")
        result = run()
        self.assertEqual(result.returncode, MISUSED)

    def test_no_server(self):
        for verb in ("clone", "list", "inspect", "freeze", "stats", "stop"):
            self.expect(run(verb, "--socket", "/tmp/forkvm-it-none.sock"), UNREACHABLE, b"",
                        "no server is at /tmp/forkvm-it-none.sock", "forkvm serve")
        self.expect(run("kill", "--all", "--socket", "/tmp/forkvm-it-none.sock"), UNREACHABLE, b"")

    def test_not_a_server(self):
        self.expect(run("stats", "--socket", "/dev/null"), UNREACHABLE, b"")
        self.expect(run("stats", "--socket", "/tmp"), UNREACHABLE, b"")

    def test_unknown_and_malformed_options(self):
        for verb in ("clone", "list", "inspect", "kill", "freeze", "stats", "stop"):
            for options in (["--nonsense"], ["-x"], ["--socket"], ["--name"], ["--json=1"],
                            ["--socket", ""], ["--name", "a", "--socket", "b"],
                            ["--socket", "x" * 200], ["--name", "a/b"]):
                with self.subTest(verb=verb, options=options):
                    more = ["--all"] if verb == "kill" else []
                    result = run(verb, *options, *more)
                    self.expect(result, MISUSED, b"")
                    self.assertIn(f"forkvm {verb}: ".encode(), result.stderr)
        for options in (["--count", "0"], ["--count", "x"], ["--count", "-1"],
                        ["--count", "99999999999"], ["--timeout", "x"], ["--timeout", "-5"],
                        ["--request", "a", "--request-file", "b"], ["stray"],
                        ["--console", "--console-file", "a"],
                        ["--console-file", "-", "--count", "2"],
                        ["--console-file", "-", "--detach"], ["--console-file", "-", "--json"],
                        ["--console-file", "-", "--request-file", "-"]):
            with self.subTest(options=options):
                self.expect(run("clone", *options), MISUSED, b"")
        for args in ((), ("x",), ("-1",), ("1", "--all"), ("99999999999999999999",)):
            self.expect(run("kill", *args), MISUSED, b"")
        self.expect(run("inspect", "1", "2"), MISUSED, b"")
        for time in ("", "x", "-1"):
            self.expect(run("freeze", "--timeout", time), MISUSED, b"", "--timeout")
        for verb in ("list", "freeze", "stats", "stop"):
            self.expect(run(verb, "stray"), MISUSED, b"")

    # ---- clone ----

    def test_clone(self):
        with Server("hello") as server:
            self.expect(server.cli("clone"), OK, b"ok hello clone=1\n")
            result = server.cli("clone", "--count", 3)
            self.expect(result, OK)
            for i in (2, 3, 4):
                self.assertIn(b"==> clone %d: done 0 <==\nok hello clone=%d\n" % (i, i),
                              result.stdout)

    def test_clone_many(self):
        with Server("hello") as server:
            result = server.cli("clone", "--count", 300, "--json")
            self.expect(result, OK)
            told = [json.loads(line) for line in result.stdout.splitlines()]
            self.assertEqual(sorted(clone["id"] for clone in told), list(range(1, 301)))
            for clone in told:
                self.assertEqual(clone["reason"], "done")
                self.assertEqual(clone["response"], f"ok hello clone={clone['id']}\n")
                self.assertGreater(clone["stages_us"]["answered"], 0)

    def test_requests(self):
        every_byte = bytes(range(256)) * 256
        with Server("echo") as server:
            self.expect(server.cli("clone", "--request", "text"), OK, b"text")
            self.expect(server.cli("clone", "--request", ""), OK, b"")
            self.expect(server.cli("clone", "--request-file", "-", stdin=b""), OK, b"")
            self.expect(server.cli("clone", "--request-file", "-", stdin=every_byte), OK,
                        every_byte)
            path = os.path.join(server.folder, "request")
            with open(path, "wb") as file:
                file.write(every_byte)
            self.expect(server.cli("clone", "--request-file", path), OK, every_byte)
            told = json.loads(server.cli("clone", "--request-file", path, "--json").stdout)
            self.assertEqual(base64.b64decode(told["response_b64"]), every_byte)
            told = json.loads(server.cli("clone", "--request", "\u2603", "--json").stdout)
            self.assertEqual(told["response"], "\u2603")

    def test_requests_that_are_too_long(self):
        with Server("echo") as server:
            self.expect(server.cli("clone", "--request-file", "-", stdin=b"a" * MAX_REQUEST), OK,
                        b"a" * MAX_REQUEST)
            self.expect(server.cli("clone", "--request-file", "-", stdin=b"a" * (MAX_REQUEST + 1)),
                        FAILED, b"", "65536")
            self.expect(server.cli("clone", "--request-file", "/dev/zero"), FAILED, b"", "65536")
            self.expect(server.cli("clone", "--request", "a" * (MAX_REQUEST + 1)), MISUSED, b"",
                        "65536")
            server.check_serving()
        with Server("hello") as server:
            self.expect(server.cli("clone", "--request", "a" * 2000), FAILED, b"", "at most")

    def test_request_files_that_are_none(self):
        with Server("echo") as server:
            self.expect(server.cli("clone", "--request-file", "/nowhere"), FAILED, b"", "/nowhere")
            self.expect(server.cli("clone", "--request-file", "/tmp"), FAILED, b"", "/tmp")
            self.assertEqual(server.stats()["clones"]["started"], 0)

    def test_clones_that_do_not_end_well(self):
        with Server("crash") as server:
            self.expect(server.cli("clone"), CLONE, b"", "clone 1 ended: guest-error",
                        "triple fault")
            result = server.cli("clone", "--count", 3, "--json")
            self.assertEqual(result.returncode, CLONE)
            for line in result.stdout.splitlines():
                self.assertEqual(json.loads(line)["reason"], "guest-error")
        with Server("spin") as server:
            self.expect(server.cli("clone", "--timeout", "50ms"), CLONE, b"", "timeout")
        with Server("hostile") as server:
            self.expect(server.cli("clone", "--request", "op=done-maximal"), CLONE, b"",
                        "status 4294967295")

    def test_console(self):
        with Server("hostile") as server:
            result = server.cli("clone", "--console", "--request", "op=exception")
            self.assertEqual(result.returncode, CLONE)
            self.assertIn(b"exception", result.stderr)

    def test_console_file(self):
        with Server("hostile") as server:
            path = os.path.join(server.folder, "console")
            for _ in range(2):
                result = server.cli("clone", "--console-file", path, "--request", "op=exception")
                self.assertEqual(result.returncode, CLONE)
                self.assertNotIn(b"vector", result.stderr)
            result = server.cli("clone", "--console-file", path, "--detach", "--count", 3,
                                "--request", "op=exception")
            self.expect(result, OK)
            server.wait_quiet()
            with open(path, "rb") as file:
                self.assertEqual(file.read().count(b"exception"), 5, "it is appended to")
            self.expect(server.cli("clone", "--console-file", "/nowhere/at/all"), FAILED, b"",
                        "/nowhere/at/all", "No such file")

    def test_console_on_standard_output(self):
        with Server("hostile") as server:
            for stdin in (b"", b"some input\n" * 10000):
                result = server.cli("clone", "--console-file", "-", "--request", "op=exception",
                                    stdin=stdin)
                self.assertEqual(result.returncode, CLONE)
                self.assertIn(b"exception", result.stdout)
                self.assertIn(b"status", result.stderr)

    def test_console_on_a_terminal(self):
        """What is typed does not echo, Ctrl-C is the guest's, Ctrl-] is the way out."""
        with Server("spin") as server:
            ours, theirs = os.openpty()
            before = termios.tcgetattr(theirs)
            process = subprocess.Popen(
                [harness.FORKVM, "clone", "--socket", server.path, "--console-file", "-"],
                stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
            wait_until(lambda: len(server.clones()) == 1, "it lives")
            self.assertFalse(termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ISIG))
            os.write(ours, b"abc\x03\x04")
            self.assertFalse(harness.readable(ours, 0.1))
            self.assertIsNone(process.poll())
            os.write(ours, b"\x1d")
            self.assertEqual(process.wait(harness.DEADLINE_S), OK)
            self.assertEqual(termios.tcgetattr(theirs), before)
            os.close(ours)
            os.close(theirs)
            server.wait_quiet()

    def test_detach(self):
        with Server("spin") as server:
            result = server.cli("clone", "--detach", "--count", 3)
            self.expect(result, OK, b"1\n2\n3\n")
            pids = set(server.clones())
            self.assertEqual(len(pids), 3)
            result = server.cli("clone", "--detach", "--json")
            self.expect(result, OK)
            told = json.loads(result.stdout)
            self.assertEqual(told["id"], 4)
            self.assertTrue(is_alive(told["pid"]))
            self.expect(server.cli("kill", "--all"), OK, b"4 killed\n")
            wait_until(lambda: not any(map(is_alive, pids)), "they are gone")
            server.wait_quiet()

    def test_interrupted(self):
        """A client that is killed takes its clones along."""
        with Server("spin") as server:
            process = subprocess.Popen([harness.FORKVM, "clone", "--socket", server.path,
                                        "--count", "5"], stdout=subprocess.DEVNULL)
            wait_until(lambda: len(server.clones()) == 5, "they live")
            process.kill()
            process.wait(harness.DEADLINE_S)
            server.wait_quiet()

    def test_output_that_goes_nowhere(self):
        with Server("hello") as server, open("/dev/full", "wb") as full:
            result = subprocess.run([harness.FORKVM, "clone", "--socket", server.path],
                                    stdout=full, stderr=subprocess.PIPE, check=False,
                                    timeout=harness.DEADLINE_S)
            self.assertEqual(result.returncode, FAILED, result)
            self.assertIn(b"No space left", result.stderr)

    # ---- The other verbs ----

    def test_list(self):
        with Server("spin") as server:
            result = server.cli("list")
            self.expect(result, OK)
            self.assertEqual(len(result.stdout.splitlines()), 1, "the heading")
            self.expect(server.cli("list", "--json"), OK, b"")
            server.cli("clone", "--detach", "--count", 2)
            lines = server.cli("list").stdout.splitlines()
            self.assertEqual(len(lines), 3)
            self.assertEqual([line.split()[0] for line in lines[1:]], [b"1", b"2"])
            told = [json.loads(line) for line in server.cli("list", "--json").stdout.splitlines()]
            self.assertEqual([clone["id"] for clone in told], [1, 2])
            for clone in told:
                self.assertTrue(is_alive(clone["pid"]))
                self.assertTrue(clone["detached"])
                self.assertGreaterEqual(clone["age_ms"], 0)
            server.cli("kill", "--all")
            server.wait_quiet()

    def test_list_of_many(self):
        """More than fit one reply."""
        with Server("spin") as server, server.connect() as connection:
            # Stopped at once, so that they do not take each other's time.
            count = 520
            for _ in range(count):
                connection.send({"op": "clone", "detach": True})
                os.kill(connection.read_line()["started"]["pid"], harness.signal.SIGSTOP)
            told = [json.loads(line)["id"] for line in
                    server.cli("list", "--json").stdout.splitlines()]
            self.assertEqual(told, list(range(1, count + 1)))
            self.assertEqual(connection.call("kill", all=True), {"killed": count})
            server.wait_quiet()

    def test_inspect(self):
        with Server("echo", "--mem", "64", "--cpus", 2, "--clone-timeout", "1h",
                    "--name", "inspected") as server:
            told = json.loads(server.cli("inspect", "--json").stdout)
            self.assertEqual(told["server"]["pid"], server.pid)
            self.assertEqual(told["server"]["name"], "inspected")
            self.assertEqual(told["server"]["clone_timeout_ms"], 3600000)
            self.assertEqual(told["template"]["ram_bytes"], 64 << 20)
            self.assertEqual(told["template"]["vcpus"], 2)
            self.assertEqual(told["template"]["stub"], harness.stub("echo"))
            self.assertGreater(told["template"]["populated_bytes"], 0)
            result = server.cli("inspect")
            self.expect(result, OK)
            self.assertIn(b"ram_bytes", result.stdout)

    def test_inspect_a_clone(self):
        with Server("spin") as server:
            server.cli("clone", "--detach", "--timeout", "1h")

            def inspect():
                return json.loads(server.cli("inspect", 1, "--json").stdout)

            # One that has just been forked has nothing to itself yet.
            wait_until(lambda: inspect()["memory"]["private_kib"] > 0, "it has memory of its own")
            told = inspect()
            self.assertEqual(told["id"], 1)
            self.assertTrue(is_alive(told["pid"]))
            self.assertGreater(told["time_left_ms"], 3000000)
            self.expect(server.cli("inspect", 99), FAILED, b"", "no live clone 99")
            server.cli("kill", 1)
            server.wait_quiet()

    def test_kill(self):
        with Server("spin") as server:
            server.cli("clone", "--detach", "--count", 4)
            self.expect(server.cli("kill", 1), OK, b"1 killed\n")
            self.expect(server.cli("kill", 2, 3), OK, b"2 killed\n3 killed\n")
            wait_until(lambda: len(server.clones()) == 1, "one is left")
            result = server.cli("kill", 1, 4, 99)
            self.expect(result, FAILED, b"4 killed\n", "no live clone 1", "no live clone 99")
            self.expect(server.cli("kill", "--all"), OK)
            server.wait_quiet()

    def test_stats(self):
        with Server("echo") as server:
            server.cli("clone", "--count", 10)
            told = json.loads(server.cli("stats", "--json").stdout)
            self.assertEqual(told["clones"]["started"], 10)
            self.assertEqual(told["clones"]["ended"]["done"], 10)
            self.assertEqual(told["fork_us"]["count"], 10)
            self.assertGreater(told["fork_us"]["min"], 0)
            self.assertLessEqual(told["fork_us"]["p50"], told["fork_us"]["max"])
            result = server.cli("stats")
            self.expect(result, OK)
            self.assertIn(b"fork_us", result.stdout)

    def test_logs(self):
        for options, check in (([], lambda line: " info " in line or " warning " in line),
                               (["--log-json"], lambda line: "time" in json.loads(line)),
                               (["--log-level", "debug", "--log-json"],
                                lambda line: json.loads(line)["message"])):
            server = Server("hello", *options).start()
            server.check_serving()
            server.process.terminate()
            self.assertEqual(server.wait(), 0)
            lines = server.log().splitlines()
            self.assertGreaterEqual(len(lines), 3)
            for line in lines:
                self.assertTrue(check(line), line)
            server.clean()
        server = Server("hello", "--log-level", "error").start()
        server.check_serving()
        server.process.terminate()
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.log(), "")
        server.clean()


if __name__ == "__main__":
    harness.main()

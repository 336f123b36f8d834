#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The mixed soak: some seconds of it, its table and its report; and that it finds what is wrong."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import harness

SOAK = os.path.join(harness.ROOT, "bench", "soak")
sys.path.insert(0, os.path.join(harness.ROOT, "bench", "soak_mix"))
import killings  # noqa: E402
import ledger  # noqa: E402
import plots  # noqa: E402
import request  # noqa: E402
import samples  # noqa: E402
import verdict  # noqa: E402
import where  # noqa: E402


def soak(*options):
    return subprocess.run([SOAK, "mixed", "--bin", os.path.join(harness.BUILD, "bin"), *options],
                          capture_output=True, text=True, timeout=300, check=False)


def servers_of(pid):
    """Its children that run forkvm; in the beginning it is a script that has others."""
    found = []
    for child in harness.children_of(pid):
        try:
            with open(f"/proc/{child}/comm", encoding="ascii") as file:
                found += [child] if file.read() == "forkvm\n" else []
        except OSError:  # gone by now
            pass
    return found


class Run(harness.TestCase):
    def test_some_seconds(self):
        with tempfile.TemporaryDirectory() as folder:
            page = os.path.join(folder, "soak.html")
            done = soak("--seconds", "6", "--seed", "1", "--report", page)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertIn("nothing grew", done.stdout)
            for row in ("cold", "claimed", "session", "detached", "unread", "batch", "silent",
                        "descriptors", "rss_kib"):
                self.assertRegex(done.stdout, rf"(?m)^  {row} +\d")
            with open(page, encoding="utf-8") as file:
                text = file.read()
            self.assertGreater(text.count("<svg"), 12)
            self.assertNotRegex(text, r'(src|href)=|class="bad"')
            with open(os.path.join(folder, "soak.json"), encoding="utf-8") as file:
                told = json.load(file)
            self.assertEqual(set(told["servers"]), {"spares", "reset", "silent"})
            for name, server in told["servers"].items():
                self.assertGreaterEqual(len(server["samples"]), 4)
                self.assertGreater(sum(server["kills"].values()), 0)
                self.assertGreater(server["clones"], 0 if name == "silent" else 100)
            self.assertGreater(told["servers"]["reset"]["pool"]["resets"], 0)

    def test_it_fails(self):
        for what, words in (("lost-end", "no end was told"),
                            ("wrong-answer", "an answer that is not what was asked")):
            with self.subTest(what), tempfile.TemporaryDirectory() as folder:
                done = soak("--seconds", "1", "--inject", what, "--servers", "spares",
                            "--report", os.path.join(folder, "soak.html"))
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assertIn(words, done.stdout)

    def test_a_server_that_dies(self):
        """It is told, and the report is written all the same."""
        with tempfile.TemporaryDirectory() as folder:
            page = os.path.join(folder, "soak.html")
            running = subprocess.Popen(
                [SOAK, "mixed", "--bin", os.path.join(harness.BUILD, "bin"), "--servers", "spares",
                 "--seconds", "60", "--report", page], stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True)
            pid, = harness.wait_until(lambda: servers_of(running.pid), "its server runs")
            harness.wait_until(lambda: len(harness.children_of(pid)) > 12, "it serves")
            os.kill(pid, signal.SIGKILL)
            told = running.communicate(timeout=harness.DEADLINE_S)[0]
            self.assertEqual(running.returncode, 1, told)
            self.assertIn("the server is gone", told)
            self.assertTrue(os.path.exists(page))

    def test_options(self):
        for options in (("--servers", "nonsense"), ("--seconds", "-1"), ("--clients", "0"),
                        ("--inject", "nonsense"), ("--report",), ("nonsense",)):
            self.assertEqual(soak(*options).returncode, 2, options)


def ended(reason, number=1, **more):
    now = time.monotonic_ns()
    return {"id": number, "pid": number + 1000, "reason": reason, "status": 0,
            "stages": {"received": now, "answered": now, "ended": now}, **more}


class Judging(unittest.TestCase):
    def setUp(self):
        self.killings = killings.Killings()
        self.ledger = ledger.Ledger(self.killings)

    def close(self, end=None, answer=b"asked", **more):
        one = request.Request(**{"kind": "cold", "payload": b"asked", **more})
        self.ledger.opened(one)
        one.ended, one.answer, one.answer_over = end, bytearray(answer), True
        one.told_ns = time.monotonic_ns()
        self.ledger.closed(one)
        return "\n".join(self.ledger.faults.lines())

    def test_good(self):
        self.assertEqual(self.close(ended("done")), "")
        self.assertEqual(self.close(ended("done", 2), b"as", dropped=True), "")
        self.killings.note("request", clone_id=3)
        self.assertEqual(self.close(ended("killed", 3), b""), "")
        self.killings.note("signal", pid=1004)
        self.assertEqual(self.close(ended("killed", 4), b"ask"), "")
        self.assertEqual(self.close(None, b"", left=True), "")
        self.assertEqual(self.close(None, b"", error={"code": "EAGAIN"}), "")
        self.assertEqual(self.ledger.count_open(), 0)

    def test_wrong_bytes(self):
        self.assertIn("not what was asked", self.close(ended("done"), b"askew"))

    def test_half_an_answer(self):
        self.assertIn("3 of 5 bytes", self.close(ended("done"), b"ask"))

    def test_somebody_elses_answer(self):
        self.assertIn("ended as another one", self.close(ended("done"), answer_id=2))

    def test_killed_by_nobody(self):
        self.killings.note("request", clone_id=2)
        self.assertIn("nobody did it", self.close(ended("killed", 1), b""))

    def test_a_timeout_of_nobody(self):
        self.assertIn("nobody asked for", self.close(ended("timeout")))

    def test_a_timeout_too_early(self):
        self.assertIn("before its time", self.close(ended("timeout"), timeout_ms=60000))

    def test_other_ends(self):
        self.assertIn("host-error", self.close(ended("host-error", error="words")))

    def test_a_refusal_that_has_no_cause(self):
        self.assertIn("EINVAL", self.close(None, b"", error={"code": "EINVAL", "message": "words"}))

    def test_who_never_answers(self):
        self.assertIn("never", self.close(ended("done"), silent=True))

    def test_an_id_twice(self):
        self.assertEqual(self.close(ended("done", 12345)), "")
        self.assertIn("id was given twice", self.close(ended("done", 12345)))

    def test_a_lost_end(self):
        self.ledger.opened(request.Request("cold"))
        self.ledger.overdue()
        self.assertEqual(len(self.ledger.faults), 0)
        self.ledger.overdue(all_of_them=True)
        self.assertIn("no end was told", "\n".join(self.ledger.faults.lines()))
        self.assertEqual(self.ledger.count_open(), 0)

    def test_an_end_that_is_late(self):
        late = request.Request("cold")
        self.ledger.opened(late)
        late.sent_ns -= (ledger.PATIENCE_S + 1) * 10**9
        self.ledger.overdue()
        self.assertEqual(len(self.ledger.late), 1)
        self.assertEqual(len(self.ledger.faults), 0)
        late.ended = {"reason": "done", "id": 1}
        late.answer_over = True
        self.ledger.closed(late)
        self.assertEqual(len(self.ledger.late), 0)
        self.assertGreater(self.ledger.late_s[0], ledger.PATIENCE_S)
        self.assertEqual(list(self.ledger.faults.lines()), [])


HELD = {"descriptors": 30, "threads": 1, "children": 9, "zombies": 0, "rss_kib": 2000,
        "private_kib": 500}


class Verdicts(unittest.TestCase):
    def verdicts(self, last, slope_kib=0, judge_memory=True):
        run = [{"t_s": at, **HELD, "rss_kib": 2000 + slope_kib * at / 3600}
               for at in range(0, 3601, 5)]
        rows = verdict.judge_growth(HELD, {**HELD, **last}, run, judge_memory)
        return {row[0]: row[-1] for row in rows}

    def test_nothing_grew(self):
        self.assertEqual(set(self.verdicts({}).values()), {"ok"})

    def test_something_grew(self):
        for name in HELD:
            more = 2000 if name.endswith("_kib") else 1
            found = self.verdicts({name: HELD[name] + more})
            self.assertEqual([key for key, word in found.items() if word == "GREW"], [name])

    def test_memory_breathes(self):
        self.assertEqual(set(self.verdicts({"rss_kib": 2500}).values()), {"ok"})

    def test_memory_grows_slowly(self):
        """What is within the slack of each look, but goes on."""
        self.assertEqual(self.verdicts({}, slope_kib=3000)["rss_kib"], "GREW")
        self.assertEqual(self.verdicts({}, slope_kib=-3000)["rss_kib"], "ok")
        self.assertEqual(self.verdicts({}, 3000, judge_memory=False)["rss_kib"], "")

    def test_the_slope(self):
        self.assertAlmostEqual(verdict.slope_per_hour([(0, 1), (10, 2), (20, 3)]), 360)
        self.assertEqual(verdict.slope_per_hour([(5, 1)]), 0)

    def test_counts(self):
        base = {"started": 1, "refused": 0, "ended": {"done": 1, "killed": 0}}

        def judged(counted, live=0):
            clones = {"started": 11, "refused": 2, "live": live, "ended": {"done": 9, "killed": 2}}
            return list(verdict.judge_counts(
                {"left": 0, "detached": 0, "refused": 2, **counted}, base, clones))
        self.assertEqual(judged({"done": 8, "killed": 2}), [])
        self.assertEqual(judged({"done": 7, "killed": 1, "left": 2}), [])
        self.assertEqual(len(judged({"done": 7, "killed": 2})), 1)
        self.assertEqual(len(judged({"done": 9, "killed": 2})), 1)
        self.assertEqual(len(judged({"done": 8, "killed": 2}, live=1)), 1)


class Standing(unittest.TestCase):
    def test_where_a_process_is(self):
        with subprocess.Popen(["sleep", "1000"]) as process:
            try:
                harness.wait_until(lambda: where.of(process.pid, 0).startswith("S "), "it sleeps")
                os.kill(process.pid, signal.SIGSTOP)
                harness.wait_until(lambda: where.of(process.pid, 0).startswith("T "), "it stopped")
                self.assertRegex(where.of(process.pid, 0), r"ran 0\.\d+ and waited 0\.\d+, in all")
            finally:
                process.kill()
        self.assertTrue(where.of(process.pid, 0).startswith("gone; "))


class Figures(unittest.TestCase):
    def test_quantiles_are_observed(self):
        self.assertEqual(samples.percentile([1, 2, 3, 4], 50), 2)
        self.assertEqual(samples.percentile(list(range(1, 101)), 99), 99)
        self.assertEqual(samples.percentile([7], 99), 7)

    def test_plots_of_anything(self):
        for points in ([(0, 0)], [(0, 5), (1, 5)], [(t, t * t) for t in range(2000)],
                       [(0, -3), (9, 1e9)]):
            for log in (False, True):
                svg = plots.plot({"<a>": points, "none": []}, "unit", log=log)
                self.assertTrue(svg.startswith("<svg") and svg.endswith("</svg>"))
                self.assertIn("&lt;a&gt;", svg)
                self.assertNotIn("nan", svg)
        self.assertEqual(plots.plot({"none": []}, "unit"), "")


if __name__ == "__main__":
    harness.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clone_storm and floor run in every mode, their reports hold, and failures are told as such.

usage: smoke.py BIN_DIR
"""

import json
import os
import subprocess
import sys
import tempfile

SKIP = 77
STAGES = ["request", "fork", "vm", "memslots", "vcpus", "state", "run", "answer"]
MEMORY = ["private_kib_per_clone", "pss_kib_per_clone", "rss_kib_per_clone",
          "available_kib_per_clone"]
BIN = sys.argv[1]


def run(*arguments, status=0):
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=100, check=False)
    shown = " ".join(os.path.basename(a) for a in arguments)
    assert done.returncode == status, f"{shown}: status {done.returncode}\n{done.stderr}"
    return done


def storm(*arguments, status=0):
    return run(os.path.join(BIN, "clone_storm"), *arguments, status=status)


def report(*arguments, status=0):
    return json.loads(storm(*arguments, "--json", "-", status=status).stdout)


def check_report(figures, count, label):
    assert figures["ok"] == count and figures["failed"] == 0, f"{label}: {figures['failures']}"
    latency = figures["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] \
        <= latency["max"], f"{label}: {latency}"
    for stage in STAGES:
        assert figures["stages_us"][stage] > 0, f"{label}: stage {stage}"
    for key in MEMORY:
        assert isinstance(figures["memory"][key], (int, float)), f"{label}: {key}"
    assert figures["memory"]["private_kib_per_clone"] > 0, f"{label}: no memory sampled"
    assert figures["clones_per_s"] > 0 and figures["host"]["kernel"], label


def good_runs():
    check_report(report("--count", "30"), 30, "closed loop")
    check_report(report("--count", "40", "--concurrency", "4"), 40, "closed loop, 4")
    check_report(report("--count", "40", "--rate", "200"), 40, "open loop")
    check_report(report("--count", "50", "--alive", "--stub", "unique"), 50, "alive")
    check_report(report("--count", "20", "--stub", "echo", "--request", "x" * 60000), 20, "echo")
    figures = report("--count", "20", "--floor", "--mem", "64", "--populate", "8")
    check_report(figures, 20, "floor")
    assert figures["p50_to_floor"]["plain"] > 0 and figures["p50_to_floor"]["lean"] > 0
    assert "verified" in storm("--count", "5").stdout


def bad_runs():
    figures = report("--count", "4", "--stub", "crash", status=1)
    assert figures["ok"] == 0 and figures["failed"] == 4, figures["failures"]
    figures = report("--count", "4", "--stub", "spin", "--timeout", "1", status=1)
    assert figures["ok"] == 0 and figures["failed"] == 4, figures["failures"]
    for options in (["--count", "0"], ["--count", "x"], ["--rate", "nan"], ["--nonsense"],
                    ["--alive", "--rate", "5"], ["--stub", "nothing-of-that-name"], ["word"]):
        assert storm(*options, status=2).stderr, options
    assert "no server" in storm("--socket", "/nonexistent", status=1).stderr
    storm("--mem", "100000000", "--count", "1", status=1)


def page():
    path = os.path.join(os.environ["TMPDIR"], "storm.html")
    storm("--count", "40", "--html", path)
    with open(path, encoding="utf-8") as text:
        html = text.read()
    os.unlink(path)
    assert html.count("<svg") == 3 and html.rstrip().endswith("</html>"), "plots"
    assert "http://" not in html.replace("http://www.w3.org", ""), "the page needs nothing else"




def main():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is missing or closed to this user")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        good_runs()
        bad_runs()
        page()
        assert not os.listdir(folder), f"left behind: {os.listdir(folder)}"
    print("clone_storm and floor: every mode")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clone_storm and floor run in every mode, their reports hold, and failures are told as such.

usage: smoke.py BIN_DIR
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

SKIP = 77
STAGES = ["request", "fork", "vm", "memslots", "vcpus", "state", "run", "answer"]
MEMORY = ["private_kib_per_clone", "pss_kib_per_clone", "rss_kib_per_clone",
          "available_kib_per_clone"]
BIN = os.path.abspath(sys.argv[1])


def run(*arguments, status=0, **environment):
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=100, check=False, env={**os.environ, **environment})
    shown = " ".join(os.path.basename(a) for a in arguments)
    assert done.returncode == status, f"{shown}: status {done.returncode}\n{done.stderr}"
    return done


def storm(*arguments, status=0, **environment):
    return run(os.path.join(BIN, "clone_storm"), *arguments, status=status, **environment)


def report(*arguments, status=0):
    return json.loads(storm(*arguments, "--json", "-", status=status).stdout)


def check_report(figures, count, label, memory=True):
    assert figures["ok"] == count and figures["failed"] == 0, f"{label}: {figures['failures']}"
    latency = figures["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p999"] \
        <= latency["max"], f"{label}: {latency}"
    for stage in STAGES:
        assert figures["stages_us"][stage] > 0, f"{label}: stage {stage}"
    for key in MEMORY if memory else ():
        assert isinstance(figures["memory"][key], (int, float)), f"{label}: {key}"
    assert not memory or figures["memory"]["private_kib_per_clone"] > 0, f"{label}: no memory sampled"
    assert figures["clones_per_s"] > 0 and figures["host"]["kernel"], label


def asleep():
    path = os.path.join(os.environ["TMPDIR"], "asleep.html")
    figures = report("--count", "30", "--alive", "--stub", "echo", "--sleep-after", "300ms",
                     "--no-memory", "--html", path)
    check_report(figures, 30, "asleep")
    told = figures["asleep"]
    assert told["memory"]["clones"] == 30 and told["memory"]["private_kib_per_clone"] > 0, told
    assert 0 < told["woken_us"]["p50"] <= told["woken_us"]["max"] and told["seconds"] > 0, told
    with open(path, encoding="utf-8") as text:
        assert "Asleep, the same 30" in text.read()
    os.unlink(path)
    # One that does not sleep in time is a failure, and so is the run.
    done = storm("--count", "3", "--alive", "--stub", "echo", "--sleep-after", "1h", "--no-memory",
                 "--timeout", "1", status=1)
    assert "does not sleep" in done.stderr, done.stderr
    for options, word in ((["--stub", "hello", "--alive"], "--stub echo"), ([], "--alive"),
                          (["--alive", "--socket", "/x"], "started here")):
        assert word in storm("--sleep-after", "1s", *options, status=2).stderr, options


def good_runs():
    check_report(report("--count", "30"), 30, "closed loop")
    # A look at memory takes seconds, until it has settled.
    for options, label in ((["--concurrency", "4"], "closed loop, 4"),
                           (["--batch", "1", "--stub", "echo"], "batches"),
                           (["--batch", "8", "--stub", "echo"], "batches"),
                           (["--batch", "41", "--stub", "echo"], "batches"),
                           (["--batch", "3", "--concurrency", "10"], "batches"),
                           (["--rate", "200"], "open loop")):
        check_report(report("--count", "40", "--no-memory", *options), 40, label, memory=False)
    check_report(report("--count", "40", "--batch", "40", "--stub", "echo"), 40, "a whole batch")
    check_report(report("--count", "50", "--alive", "--stub", "unique"), 50, "alive")
    asleep()
    figures = report("--count", "20", "--no-memory", "--stub", "echo", "--request", "x" * 60000)
    check_report(figures, 20, "echo", memory=False)
    figures = report("--count", "20", "--no-memory", "--floor", "--mem", "64", "--populate", "8")
    check_report(figures, 20, "floor", memory=False)
    assert figures["p50_to_floor"]["plain"] > 0 and figures["p50_to_floor"]["lean"] > 0
    assert "verified" in storm("--count", "5").stdout
    figures = report("--count", "5", "--no-memory", "--peer", "boot", "--peer-count", "2", "--peer",
                     "floor")
    boot = figures["peers"][0]
    assert (boot["name"], boot["ok"], boot["failed"]) == ("boot", 2, 0), boot
    assert boot["latency_us"]["p50"] > 0 and boot["p50_ratio"] > 0 and figures["floor"], boot
    figures = report("--count", "5", "--no-memory", "--server-option", "--max-clones",
                     "--server-option", "50")
    check_report(figures, 5, "server option", memory=False)


def check_loop(loop, workers, count):
    assert loop["workers"] == workers, loop
    for variant in ("plain", "lean"):
        row = loop[variant]
        assert (row["ok"], row["failed"], row["failure"]) == (count, 0, ""), row
        assert row["clones_per_s"] >= row["ended_per_s"] > 0 and row["seconds"] > 0, row
        assert row["cpu_us_per_clone"]["clone"] > 0, row


def parallel():
    """The floor's own parallel loop, alone and beside a storm."""
    floor = os.path.join(BIN, "floor")
    figures = json.loads(run(floor, "--parallel", "2", "--count", "50", "--json", "-").stdout)
    check_loop(figures["parallel"], 2, 50)
    assert figures["plain"]["ok"] == 50 and figures["lean"]["ok"] == 50, figures
    done = run(floor, "--parallel", "3", "--count", "1000", "--no-latency", "--json", "-")
    figures = json.loads(done.stdout)
    check_loop(figures["parallel"], 3, 1000)
    assert "plain" not in figures, "latencies were not asked for"
    table = run(floor, "--parallel", "2", "--count", "2", "--no-latency").stdout
    assert "2 at once" in table and "in all" not in table, table
    done = run(floor, "--parallel", "2", "--count", "5", "--stub", "crash", "--no-latency",
               "--json", "-", status=1)
    for variant in ("plain", "lean"):
        row = json.loads(done.stdout)["parallel"][variant]
        assert (row["ok"], row["failed"]) == (0, 5) and "run" in row["failure"], row
    for options, word in ((["--parallel", "0"], "--parallel"), (["--no-latency"], "--parallel")):
        assert word in run(floor, *options, status=2).stderr, options
    lose_a_worker(floor)
    storm_beside_floor()


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as text:
        return [int(child) for child in text.read().split()]


def lose_a_worker(floor):
    """One of the loop's processes is killed: the others are ended too, and it is said."""
    with subprocess.Popen([floor, "--parallel", "3", "--count", "10000000", "--no-latency"],
                          stderr=subprocess.PIPE, text=True) as process:
        workers = []
        while process.poll() is None and len(workers) < 3:
            workers = children(process.pid)
        os.kill(workers[0], signal.SIGKILL)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "ended early" in stderr, stderr
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")], workers


def storm_beside_floor():
    path = os.path.join(os.environ["TMPDIR"], "beside.html")
    page_options = ["--html", path, "--json", "-"]
    done = storm("--count", "60", "--concurrency", "3", "--floor", "--no-memory", *page_options)
    figures = json.loads(done.stdout)
    assert figures["failed"] == 0 and figures["p99_to_floor"]["lean"] > 0, figures
    assert figures["ended_per_s"] > 0, figures
    turns = figures["storm"]
    assert turns["turns"] == 5 and turns["count"] == 12, turns
    assert turns["rate_to_floor"]["plain"] > 0 and turns["rate_to_floor"]["lean"] > 0, turns
    assert 3 in [loop["workers"] for loop in turns["floor"]], turns
    assert len(turns["forkvm"]["ended_per_s_of_turns"]) == 5, turns
    assert set(turns["forkvm"]["cpu_us_per_clone"]) == {"client", "server", "clone"}, turns
    with open(path, encoding="utf-8") as text:
        assert "parallel loop" in text.read()
    os.unlink(path)
    table = storm("--count", "20", "--concurrency", "2", "--floor", "--no-memory").stdout
    assert "times floor's parallel loop (plain)" in table and "floor's p99" in table, table
    assert "storm" not in report("--count", "5", "--floor"), "one at a time is no storm"
    done = storm("--count", "10", "--concurrency", "2", "--floor", "--stub", "crash", status=1)
    assert "floor ended" in done.stderr, done.stderr


def spares():
    """Claims and resets: as figures, and on the page; and in an open loop."""
    path = os.path.join(os.environ["TMPDIR"], "spares.html")
    done = storm("--stub", "echo", "--spares", "2", "--reset", "--count", "60", "--no-memory",
                 "--html", path, "--json", "-")
    figures = json.loads(done.stdout)
    told = figures["spares"]
    assert figures["failed"] == 0 and told["claimed"] == 60 and told["missed"] == 0, told
    assert 0 < told["claimed_to_made"] and told["reset_us"]["p50"] > 0, told
    assert set(told["stages_us"]) == {"send", "wake", "run", "answer"}, told
    assert all(stage["p50"] > 0 for stage in told["stages_us"].values()), told
    with open(path, encoding="utf-8") as text:
        html = text.read()
    os.unlink(path)
    for row in ("claimed", "made, none of them a spare", "reset: from one end to the next answer",
                "send", "wake", "told", "vcpu"):
        assert f"<tr><td>{row}</td>" in html, row
    begun = time.monotonic()
    figures = report("--stub", "echo", "--spares", "2", "--rate", "50", "--count", "30",
                     "--no-memory")
    assert figures["failed"] == 0 and time.monotonic() - begun > 29 / 50, figures
    told = figures["spares"]
    assert told["claimed"] + told["missed"] == 30 and told["reset_us"] is None, told
    if os.access("/dev/cpu_dma_latency", os.W_OK):
        figures = report("--count", "5", "--cpu-latency", "7")
        assert figures["host"]["cpu_latency_us"] == 7, figures["host"]
    for options, word in ((["--reset"], "--spares"), (["--spares", "2", "--alive"], "--alive"),
                          (["--cpu-latency", "x"], "--cpu-latency")):
        assert word in storm(*options, status=2).stderr, options


def bad_runs():
    figures = report("--count", "4", "--stub", "crash", status=1)
    assert figures["ok"] == 0 and figures["failed"] == 4, figures["failures"]
    figures = report("--count", "4", "--stub", "spin", "--timeout", "1", status=1)
    assert figures["ok"] == 0 and figures["failed"] == 4, figures["failures"]
    for options in (["--count", "0"], ["--count", "x"], ["--rate", "nan"], ["--nonsense"],
                    ["--alive", "--rate", "5"], ["--stub", "nothing-of-that-name"], ["word"]):
        assert storm(*options, status=2).stderr, options
    good_file = os.path.join(BIN, "clone_storm")
    for options, word in (
            (["--stub", "spin", "--peer", "qemu"], "QEMU"), (["--peer", "nobody"], "qemu, boot or floor"),
            (["--kernel", "/nonexistent"], "No such file"),
            (["--kernel", good_file, "--initrd", "/nonexistent"], "--initrd"),
            (["--kernel", good_file, "--stub", "hello"], "exclude"),
            (["--kernel", good_file, "--populate", "8"], "--populate"),
            (["--kernel", good_file, "--floor"], "--floor"),
            (["--kernel", good_file, "--check", "nothing"], "--check"),
            (["--kernel", good_file, "--check", "echo", "--request", "x"], "exclude"),
            (["--check", "identity"], "--kernel"), (["--cmdline", "quiet"], "--kernel"),
            (["--peer-count", "0"], "--peer-count"),
            (["--socket", "/nonexistent", "--server-option", "x"], "--server-option")):
        assert word in storm(*options, status=2).stderr, options
    linux = ["--kernel", good_file, "--count", "1", "--peer", "qemu"]
    assert "qemu-system-x86" in storm(*linux, status=1, PATH="/nonexistent").stderr
    assert "--qemu" in storm(*linux, "--qemu", "/nonexistent/qemu", status=1).stderr
    # A QEMU that ends at once: its own words are told.
    fake = os.path.join(os.environ["TMPDIR"], "qemu")
    with open(fake, "w", encoding="utf-8") as script:
        script.write('#!/bin/sh\necho "$*" >"$0.called"\necho this is no machine >&2\nexit 1\n')
    os.chmod(fake, 0o755)
    assert "this is no machine" in storm(*linux, "--qemu", fake, status=1).stderr
    with open(fake + ".called", encoding="utf-8") as text:
        ram = re.search("mem-path=([^, ]*)", text.read()).group(1)
    assert not os.path.exists(os.path.dirname(ram)), f"{ram}: left behind"
    os.unlink(fake)
    os.unlink(fake + ".called")
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


def sweep():
    path = os.path.join(os.environ["TMPDIR"], "sweep.html")
    done = storm("--sweep-quick", "--html", path, "--json", "-")
    figures = json.loads(done.stdout)
    cells = figures["cells"]
    assert len(cells) == 8 and figures["seconds"] > 0 and figures["host"]["kernel"], figures
    assert {cell["outcome"] for cell in cells} == {"measured"}, cells
    assert {(cell["mem_mib"], cell["populate_mib"]) for cell in cells} == \
        {(32, 0), (32, 30), (64, 0), (64, 62)}, cells
    for cell in cells:
        assert 0 < cell["latency_us"]["p50"] <= cell["latency_us"]["p99"], cell
        assert cell["stages_us"]["fork"] > 0 and cell["private_kib_per_clone"] > 0, cell
        assert cell["ok"] == (10 if cell["alive"] == 1 else 20) and cell["failed"] == 0, cell
    assert "template 4 of 4" in done.stderr, done.stderr
    with open(path, encoding="utf-8") as text:
        html = text.read()
    os.unlink(path)
    assert html.count("<svg") == 4 and html.rstrip().endswith("</html>"), "plots of the sweep"
    assert "populated" in storm("--sweep-quick").stdout
    for options in (["--mem", "64"], ["--alive"], ["--socket", "/x"], ["--floor"], ["--rate", "5"]):
        assert "--sweep" in storm("--sweep", *options, status=2).stderr, options


def sweep_without_room():
    """What does not fit is left out in words, and is no failure."""
    few = "prlimit", "--nofile=350:350"
    done = run(*few, os.path.join(BIN, "clone_storm"), "--sweep-quick", "--json", "-")
    cells = json.loads(done.stdout)["cells"]
    skipped = [cell for cell in cells if cell["outcome"] == "skipped"]
    assert len(skipped) == 4 and all(cell["alive"] == 20 for cell in skipped), cells
    assert "open files" in skipped[0]["reason"], skipped
    done = run(*few, os.path.join(BIN, "clone_storm"), "--alive", "--count", "50", "--json", "-",
               status=1)
    assert "too few: this host allows about" in done.stderr, done.stderr
    figures = json.loads(done.stdout)
    assert figures["ok"] < 50 and figures["ok"] + figures["failed"] == 50, figures




def hyperfork():
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench/hyperfork")
    path = os.path.join(os.environ["TMPDIR"], "hyperfork.json")
    done = run(sys.executable, script, "--bin", BIN, "--count", "5", "--sizes", "32,64",
               "--json", path)
    assert "HyperFork" in done.stdout, done.stdout
    with open(path, encoding="utf-8") as text:
        figures = json.load(text)
    os.unlink(path)
    assert [row["mem_mib"] for row in figures["fork"]] == [32, 64], figures
    assert all(0 < row["fork_ms"] < row["latency_ms"] for row in figures["fork"]), figures
    assert all(row["first_ms"] > 0 and row["again_ms"] > 0 for row in figures["touch"]), figures
    assert run(sys.executable, script, "--sizes", "x", status=2).stderr


def main():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is missing or closed to this user")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        good_runs()
        parallel()
        spares()
        bad_runs()
        page()
        sweep()
        sweep_without_room()
        hyperfork()
        assert not os.listdir(folder), f"left behind: {os.listdir(folder)}"
    print("clone_storm and floor: every mode")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench/disk: every part but the one with Linux guests runs, and its report holds.

usage: smoke_disk.py BIN_DIR
"""

import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "linux"))
import host_disk  # noqa: E402

SKIP = 77
BIN = os.path.abspath(sys.argv[1])
MAIN = os.path.join(ROOT, "bench", "disk_storm", "main.py")
SMALL = {"size": 32, "rounds": 1, "requests": 2000, "turns": 2, "clones": 5, "alive": 5,
         "memory-rounds": 1, "fill": 8}


def run(*arguments, status=0):
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=200, check=False,
                          env={**os.environ, "FORKVM_BUILD_DIR": os.path.dirname(BIN)})
    assert done.returncode == status, f"{arguments}: status {done.returncode}\n{done.stderr}"
    return done


def disk(folder, *arguments, status=0):
    return run(sys.executable, "-B", MAIN, "--folder", folder, *arguments, status=status)


def good(folder):
    path = os.path.join(folder, "disk.json")
    sizes = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    shown = disk(folder, "--json", path, *sizes, "batching", "throughput", "clones").stdout
    with open(path, encoding="utf-8") as file:
        figures = json.load(file)
    os.unlink(path)
    assert len(figures["batching"]) == 9 and "DIFFERS" not in shown, shown
    deep = [row for row in figures["batching"] if row["depth"] == 64 and row["requests_per_enter"]]
    assert len(deep) == 2 and all(row["requests_per_enter"] >= 30 for row in deep), shown
    assert len(figures["throughput"]) == 12, shown
    for row in figures["throughput"]:
        assert row["ratio"] > 0 and row["exit_us"] > 0 and row["exits"] < 1 / 30, row
        assert 0 < row["cpu_us"] and 0 < row["plain_cpu_us"] and row["exit_cpu_us"] > 0, row
    assert figures["clones"][0]["name"] == "no disk" and len(figures["clones"]) == 3, shown
    assert all(row["p50"] > 0 and row["private_kib"] > 0 for row in figures["clones"]), shown
    assert len(figures["targets"]) == 9, figures["targets"]


def bad(folder):
    assert "no part nonsense" in disk(folder, "nonsense", status=2).stderr
    loop = os.path.join(BIN, "plain_loop")
    for words, status in ((["--kind", "sideways", "x"], 2), (["--size", "x", "x"], 2), ([], 2),
                          (["x", "y"], 2), (["/nonexistent"], 1), (["/dev/null"], 1)):
        assert run(loop, *words, status=status).stderr, words


def main():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is missing or closed to this user")
        sys.exit(SKIP)
    with tempfile.TemporaryDirectory() as outer:
        folder = host_disk.make(outer, 256)
        try:
            good(folder)
            bad(folder)
            left = set(os.listdir(folder)) - {"lost+found"}
            assert not left, f"left behind: {left}"
        finally:
            host_disk.unmake(folder)
    print("bench/disk: every part that needs no Linux guest")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clone_storm's peers with stubs: QEMU's templating and a plain boot beside forkvm's clones.

usage: peer.py BIN_DIR
"""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

SKIP = 77
BIN = os.path.abspath(sys.argv[1])
LEFT_BEHIND = "/dev/shm/clone_storm-qemu.*"


def storm(*arguments, status=0):
    command = [os.path.join(BIN, "clone_storm"), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=200, check=False)
    shown = " ".join(command[1:])
    assert done.returncode == status, f"{shown}: status {done.returncode}\n{done.stderr}"
    return done


def report(*arguments, status=0):
    return json.loads(storm(*arguments, "--json", "-", status=status).stdout)


def peer_of(figures, name):
    return next(peer for peer in figures["peers"] if peer["name"] == name)


def check(peer, count):
    assert (peer["ok"], peer["failed"]) == (count, 0), peer
    assert 0 < peer["latency_us"]["p50"] <= peer["latency_us"]["max"], peer
    assert peer["p50_ratio"] > 0 and peer["p99_ratio"] > 0, peer


def check_qemu(figures, count):
    qemu = peer_of(figures, "qemu")
    check(qemu, count)
    assert qemu["memory"]["private_kib_per_clone"] > 0 and qemu["private_ratio"] > 0, qemu
    assert 0 < qemu["state_bytes"] < 1 << 20 and qemu["template_boot_ms"] > 0, qemu
    assert "microvm" in qemu["what"], qemu


def good_runs():
    # The second time a stub finds less RAM, and populates nearly all of it.
    for more in ([], ["--mem", "64", "--populate", "50"]):
        figures = report("--count", "10", "--peer", "qemu", "--peer", "boot", "--peer", "floor",
                         "--peer-count", "4", *more)
        check_qemu(figures, 4)
        check(peer_of(figures, "boot"), 4)
        assert figures["floor"], "no floor"
    # RAM on both sides of 4 GiB, where the stub writes it in QEMU, too.
    check_qemu(report("--stub", "dirty", "--request", "pages=20 hole=20", "--mem", "4096",
                      "--count", "4", "--peer", "qemu"), 4)
    check_qemu(report("--stub", "echo", "--request", "x" * 3000, "--count", "6", "--alive",
                      "--peer", "qemu"), 6)
    check_qemu(report("--count", "6", "--concurrency", "3", "--peer", "qemu",
                      "--qemu", "qemu-system-x86_64"), 6)


def page(folder):
    path = os.path.join(folder, "storm.html")
    table = storm("--count", "40", "--peer", "qemu", "--peer-count", "3", "--html", path).stdout
    assert "times forkvm's" in table, table
    with open(path, encoding="utf-8") as text:
        assert "Beside its peers" in text.read(), "the page is silent about its peers"


def bad_runs():
    assert "does not run under QEMU" in storm("--stub", "spin", "--peer", "qemu", status=2).stderr
    # More than hello takes: forkvm's server refuses it, and the guest in QEMU says so.
    figures = report("--request", "x" * 2000, "--count", "2", "--peer", "qemu", status=1)
    qemu = peer_of(figures, "qemu")
    assert qemu["ok"] == 0 and qemu["failed"] == 2, qemu
    assert figures["ok"] == 0 and figures["failed"] == 2, figures["failures"]


def main():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is missing or closed to this user")
        sys.exit(SKIP)
    if not shutil.which("qemu-system-x86_64"):
        print("skipped: no qemu-system-x86_64 (Debian's package qemu-system-x86)")
        sys.exit(SKIP)
    before = set(glob.glob(LEFT_BEHIND))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        good_runs()
        bad_runs()
        page(folder)
    left = set(glob.glob(LEFT_BEHIND)) - before
    assert not left, f"left behind: {left}"
    print("peers of stubs: QEMU's templating, boots")


if __name__ == "__main__":
    main()

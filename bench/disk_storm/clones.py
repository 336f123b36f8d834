# SPDX-License-Identifier: MIT
"""What a disk costs a clone: latency and memory of clones with a disk of 10 GiB of which the template
wrote one, beside clones of the same guest without any. Two servers, asked in turns."""

import contextlib
import json
import os
import statistics
import subprocess

import guests
import harness

STORM = os.path.join(harness.BUILD, "bin", "clone_storm")
DISK_GIB = 10
GUEST_MIB = 128


def _storm(server, *options):
    done = subprocess.run([STORM, "--socket", server.path, "--stub", "blk", "--request", "op=nop",
                           "--json", "-", *map(str, options)], stdout=subprocess.PIPE, check=True)
    figures = json.loads(done.stdout)
    if figures["failed"]:
        raise AssertionError(f"clones failed: {figures['failures']}")
    return figures


def _server(args, *options):
    return harness.Server("blk", "--mem", GUEST_MIB, "--args", args, *options)


def _idle_blocks(server):
    """Bytes that the files of an idle clone hold, and that are its own to write."""
    with guests.Guest(server) as guest:
        total = 0
        for entry in os.scandir(f"/proc/{guest.pid}/fd"):
            with open(f"/proc/{guest.pid}/fdinfo/{entry.name}", encoding="ascii") as info:
                flags = int(info.read().split("flags:")[1].split()[0], 8)
            target = os.readlink(entry.path)
            if flags & os.O_ACCMODE == os.O_RDWR and target.startswith("/") and "(deleted)" in target:
                total += os.stat(entry.path).st_blocks * 512
        return total


def _latency(servers, options):
    runs = {name: [] for name in servers}
    for server in servers.values():
        _storm(server, "--count", 50)
    for _ in range(options.rounds):
        for name, server in servers.items():
            latency = _storm(server, "--count", options.clones)["latency_us"]
            runs[name].append({"p50": latency["p50"], "p99": latency["p99"]})
    return runs


def _row(name, server, runs, base, options):
    row = {"name": name, "runs": runs}
    for key in ("p50", "p99"):
        row[key] = statistics.median(run[key] for run in runs)
    row["p50_ratio"] = statistics.median(run["p50"] / plain["p50"] for run, plain in zip(runs, base))
    alive = [_storm(server, "--alive", "--count", options.alive)["memory"] for _ in range(3)]
    for key in ("private_kib_per_clone", "available_kib_per_clone"):
        row[key] = statistics.median(memory[key] for memory in alive)
    row["file_bytes"] = 0 if name == "no disk" else _idle_blocks(server)
    return row


def measure(options):
    image = os.path.join(options.folder, "large.img")
    with open(image, "wb") as file:
        file.truncate(DISK_GIB << 30)
    filled = f"disks=1 fill={options.fill}"
    guests.say(f"clones: templates that have written {options.fill} MiB of {DISK_GIB} GiB")
    try:
        with contextlib.ExitStack() as stack:
            servers = {
                "no disk": _server("disks=0"),
                "overlay in memory": _server(filled, "--disk", image),
                "overlay in a folder": _server(filled, "--disk", image, "--overlay",
                                               options.folder),
            }
            for server in servers.values():
                stack.enter_context(server)
            guests.say(f"clones: {options.rounds} times {options.clones} of each")
            runs = _latency(servers, options)
            base = runs["no disk"]
            return [_row(name, server, runs[name], base, options)
                    for name, server in servers.items()]
    finally:
        os.unlink(image)


def show(rows, table):
    base = rows[0]
    table.head(f"Clones with a disk of {DISK_GIB} GiB, microseconds to the verified answer, and KiB "
               "of each idle clone",
               ("", "p50", "p99", "p50 ratio", "private KiB", "MemAvailable", "more", "in files"))
    for row in rows:
        more = row["available_kib_per_clone"] - base["available_kib_per_clone"]
        table.row((row["name"], f"{row['p50']:.0f}", f"{row['p99']:.0f}", f"{row['p50_ratio']:.3f}",
                   f"{row['private_kib_per_clone']:.0f}", f"{row['available_kib_per_clone']:.0f}",
                   f"{more:.0f}", f"{row['file_bytes'] / 1024:.0f}"))
    for row in rows[1:]:
        table.verdict(f"{row['name']}: p50 to that without a disk", row["p50_ratio"], 1.1, "at most")
        more = row["available_kib_per_clone"] - base["available_kib_per_clone"]
        table.verdict(f"{row['name']}: KiB of an idle clone more, memory and files",
                      more + row["file_bytes"] / 1024, 64, "at most")

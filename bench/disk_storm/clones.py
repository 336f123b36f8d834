# SPDX-License-Identifier: MIT
"""What a disk costs a clone: latency and memory of clones with a disk of 10 GiB, of which the
template wrote one, beside clones of the same guest without any. All servers run, and are asked in
turns."""

import contextlib
import json
import os
import statistics
import subprocess

import guests
import harness
import memory

STORM = os.path.join(harness.BUILD, "bin", "clone_storm")
DISK_GIB = 10
GUEST_MIB = 128
POPULATE = "populate=4"  # RAM is as large for KVM as the template made it, with a disk or without
COSTS = ("private_kib", "charge_kib", "available_kib", "file_kib")


def _storm(server, count):
    done = subprocess.run([STORM, "--socket", server.path, "--stub", "blk", "--request", "op=nop",
                           "--no-memory", "--count", str(count), "--json", "-"],
                          stdout=subprocess.PIPE, check=True)
    latency = json.loads(done.stdout)["latency_us"]
    return {"p50": latency["p50"], "p99": latency["p99"]}


def _server(args, *options):
    return harness.Server("blk", "--mem", GUEST_MIB, "--args", args, *options)


def _in_turns(servers, rounds, measure):
    runs = {name: [] for name in servers}
    names = list(servers)
    for turn in range(rounds):
        # What one leaves to be cleared away behind it is not always the same one's burden.
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            runs[name].append(measure(name, servers[name]))
    return runs


def _row(name, latency, base, costs):
    row = {"name": name, "latency_us": latency, "idle": costs}
    for key in ("p50", "p99"):
        row[key] = statistics.median(run[key] for run in latency)
    row["p50_ratio"] = statistics.median(
        run["p50"] / without["p50"] for run, without in zip(latency, base))
    for key in COSTS:
        values = [cost[key] for cost in costs]
        row[key] = None if None in values else statistics.median(values)
    return row


def _measure(servers, options):
    groups = {name: memory.Group(server.pid) for name, server in servers.items()}
    for server in servers.values():
        _storm(server, 50)
    guests.say(f"clones: {options.turns} times {options.clones} of each")
    latency = _in_turns(servers, options.turns, lambda _, server: _storm(server, options.clones))
    guests.say(f"clones: {options.memory_rounds} times {options.alive} alive at once")
    costs = _in_turns(servers, options.memory_rounds,
                      lambda name, server: memory.idle(server, groups[name], options.alive))
    return groups, [_row(name, latency[name], latency["no disk"], costs[name]) for name in servers]


def measure(options):
    image = os.path.join(options.folder, "large.img")
    with open(image, "wb") as file:
        file.truncate(DISK_GIB << 30)
    filled = f"disks=1 fill={options.fill} {POPULATE}"
    guests.say(f"clones: templates that have written {options.fill} MiB of {DISK_GIB} GiB")
    servers = {
        "no disk": _server(f"disks=0 {POPULATE}"),
        "overlay in memory": _server(filled, "--disk", image),
        "overlay in a folder": _server(filled, "--disk", image, "--overlay", options.folder),
    }
    try:
        with contextlib.ExitStack() as stack:
            for server in servers.values():
                stack.enter_context(server)
            groups, rows = _measure(servers, options)
        for group in groups.values():
            group.remove()
        return rows
    finally:
        os.unlink(image)


def _more(row, base):
    """KiB that a clone takes more, in memory and in files: as its group is charged, if there is
    one. What a file in memory holds is in both, and counts once."""
    key = "available_kib" if row["charge_kib"] is None else "charge_kib"
    in_memory = row["name"] == "overlay in memory"
    return row[key] - base[key] + (0 if in_memory else row["file_kib"])


def show(rows, table):
    base = rows[0]
    table.head(f"Clones with a disk of {DISK_GIB} GiB: microseconds to the verified answer, KiB of "
               "each idle clone",
               ("", "p50", "p99", "p50 ratio", "private", "charged", "MemAvailable", "in files",
                "more than none"))
    for row in rows:
        costs = ["-" if row[key] is None else f"{row[key]:.1f}" for key in COSTS]
        table.row((row["name"], f"{row['p50']:.0f}", f"{row['p99']:.0f}", f"{row['p50_ratio']:.3f}",
                   *costs, f"{_more(row, base):.1f}"))
    for row in rows[1:]:
        table.verdict(f"{row['name']}: p50 to that without a disk", row["p50_ratio"], 1.1,
                      "at most")
        table.verdict(f"{row['name']}: KiB of an idle clone more, memory and files",
                      _more(row, base), 64, "at most")

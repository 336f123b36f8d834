# SPDX-License-Identifier: MIT
"""Throughput beside a plain io_uring loop on the same file, in turns; and what exits have to do
with the difference.

The model of a request is what it takes in the plain loop, and its share of an exit. What an exit
takes is measured in the same guest, by reading a register.
"""

import os
import statistics

import guests
from guests import MIB

DEPTH = 64
SMALL, LARGE = 4096, MIB


class Case:
    """name: for people; disk: what the server is given, %s the image; write_to: the disk is that
    file instead; kinds: patterns; peer: which file the plain loop is for."""

    def __init__(self, name, kinds, disk="%s", options=(), peer="image", plain=()):
        self.name, self.kinds, self.disk, self.options = name, kinds, disk, options
        self.peer, self.plain = peer, plain


def _cases(folder):
    reads = (("randread", SMALL), ("read", LARGE))
    writes = (("randwrite", SMALL), ("write", LARGE))
    return (
        Case("image, buffered", reads, "%s,direct=off"),
        Case("overlay in a folder, buffered", writes, "%s,direct=off", ("--overlay", folder),
             peer="overlay"),
        Case("overlay in memory", reads + writes, "%s", peer="memory"),
        Case("image, O_DIRECT", reads, "%s,direct=on", plain=("--direct",)),
        Case("file written through, O_DIRECT", writes, "none", peer="file", plain=("--direct",)),
    )


def _counts(case, size, options):
    """Requests of a round."""
    count = options.requests if size == SMALL else 8 * DEPTH
    return max(DEPTH, count // 4) if case.plain else count


KEYS = ("us", "cpu_us", "exits", "plain_us", "plain_cpu_us", "exit_us", "exit_cpu_us")


def _without_exits(plain_us, us, exits, exit_us):
    return plain_us / max(us - exits * exit_us, 1e-9)


def _pattern(case, guest, path, kind, size, options):
    count = _counts(case, size, options)
    rounds = []

    def plain():
        return guests.plain_loop(path, kind, size, DEPTH, count, "--range",
                                 str(options.size * MIB), *case.plain)

    # First touches of buffers, and of an overlay's blocks, are no part of it.
    guest.loop(kind, size, DEPTH, count)
    plain()
    for _ in range(options.rounds):
        one = dict(zip(KEYS, (*guest.loop(kind, size, DEPTH, count), *plain(), *guest.exit_us())))
        one["ratio"] = one["plain_us"] / one["us"]
        one["cpu_ratio"] = one["plain_cpu_us"] / one["cpu_us"]
        one["ratio_without_exits"] = _without_exits(one["plain_us"], one["us"], one["exits"],
                                                    one["exit_us"])
        one["cpu_ratio_without_exits"] = _without_exits(one["plain_cpu_us"], one["cpu_us"],
                                                        one["exits"], one["exit_cpu_us"])
        rounds.append(one)
    row = {"name": case.name, "kind": kind, "size": size, "requests": count, "rounds": rounds,
           "waits": bool(case.plain)}
    for name in rounds[0]:
        row[name] = statistics.median(one[name] for one in rounds)
    row["model_us"] = row["plain_us"] + row["exits"] * row["exit_us"]
    return row


def _measure_case(case, options):
    given = None
    disk = case.disk.replace("%s", options.image)
    if case.peer == "file":
        given = options.image
    with guests.Server(disk, *case.options) as server, \
            guests.Guest(server, write_to=given) as guest:
        if case.peer in ("overlay", "memory"):
            guest.loop("write", LARGE, DEPTH, options.size)
        path = guest.overlay_file() if case.peer == "overlay" else options.image
        if case.peer == "memory":
            path = options.memory_file
        for kind, size in case.kinds:
            yield _pattern(case, guest, path, kind, size, options)


def measure(options):
    rows = []
    options.memory_file = f"/dev/shm/forkvm-disk-{os.getpid()}"
    try:
        guests.make_image(options.memory_file, options.size)
        for case in _cases(options.folder):
            guests.say(f"throughput: {case.name}")
            rows += _measure_case(case, options)
    finally:
        os.unlink(options.memory_file)
    return rows


def _label(row):
    return row["name"], f"{row['size'] // 1024}k {row['kind']}"


def _show_exits(rows, table):
    """What exits there are, what they take, and what is left when that is taken away: by the clock,
    and by CPU time, which does not count what other programs took meanwhile."""
    table.head("What exits have to do with it (buffered patterns, which wait for no device)",
               ("", "pattern", "requests an exit", "exits/s", "us an exit", "time in exits",
                "ratio", "without exits", "ratio, CPU time", "without exits"))
    for row in rows:
        if row["waits"]:
            continue
        exits_us = row["exits"] * row["exit_us"]
        table.row((*_label(row), f"{1 / row['exits']:.1f}", f"{row['exits'] / row['us'] * 1e6:.0f}",
                   f"{row['exit_us']:.1f}", f"{exits_us / row['us'] * 100:.0f} %",
                   f"{row['ratio']:.2f}", f"{row['ratio_without_exits']:.2f}",
                   f"{row['cpu_ratio']:.2f}", f"{row['cpu_ratio_without_exits']:.2f}"))
    for row in rows:
        if row["kind"] != "randread" or row["waits"] or row["name"] == "overlay in memory":
            continue
        what = f"{row['name']}, 4k randread: plain loop's time to forkvm's"
        table.verdict(what, row["ratio"], 0.7, "at least")
        table.verdict(what + ", CPU time", row["cpu_ratio"], 0.7, "at least")
        table.verdict(what + ", CPU time without exits", row["cpu_ratio_without_exits"], 0.7,
                      "at least")


def show(rows, table):
    table.head(f"Throughput at depth {DEPTH}, microseconds a request, beside a plain io_uring loop "
               "on the same file",
               ("", "pattern", "forkvm", "MiB/s", "plain", "ratio", "exit", "exits/req", "model",
                "ratio, no exits"))
    for row in rows:
        table.row((*_label(row), f"{row['us']:.2f}",
                   f"{row['size'] / row['us'] * 1e6 / MIB:.0f}", f"{row['plain_us']:.2f}",
                   f"{row['ratio']:.2f}", f"{row['exit_us']:.1f}", f"{row['exits']:.4f}",
                   f"{row['model_us']:.2f}", f"{row['ratio_without_exits']:.2f}"))
    small = [row["us"] / row["model_us"] for row in rows if row["size"] == SMALL]
    table.note(f"4 KiB patterns take {min(small):.2f} to {max(small):.2f} times what plain loop "
               "and exits together do")
    _show_exits(rows, table)

# SPDX-License-Identifier: MIT
"""How many requests a system call, an exit and an interrupt are for: as the program counts them,
and as strace(1) sees it from outside."""

import guests

DEPTHS = (1, 8, 64)
SUMMED = ("passes", "enters", "submitted", "sync", "notifications", "interrupts")


def _one(guest, folder, kind, depth, count):
    guest.loop(kind, 4096, depth, 1000)
    before = guest.figures()
    with guests.Strace(guest.pid, folder) as strace:
        guest.loop(kind, 4096, depth, count)
    after = guest.figures()
    row = {name: after[name] - before[name] for name in SUMMED}
    row.update(depth=depth, requests=count, strace=strace.calls)
    row["requests_per_enter"] = count / row["enters"] if row["enters"] else None
    row["requests_per_notification"] = count / row["notifications"]
    row["calls_per_request"] = (row["enters"] + row["sync"]) / count
    return row


def measure(options):
    rows = []
    image = options.image
    for name, kind, disk, more in (
            ("image, reads", "randread", image, ()),
            ("overlay in a folder, writes", "randwrite", image + ",direct=off",
             ("--overlay", options.folder)),
            ("overlay in memory, writes", "randwrite", image, ())):
        guests.say(f"batching: {name}")
        with guests.Server(disk, *more) as server, guests.Guest(server) as guest:
            for depth in DEPTHS:
                count = options.requests // (4 if depth < 64 else 1)
                rows.append({"name": name, **_one(guest, options.folder, kind, depth, count)})
    return rows


def confirmed(row):
    """Does strace tell of the same calls as the program? None where there is no strace."""
    calls = row["strace"]
    if calls is None:
        return None
    transfers = sum(calls[name] for name in ("preadv", "pwritev", "preadv2", "pwritev2"))
    return calls["io_uring_enter"] == row["enters"] and transfers == row["sync"]


def show(rows, table):
    table.head("Batching: 4 KiB requests, how many one call, one exit, is for",
               ("", "depth", "requests", "an exit", "an enter", "calls/req", "interrupts",
                "strace"))
    for row in rows:
        enter = row["requests_per_enter"]
        seen = confirmed(row)
        table.row((row["name"], row["depth"], row["requests"],
                   f"{row['requests_per_notification']:.1f}",
                   f"{enter:.1f}" if enter else "-", f"{row['calls_per_request']:.3f}",
                   row["interrupts"], "-" if seen is None else "agrees" if seen else "DIFFERS"))
    for row in rows:
        if row["depth"] == 64 and row["requests_per_enter"]:
            table.verdict(f"{row['name']}: requests an io_uring_enter, depth 64",
                          row["requests_per_enter"], 30, "at least")

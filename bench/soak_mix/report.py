# SPDX-License-Identifier: MIT
"""What became of a soak: as tables on the terminal, as a page with plots, and as JSON."""

import json
import os

import page
import samples
import tables

OUTCOMES = ("done", "killed", "timeout", "refused", "left", "stuck")


def duration(seconds):
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"


def of_server(member, first, last, taken, growth):
    """All that is told of one server."""
    ledger = member.ledger
    outcomes = {}
    for (kind, outcome), count in sorted(ledger.outcomes.items()):
        outcomes.setdefault(kind, {})[outcome] = count
    pool = last["stats"]["spares"] if last else None
    return {
        "command": " ".join(["forkvm", *member.server.args[member.server.args.index("serve"):]]),
        "batches": member.batches,
        "clones": sum(count for kinds in outcomes.values() for outcome, count in kinds.items()
                      if outcome not in ("refused", "left", "stuck")),
        "outcomes": outcomes,
        "latency_us": {kind: samples.quantiles(values)
                       for kind, values in sorted(ledger.latencies.items())},
        "kills": dict(sorted(ledger.killings.count.items())),
        "pool": {"made": pool["made"], "claims": pool["claims"], "resent": pool["resent"],
                 "resets": pool["resets_quick"] + pool["resets_thorough"],
                 **{f"lost: {why}": count for why, count in pool["lost"].items() if count}}
        if pool else {},
        "late": {"ends": len(ledger.late_s), "after at most, s": round(max(ledger.late_s), 1)}
        if ledger.late_s else {},
        "growth": [dict(zip(("what", "first", "early", "last", "slope_per_hour", "verdict"), row))
                   for row in growth],
        "first": first, "last": last,
        "faults": list(ledger.faults.lines()),
        "samples": taken,
    }


def _requests(server):
    yield ("requests", *OUTCOMES, "p50, us", "p99, us", "max, us")
    for kind, outcomes in server["outcomes"].items():
        latency = server["latency_us"].get(kind)
        figures = [f"{latency[key]:.0f}" for key in ("p50", "p99", "max")] if latency else ["-"] * 3
        yield (kind, *(outcomes.get(outcome, 0) for outcome in OUTCOMES), *figures)


def _growth(server):
    yield ("server", "at first", "early on", "at last", "an hour", "")
    for row in server["growth"]:
        yield (row["what"], f"{row['first']:g}", f"{row['early']:g}", f"{row['last']:g}",
               f"{row['slope_per_hour']:+.1f}", row["verdict"])


def _pairs(title, values):
    yield (title, "")
    yield from values.items()


def tables_of(server):
    """(title, rows), the first row of each the head."""
    yield "Requests and their ends", list(_requests(server))
    yield "Did the server grow?", list(_growth(server))
    if server["late"]:
        yield "Late", list(_pairs("what", server["late"]))
    yield "Kills", list(_pairs("by", server["kills"]))
    yield "Spares", list(_pairs("what", server["pool"]))


def show(result):
    table = tables.Table()
    for name, server in result["servers"].items():
        for title, rows in tables_of(server):
            table.head(f"{name}: {title}", rows[0])
            for row in rows[1:]:
                table.row(row)
    print("{cpu}, {cpus} CPUs, Linux {kernel}".format(**result["host"]))
    table.show()
    print()


def write(path, result):
    """The page, and JSON beside it."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    page.write(path, result, {name: list(tables_of(server))
                              for name, server in result["servers"].items()})
    with open(os.path.splitext(path)[0] + ".json", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")

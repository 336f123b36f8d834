# SPDX-License-Identifier: MIT
"""What a server holds and does, looked at from outside while it works."""

import statistics
import time

import harness


def _kib(path, *names):
    total = 0
    with open(path, encoding="ascii") as file:
        for line in file:
            if line.split(":")[0] in names:
                total += int(line.split()[1])
    return total


def available_kib():
    return _kib("/proc/meminfo", "MemAvailable")


def holdings(pid):
    """Of a process: descriptors, threads, memory, children."""
    children = harness.children_of(pid)
    return {
        "descriptors": harness.count_fds(pid),
        "threads": harness.count_threads(pid),
        "children": len(children),
        "zombies": sum(state == "Z" for state in children.values()),
        "rss_kib": _kib(f"/proc/{pid}/status", "VmRSS"),
        "private_kib": _kib(f"/proc/{pid}/smaps_rollup", "Private_Clean", "Private_Dirty"),
    }


def percentile(values, percent):
    """The nearest rank's value of those that are sorted."""
    return values[min(len(values) - 1, max(0, -(-len(values) * percent // 100) - 1))]


def quantiles(values):
    values = sorted(values)
    return {"count": len(values), "p50": percentile(values, 50), "p99": percentile(values, 99),
            "max": values[-1], "mean": statistics.fmean(values)}


class Sampler:
    """Of one server; a sample covers the time since the one before."""

    def __init__(self, member, begun):
        self.member = member
        self.begun = begun
        self.last = time.monotonic()
        self.samples = []
        member.ledger.take_fresh()

    def take(self):
        now = time.monotonic()
        passed, self.last = now - self.last, now
        stats = self.member.control.call("stats")
        counts, latencies = self.member.ledger.take_fresh()
        sample = {
            "t_s": round(now - self.begun, 3),
            **holdings(self.member.server.pid),
            "available_kib": available_kib(),
            "live": stats["clones"]["live"],
            "spares": stats["spares"]["parked"],
            "open": self.member.ledger.count_open(),
            "per_s": {kind: round(count / passed, 2) for kind, count in sorted(counts.items())},
            "latency_us": {kind: quantiles(values) for kind, values in sorted(latencies.items())},
        }
        self.samples.append(sample)
        return sample

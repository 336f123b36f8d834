# SPDX-License-Identifier: MIT
"""bench/soak mixed: see its usage, and METHOD.md for what is checked."""

import argparse
import contextlib
import os
import platform
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "bench", "disk_storm"),
                os.path.join(ROOT, "tests", "integration")]
import fleet  # noqa: E402
import inject  # noqa: E402
import report  # noqa: E402
import samples  # noqa: E402
import verdict  # noqa: E402

WARM_UP_S = 10  # at most, and a fifth of the run
SAMPLES = 720  # of an hour: one every 5 s; fewer of less, one a second at most
TOLD_EVERY_S = 30


def parse():
    parser = argparse.ArgumentParser(prog="bench/soak mixed")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--servers", default=",".join(fleet.CONFIGURATIONS))
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--mem", type=int, default=128)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--report", default="build/soak.html")
    parser.add_argument("--inject", choices=inject.INJECTIONS)
    options = parser.parse_args()
    options.seconds = options.seconds or options.minutes * 60
    options.servers = options.servers.split(",")
    for name in options.servers:
        if name not in fleet.CONFIGURATIONS:
            parser.error(f"there is no server {name}: {', '.join(fleet.CONFIGURATIONS)}")
    if options.seconds <= 0 or options.clients < 1:
        parser.error("a soak takes some time and some clients")
    return options


def host():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {"kernel": platform.release(), "cpu": names[0] if names else "", "cpus": os.cpu_count()}


def tell(seconds, total, members, last):
    """One line of progress."""
    parts = []
    for member in members:
        sample = last[member.name]
        parts.append(f"{member.name} {sum(sample['per_s'].values()):.0f}/s "
                     f"fds {sample['descriptors']} rss {sample['rss_kib']} KiB "
                     f"live {sample['live']}")
    wrong = sum(len(member.ledger.faults) for member in members)
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02} of {int(total) // 60}:{int(total) % 60:02}"
    print(f"soak: {clock}  {'; '.join(parts)}; {wrong} faults", file=sys.stderr,
          flush=True)


def work(members, seconds, ended_early):
    """Traffic and kills for so long, or until a signal; the samples of each, by name."""
    begun = time.monotonic()
    samplers = {member.name: samples.Sampler(member, begun) for member in members}
    interval = min(max(seconds / SAMPLES, 1), 5, seconds / 4)
    told = 0
    for member in members:
        member.run_traffic(deadly=True)
    next_at = begun + interval
    while not ended_early.is_set() and (passed := time.monotonic() - begun) < seconds:
        ended_early.wait(max(0, min(next_at - time.monotonic(), seconds - passed)))
        next_at += interval
        last = {member.name: member.ask(samplers[member.name].take) for member in members}
        if any(member.lost for member in members):
            break
        for member in members:
            member.ledger.overdue()
        if time.monotonic() - begun >= told + TOLD_EVERY_S:
            told = time.monotonic() - begun
            tell(told, seconds, members, last)
    for member in members:
        member.stop_traffic()
    return {name: sampler.samples for name, sampler in samplers.items()}


def warm_up(members, seconds, ended_early):
    """Caches fill, pools are made; then how it is at rest, of each."""
    for member in members:
        member.run_traffic(deadly=False)
    ended_early.wait(seconds)
    for member in members:
        member.stop_traffic()
    return {member.name: member.ask(member.settle) for member in members}


def soak(options):
    """What became of it, of each server: its samples, verdicts and faults."""
    found = {}
    ended_early = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *unused: ended_early.set())
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(fleet.Member(name, options)) for name in options.servers]
        first = warm_up(members, min(WARM_UP_S, options.seconds / 5), ended_early)
        if options.inject:
            inject.INJECTIONS[options.inject](members[0].ledger)
        begun = time.monotonic()
        taken = work(members, options.seconds, ended_early)
        options.seconds = min(options.seconds, round(time.monotonic() - begun) or 1)  # ended early?
        for member in members:
            last = member.ask(member.settle, first[member.name])
            growth = []
            if last and taken[member.name]:
                member.check_counts(last)
                growth = verdict.judge_growth(first[member.name], last, taken[member.name],
                                              not member.server.is_instrumented)
            for row in growth:
                if row[-1] == "GREW":
                    member.ledger.fault(f"{row[0]} grew", f"from {row[1]} to {row[3]}")
            found[member.name] = report.of_server(member, first[member.name], last,
                                                  taken[member.name], growth)
    return found


def main():
    options = parse()
    servers = soak(options)
    wrong = [f"{name}: {line}" for name, server in servers.items() for line in server["faults"]]
    clones = sum(server["clones"] for server in servers.values())
    result = {
        "title": f"A mixed soak of {report.duration(options.seconds)}",
        "command": " ".join(["bench/soak mixed", *sys.argv[1:]]),
        "summary": f"{clones} clones in {report.duration(options.seconds)}; "
                   + (f"{len(wrong)} kinds of faults" if wrong else
                      "every request came to its right end, no clone was stuck, nothing grew"),
        "host": host(), "options": vars(options), "servers": servers,
    }
    report.show(result)
    for line in wrong:
        print(f"soak: {line}")
    print(f"soak: {result['summary']}")
    report.write(options.report, result)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

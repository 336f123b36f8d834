# SPDX-License-Identifier: MIT
"""The account of one server's requests: each is opened, closed and judged; none may stay open."""

import array
import collections
import sys
import threading
import time

from request import judge

PATIENCE_S = 30  # for what should happen at once; generous, for slow and loaded hosts


class Faults:
    """What is wrong, each kind once with its count and its first example."""

    def __init__(self):
        self.counts = collections.Counter()
        self.examples = {}

    def __len__(self):
        return sum(self.counts.values())

    def add(self, what, example=""):
        if not self.counts[what]:
            print(f"soak: {what}: {example}", file=sys.stderr, flush=True)
        self.counts[what] += 1
        self.examples.setdefault(what, example)

    def lines(self):
        for what, count in self.counts.most_common():
            example = self.examples[what]
            yield f"{what} ({count} times)" + (f", first: {example}" if example else "")


class Ids:
    """A bit a number: they are given in turn, and there are millions in an hour."""

    def __init__(self):
        self.bits = bytearray()

    def add(self, number):
        """False if it was there before."""
        byte, bit = number >> 3, 1 << (number & 7)
        if byte >= len(self.bits):
            self.bits.extend(bytes(byte + 4096 - len(self.bits)))
        if self.bits[byte] & bit:
            return False
        self.bits[byte] |= bit
        return True


class Ledger:
    """All methods may be called by any thread."""

    def __init__(self, killings, faults=None):
        self.lock = threading.Lock()
        self.killings = killings
        self.faults = faults or Faults()
        self.open = {}
        self.ids = Ids()
        self.outcomes = collections.Counter()  # (kind, outcome)
        self.latencies = collections.defaultdict(lambda: array.array("f"))  # by kind, microseconds
        self.fresh_counts = collections.Counter()
        self.fresh_latencies = collections.defaultdict(list)
        self.late = set()  # id(request) of those that are overdue and still open
        self.late_s = []  # what those took that came in the end

    def opened(self, request):
        request.sent_ns = time.monotonic_ns()
        with self.lock:
            self.open[id(request)] = request

    def closed(self, request):
        """It is complete."""
        with self.lock:
            if self.open.pop(id(request), None) is None:
                self.faults.add("closed twice", _example(request))
                return
            if id(request) in self.late:
                self.late.remove(id(request))
                self.late_s.append((time.monotonic_ns() - request.sent_ns) / 1e9)
            for what in judge(request, self.killings):
                self.faults.add(f"{request.kind}: {what}", _example(request))
            number = request.record.get("id")
            if number is not None and not self.ids.add(number):
                self.faults.add("an id was given twice", _example(request))
            self._count(request)

    def _count(self, request):
        kind, outcome = request.final_kind, request.outcome
        self.outcomes[kind, outcome] += 1
        if outcome not in ("refused", "left"):
            self.fresh_counts[kind] += 1
        latency = request.latency_ns
        if latency >= 0:
            self.latencies[kind].append(latency / 1000)
            self.fresh_latencies[kind].append(latency / 1000)

    def fault(self, what, example=""):
        with self.lock:
            self.faults.add(what, example)

    def overdue(self, all_of_them=False):
        """Note those that should have been complete long ago: an end may be late on a host that
        starves us. When all is over, whatever is still open is lost."""
        now = time.monotonic_ns()
        with self.lock:
            for request in list(self.open.values()):
                if not all_of_them:
                    allowed_s = PATIENCE_S + request.hold_s + request.timeout_ms / 1000
                    if now - request.sent_ns > allowed_s * 10**9:
                        self.late.add(id(request))
                    continue
                self.late.discard(id(request))
                self.open.pop(id(request))
                lost = "no end of its answer" if request.told else "no end was told"
                self.faults.add(f"{request.kind}: {lost}", _example(request))
                self.outcomes[request.kind, "stuck"] += 1

    def is_open(self, request):
        with self.lock:
            return id(request) in self.open

    def take_fresh(self):
        """Counts and latencies by kind since the last call."""
        with self.lock:
            fresh = self.fresh_counts, self.fresh_latencies
            self.fresh_counts = collections.Counter()
            self.fresh_latencies = collections.defaultdict(list)
            return fresh

    def count_open(self):
        with self.lock:
            return len(self.open)


def _example(request):
    words = [f"tag {request.tag}"]
    for name in ("started", "ended", "error"):
        message = getattr(request, name)
        if message:
            words.append(f"{name} " + " ".join(
                f"{key}={value}" for key, value in message.items() if key != "stages"))
    words += [f"{key}={value}" for key, value in request.members.items()]
    return ", ".join(words)

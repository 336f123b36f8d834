# SPDX-License-Identifier: MIT
"""What was killed, so that each end as "killed" can be explained. Told before it is done."""

import collections
import math
import threading
import time

KEPT_NS = 120 * 10**9  # longer than any end takes
PID_NS = 10 * 10**9  # a process number soon belongs to somebody else


class Killings:
    def __init__(self):
        self.lock = threading.Lock()
        self.ids = {}
        self.pids = {}
        self.all_until = collections.deque(maxlen=100)
        self.count = collections.Counter()

    def note(self, how, clone_id=None, pid=None):
        """By id, by process (whatever its id is by then), or, without either, all there are."""
        now = time.monotonic_ns()
        with self.lock:
            self.count[how] += 1
            if clone_id is not None:
                self.ids[clone_id] = now
            elif pid is not None:
                self.pids[pid] = now
            else:
                self.all_until.append(math.inf)
            if sum(self.count.values()) % 1000 == 0:
                self._forget(now)

    def all_are_killed(self):
        """What begins from now on is not among them."""
        with self.lock:
            self.all_until[-1] = time.monotonic_ns()

    def _forget(self, now):
        self.ids = {key: at for key, at in self.ids.items() if now - at < KEPT_NS}
        self.pids = {key: at for key, at in self.pids.items() if now - at < KEPT_NS}

    def explain(self, request):
        """Was that clone, which ended as killed, killed by us?"""
        record = request.record
        stages = record.get("stages", {})
        # Who was killed tells nothing of its end; its client may have read of it much later.
        begun = stages.get("fork", request.sent_ns - PID_NS)
        with self.lock:
            if record.get("id") in self.ids:
                return True
            at = self.pids.get(record.get("pid"))
            if at is not None and at >= begun:
                return True
            return any(until >= stages.get("received", request.sent_ns)
                       for until in self.all_until)

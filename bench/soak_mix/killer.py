# SPDX-License-Identifier: MIT
"""Random kills, and an eye on clones that live for too long."""

import os
import signal
import threading
import time

import harness
from ledger import PATIENCE_S

PAUSE_S = (0.02, 0.2)
KILLS = 0.9  # the part of the looks that kill
HELD_S = 10  # the longest that clients keep a clone
SILENT_S = 1  # what never answers is killed when it is as old as this
ALL_S = 40  # from one killing of all to the next, on average


class Killer(threading.Thread):
    """Of one server. With `deadly`: as long as it has not stopped, otherwise it only looks."""

    def __init__(self, server, ledger, rng, silent, deadly):
        super().__init__(daemon=True)
        self.server = server
        self.ledger = ledger
        self.rng = rng
        self.silent = silent
        self.deadly = deadly
        self.stopping = threading.Event()
        self.seen = {}  # id of a clone that serves: since when

    def run(self):
        try:
            with self.server.connect() as control:
                while not self.stopping.wait(self.rng.uniform(*PAUSE_S)):
                    self.look(control)
        except Exception as error:  # any: the run must end and tell it
            self.ledger.fault(f"the killer failed: {type(error).__name__}: {error}")
            raise

    def stop(self):
        self.stopping.set()

    def look(self, control):
        clones = control.call("list")["clones"]
        spares = [clone for clone in clones if clone["spare"]]
        serving = [clone for clone in clones if not clone["spare"]]
        self.find_stuck(serving)
        if self.silent:
            for clone in serving:
                if time.monotonic() - self.seen[clone["id"]] > SILENT_S:
                    self.by_id(control, clone, "request")
        if self.deadly:
            self.kill_some(control, spares, serving)

    def find_stuck(self, serving):
        now = time.monotonic()
        self.seen = {clone["id"]: self.seen.get(clone["id"], now) for clone in serving}
        for clone in serving:
            if now - self.seen[clone["id"]] > PATIENCE_S + HELD_S:
                self.ledger.fault("a clone is stuck", str(clone))
                self.seen[clone["id"]] = now

    def kill_some(self, control, spares, serving):
        if self.rng.random() < sum(PAUSE_S) / 2 / ALL_S:
            self.ledger.killings.note("all")
            control.call("kill", all=True)
            self.ledger.killings.all_are_killed()
            return
        if self.rng.random() > KILLS:
            return
        # Spares are few and always there; clones that serve are the ones meant.
        is_spare = self.rng.random() < (0.2 if serving else 0.05)
        chosen = spares if is_spare else serving
        if not chosen:
            return
        clone = self.rng.choice(chosen)
        what = "spare, " if is_spare else ""
        if self.rng.random() < 0.5:
            self.by_id(control, clone, what + "request")
        else:
            self.by_signal(clone, what + "signal")

    def by_id(self, control, clone, how):
        self.ledger.killings.note(how, clone_id=clone["id"])
        reply = control.call("kill", id=clone["id"])
        code = reply.get("error", {}).get("code")
        if code not in (None, "ESRCH"):
            self.ledger.fault(f"kill was refused with {code}", str(reply))

    def by_signal(self, clone, how):
        """A child of our server, and nobody else who has got its number."""
        try:
            process = os.pidfd_open(clone["pid"])
        except ProcessLookupError:
            return
        try:
            stat = harness.stat_of(clone["pid"])
            if stat and stat[1] == self.server.pid:
                self.ledger.killings.note(how, pid=clone["pid"])
                signal.pidfd_send_signal(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
        finally:
            os.close(process)

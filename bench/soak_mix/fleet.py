# SPDX-License-Identifier: MIT
"""The servers, and what belongs to each: its account, its clients, its killer."""

import collections
import random
import time

import batch
import harness
import samples
import verdict
import where
from killer import Killer
from killings import Killings
from ledger import PATIENCE_S, Ledger
from spares import PoolServer
from traffic import Sender, Silence, Traffic

SPARES = 8
MAX_CLONES = 64
SETTLE_S = 10  # for what is closed soon after all is over
STEP_S = 0.05
STEPS_SAME = 10
# A guest that spins takes a CPU from all others, so there are few of them, and others come first.
CONFIGURATIONS = {
    "spares": {"stub": "echo", "options": ("--sleep-after", "100ms"), "spares": SPARES},
    "reset": {"stub": "echo", "options": ("--reset",), "spares": SPARES},
    "silent": {"stub": "spin", "options": (), "spares": 2, "wrapper": ("nice", "-n", "19")},
}


class Member:
    """One server of the fleet."""

    def __init__(self, name, options):
        made = CONFIGURATIONS[name]
        self.name = name
        self.silent = made["stub"] == "spin"
        self.spares = made["spares"]
        self.server = PoolServer(made["stub"], "--mem", options.mem, "--max-clones", MAX_CLONES,
                                 "--log-level", "warning", *made["options"],
                                 spares=str(made["spares"]), wrapper=made.get("wrapper", ()))
        self.rng = random.Random(f"{options.seed} {name}")
        self.clients = 1 if self.silent else options.clients
        self.ledger = Ledger(Killings())
        self.batches = False
        self.threads = []
        self.control = None
        self.base = None
        self.lost = False

    def __enter__(self):
        self.server.__enter__()
        self.batches = not self.silent and batch.offered(self.server)
        self.control = self.server.connect()
        self.control.socket.settimeout(PATIENCE_S)
        self.base = self.control.call("stats")
        return self

    def __exit__(self, *why):
        self.control.close()
        if self.lost:
            self.server.clean()
        else:
            self.server.__exit__(*why)

    def run_traffic(self, deadly):
        mix = Silence if self.silent else Traffic
        self.threads = [Sender(self.server.path, self.ledger, self._random(), mix, self.batches)
                        for _ in range(self.clients)]
        self.threads.append(Killer(self.server, self.ledger, self._random(), self.silent, deadly))
        for thread in self.threads:
            thread.start()

    def _random(self):
        return random.Random(self.rng.random())

    def stop_traffic(self):
        """No more requests; those under way come to their end."""
        *senders, killer = self.threads
        for thread in senders:
            thread.stop()
        for thread in senders:
            thread.join()
        killer.stop()
        killer.join()
        self.ledger.overdue(all_of_them=True)

    def ask(self, call, *arguments):
        """What that gives, or None when the server is lost: gone, or without a reply. Then it is not
        asked again, and ended by force."""
        if self.lost:
            return None
        try:
            return call(*arguments)
        except (AssertionError, OSError) as error:
            gone = self.server.process.poll() is not None
            stands = "" if gone else f"; it is {where.of(self.server.pid)}"
            self.ledger.fault("the server " + ("is gone" if gone else "does not reply"),
                              f"{type(error).__name__}: {error}{stands}")
            self.lost = True
            self.server.kill()
            return None

    def settle(self, first=None):
        """How it is at rest: its holdings, and its stats. Waits until it holds no more than at
        first, if that is given, or until nothing changes."""
        end = time.monotonic() + PATIENCE_S
        while not self._is_at_rest():
            if time.monotonic() > end:
                self.ledger.fault("the server does not come to rest", str(self.control.call("stats")))
                break
            time.sleep(STEP_S)
        end = time.monotonic() + SETTLE_S
        same, held = 0, None
        while time.monotonic() < end and same < STEPS_SAME:
            before, held = held, samples.holdings(self.server.pid)
            if first:
                same = STEPS_SAME * all(held[name] <= first[name] for name in verdict.EXACT)
            else:
                same = same + 1 if held == before else 0
            time.sleep(STEP_S)
        return {**held, "stats": self.control.call("stats")}

    def _is_at_rest(self):
        stats = self.control.call("stats")
        return (stats["clones"]["live"] == 0 and stats["spares"]["making"] == 0
                and stats["spares"]["parked"] == self.spares
                and len(self.control.call("list")["clones"]) == self.spares
                and stats["connections"]["open"] == 1
                and len(harness.children_of(self.server.pid)) <= self.spares + 1)

    def check_counts(self, last):
        """The server's account beside ours."""
        counted = collections.Counter()
        for (kind, outcome), count in self.ledger.outcomes.items():
            counted["detached" if kind == "detached" and outcome != "refused" else outcome] += count
        for what in verdict.judge_counts(counted, self.base["clones"], last["stats"]["clones"]):
            self.ledger.fault("the server's account is another one", what)

# SPDX-License-Identifier: MIT
"""The mix: what clients ask of a server, at random, for as long as they are let."""

import threading
import time

import batch
from client import Client
from ledger import PATIENCE_S
from request import Request

WIDTH = 14  # of a client, under way at once
# Of those that take no time: how often of a hundred.
QUICK = {"cold": 38, "spare": 47, "session": 8, "detached": 6, "batch": 1}
# Of those that do: seconds from one to the next, on average.
SLOW_S = {"unread": 1.0, "parked": 1.5, "deaf": 9.0, "leave": 2.5}
BURST = 300  # requests of a client that reads none of its replies
SILENT_S = 0.4


def _members(rng, **members):
    tenant = rng.choice(("", "", "a", "b"))
    if tenant:
        members["tenant"] = tenant
    return members


class Traffic:
    """What one client does to a server whose guest echoes."""

    def __init__(self, client, rng, batches):
        self.client = client
        self.rng = rng
        self.weights = {name: weight for name, weight in QUICK.items()
                        if batches or name != "batch"}
        self.due = {name: self.next_time(name) for name in SLOW_S}

    def next_time(self, name):
        return time.monotonic() + self.rng.expovariate(1 / SLOW_S[name])

    def payload(self):
        size = self.rng.choice((20, 200, 1000, 5000)) if self.rng.random() < 0.99 else 65536
        return self.rng.randbytes(self.rng.randint(1, size))

    def step(self):
        """The next thing to do."""
        for name, due in self.due.items():
            if due <= time.monotonic():
                getattr(self, name)()
                self.due[name] = self.next_time(name)
                return
        name, = self.rng.choices(list(self.weights), list(self.weights.values()))
        getattr(self, name)()

    def cold(self):
        self.client.submit(Request("cold", self.payload(),
                                   members=_members(self.rng, spare="never")))

    def spare(self):
        which = self.rng.choice(("any", "any", "any", "only", "wait"))
        self.client.submit(Request("spare", self.payload(),
                                   members=_members(self.rng, spare=which)))

    def session(self, pause_s=0.0):
        words = [self.payload() for _ in range(self.rng.randint(1, 5))]
        request = Request("session", members=_members(self.rng), hold_s=pause_s * len(words))
        self.client.converse(request, words, pause_s, self.rng.random() < 0.5)

    def parked(self):
        """A session that is idle for long, a good aim for who kills."""
        self.session(self.rng.uniform(0.2, 1.5))

    def detached(self):
        self.client.submit(Request("detached", self.payload(),
                                   members=_members(self.rng, detach=True)))

    def batch(self):
        batch.submit(self.client, self.rng)

    def unread(self):
        """Nobody reads the answer: it is read late, it is never read, or time is over before."""
        request = Request("unread", self.rng.randbytes(20000), members=_members(self.rng),
                          hold_s=self.rng.uniform(0.1, 1.5))
        fate = self.rng.choice(("late", "dropped", "timeout"))
        request.dropped = fate == "dropped"
        if fate == "timeout":
            request.timeout_ms = self.rng.randint(20, 200)
        self.client.submit(request)

    def deaf(self):
        """Many requests, and no look at the replies for a while."""
        self.client.go_deaf(self.rng.uniform(0.3, 1.5))
        for _ in range(BURST):
            self.client.submit(Request("deaf", b"deaf", answers=False))
        if self.rng.random() < 0.3:
            self.leave()

    def leave(self):
        self.client.leave()
        self.client.connect()


class Silence:
    """What one client does to a server whose guest never answers: little, since that one spins."""

    def __init__(self, client, rng, _batches):
        self.client = client
        self.rng = rng
        self.next = 0

    def step(self):
        if time.monotonic() < self.next:
            self.client.pump(self.next - time.monotonic())
            return
        self.next = time.monotonic() + self.rng.expovariate(1 / SILENT_S)
        fate = self.rng.choice(("timeout", "timeout", "timeout", "kill", "leave"))
        request = Request("silent", b"?", silent=True, answers=self.rng.random() < 0.7,
                          members={"spare": self.rng.choice(("any", "never"))})
        if fate == "timeout":
            request.timeout_ms = self.rng.randint(10, 150)
        self.client.submit(request)
        if fate == "leave":
            self.client.pump(0.02)
            self.client.leave()
            self.client.connect()


class Sender(threading.Thread):
    """A client, from its first request until the last one is complete."""

    def __init__(self, path, ledger, rng, mix, batches):
        super().__init__(daemon=True)
        self.path = path
        self.ledger = ledger
        self.rng = rng
        self.mix = mix
        self.batches = batches
        self.width = WIDTH if mix is Traffic else 2
        self.stopping = threading.Event()

    def run(self):
        try:
            client = Client(self.path, self.ledger)
            self.send(client, self.mix(client, self.rng, self.batches))
            client.close()
        except Exception as error:  # any: the run must end and tell it
            self.ledger.fault(f"a client failed: {type(error).__name__}: {error}")
            raise

    def send(self, client, traffic):
        while not self.stopping.is_set():
            if client.deaf_until or client.count_open() >= self.width:
                client.pump(0.05)
            else:
                traffic.step()
                client.pump(0)
        end = time.monotonic() + PATIENCE_S
        while client.count_open() > 1 and time.monotonic() < end:
            client.pump(0.05)

    def stop(self):
        self.stopping.set()

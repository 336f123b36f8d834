# SPDX-License-Identifier: MIT
"""Servers that keep spares."""

import os
import signal

from harness import Server, stat_of, wait_until


class PoolServer(Server):
    """A server that keeps spares."""

    def __init__(self, name, *options, spares="4", **more):
        super().__init__(name, "--spares", spares, *options, **more)

    def pool(self):
        return self.stats()["spares"]

    def spares(self):
        """{pid: clone} of those that are parked, or on their way there."""
        return {pid: clone for pid, clone in self.clones().items() if clone["spare"]}

    def wait_parked(self, count):
        return wait_until(lambda: self.pool()["parked"] >= count and self.pool(),
                          f"{count} spares are parked")

    def wait_served(self):
        wait_until(lambda: self.stats()["clones"]["live"] == 0, "no clone serves anybody")


def stop(pids):
    """Have these processes stand still, wherever they are."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(stat_of(pid)[0] == "T" for pid in pids), "they have stopped")


def words(answer):
    """key=value words of a stub's answer."""
    return dict(word.split("=", 1) for word in answer.decode().split() if "=" in word)

# SPDX-License-Identifier: MIT
"""Servers that keep spares."""

from harness import Server, wait_until


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


def words(answer):
    """key=value words of a stub's answer."""
    return dict(word.split("=", 1) for word in answer.decode().split() if "=" in word)

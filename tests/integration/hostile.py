# SPDX-License-Identifier: MIT
"""The misuses that the stub hostile knows, and how they must end (hostile.c says what the words mean)."""

from harness import Server

def list_ops():
    """{name: end} as the stub itself lists them."""
    with Server("hostile") as server, server.connect() as connection:
        answer, _ = connection.clone(b"op=list")
    return dict(line.rsplit(":", 1) for line in answer.decode().split())


def misuses_of(ops):
    """Of those the ones that a clone is asked for."""
    return {op: end for op, end in ops.items() if "/" not in op}


def _may_be_stuck(connection, reason):
    return reason == "crash" and not connection.call("inspect")["host"]["shadows_page_tables"]


def time_limit(connection, reason):
    """Milliseconds for a clone that is to end so: long where a time-out is a failure."""
    return 3000 if _may_be_stuck(connection, reason) else 60000


def right_ends(connection, reason):
    """What a clone of this server may tell as the reason of its end."""
    if reason == "any":
        return ("done", "shutdown", "guest-error")
    if reason != "crash":
        return (reason,)
    return ("guest-error", "timeout") if _may_be_stuck(connection, reason) else ("guest-error",)

# SPDX-License-Identifier: MIT
"""Faults that did not happen, put into an account to see that the run then fails."""

import time

from request import Request


def lost_end(ledger):
    ledger.opened(Request("cold", b"lost"))


def wrong_answer(ledger):
    request = Request("cold", b"asked", answer=bytearray(b"askew"), answer_over=True)
    ledger.opened(request)
    now = time.monotonic_ns()
    request.ended = {"reason": "done", "status": 0, "stages": {"received": now, "ended": now}}
    ledger.closed(request)


INJECTIONS = {"lost-end": lost_end, "wrong-answer": wrong_answer}

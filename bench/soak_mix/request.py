# SPDX-License-Identifier: MIT
"""One clone that was asked for: what was asked, what came of it, and whether that is right."""

import dataclasses
import typing

GOOD_REFUSALS = ("EAGAIN",)  # the limit of clones, or no spare for spare=only


@dataclasses.dataclass
class Request:
    kind: str
    payload: bytes = b""  # all that the guest is asked; echo answers just that
    answers: bool = True  # is there a descriptor for the answer?
    silent: bool = False  # a guest that never answers
    timeout_ms: int = 0
    hold_s: float = 0  # how long the client itself keeps the clone waiting
    members: dict = dataclasses.field(default_factory=dict)
    tag: int = 0
    sent_ns: int = 0
    # What came.
    started: typing.Optional[dict] = None
    ended: typing.Optional[dict] = None
    error: typing.Optional[dict] = None
    answer: bytearray = dataclasses.field(default_factory=bytearray)
    told_ns: int = 0  # when its end, or its error, was read
    answered_ns: int = 0  # when its first answer was read
    answer_id: typing.Optional[int] = None  # of the clone that answered, if the answer says so
    answer_over: bool = False  # no more will come
    # What the client did to it.
    left: bool = False  # closed the connection before the end was told
    dropped: bool = False  # closed the answer's descriptor before its end

    @property
    def detached(self):
        return bool(self.members.get("detach"))

    @property
    def told(self):
        """All messages that must come have come."""
        if self.left or self.error or self.ended:
            return True
        return self.detached and self.started is not None

    @property
    def complete(self):
        return self.told and (self.answer_over or not self.answers)

    @property
    def record(self):
        """Where its id and its process are told."""
        return self.ended or self.started or {}

    @property
    def final_kind(self):
        """What it turned out to be: a claim of a spare may have found none."""
        if self.kind == "spare" and self.ended:
            return "claimed" if "claim" in self.ended.get("stages", {}) else "missed"
        return self.kind

    @property
    def outcome(self):
        if self.error:
            return "refused"
        if self.ended:
            return self.ended.get("reason", "?")
        if self.left:
            return "left"
        if self.detached and self.started:
            return "done" if bytes(self.answer) == self.payload else "killed"
        return "?"

    @property
    def latency_ns(self):
        """Of one that answered: until its answer was written; of one that timed out: how late. -1:
        nothing to be told."""
        stages = (self.ended or {}).get("stages", {})
        if self.outcome == "timeout" and self.silent:
            return self.told_ns - stages["received"] - self.timeout_ms * 1000000
        if self.outcome != "done" or self.hold_s and self.kind != "session":
            return -1
        if self.kind in ("session", "detached"):
            return self.answered_ns - self.sent_ns if self.answered_ns else -1
        return stages["answered"] - self.sent_ns if "answered" in stages else -1


def judge(request, killings):
    """What is wrong with one that is complete, in words; nothing if all is as it must be."""
    answer, outcome = bytes(request.answer), request.outcome
    if not request.payload.startswith(answer):
        yield "an answer that is not what was asked"
    elif request.silent and answer:
        yield "an answer of a guest that never answers"
    if request.answer_id is not None and request.answer_id != request.record.get(
            "id", request.answer_id):
        yield f"answered by clone {request.answer_id}, ended as another one"
    if outcome == "refused":
        yield from _judge_refusal(request)
    elif outcome == "done":
        yield from _judge_done(request)
    elif outcome == "killed":
        if not request.dropped and not killings.explain(request):
            yield f"killed, and nobody did it: {request.record.get('error', 'no reason')}"
    elif outcome == "timeout":
        yield from _judge_timeout(request)
    elif outcome != "left":
        yield f"ended as {outcome}: {request.record.get('error', '')}"
    if request.detached and request.ended:
        yield "a detached clone's end was told"


def _judge_refusal(request):
    if request.error.get("code") not in GOOD_REFUSALS:
        yield f"refused with {request.error.get('code')}: {request.error.get('message')}"
    if request.answer:
        yield "refused, and answered"


def _judge_done(request):
    if request.silent:
        yield "done, of a guest that never is"
    elif request.record.get("status", 0) != 0:
        yield f"done with status {request.record['status']}"
    if request.answers and not request.dropped and bytes(request.answer) != request.payload:
        yield f"done after {len(request.answer)} of {len(request.payload)} bytes of its answer"


def _judge_timeout(request):
    if not request.timeout_ms:
        yield "a timeout that nobody asked for"
    elif request.told_ns - request.sent_ns < request.timeout_ms * 1000000:
        yield "a timeout before its time"

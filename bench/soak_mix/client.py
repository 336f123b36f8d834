# SPDX-License-Identifier: MIT
"""A client with many requests under way on one connection, which reads answers as they come.

Whatever it is asked with, `submit` sends it and `pump` makes things go on; `leave` closes the
connection in the middle, `go_deaf` stops reading replies for a while.
"""

import array
import base64
import collections
import fcntl
import heapq
import itertools
import json
import os
import select
import socket
import time

MESSAGES = ("started", "ended", "error")
PIPE_MIN = 4096
F_SETPIPE_SZ = 1031


class Client:
    def __init__(self, path, ledger):
        self.path = path
        self.ledger = ledger
        self.tags = itertools.count(1)
        self.poll = select.poll()
        self.readers = {}  # descriptor: what to call when it can be read
        self.timers = []
        self.timer_numbers = itertools.count()
        self.connection = None
        self.connect()

    # ---- The connection ----

    def connect(self):
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(30)
        self.connection.connect(self.path)
        self.connection.setblocking(False)
        self.inbox = b""
        self.outbox = collections.deque()  # (bytes, descriptors), the first maybe in part
        self.pending = {}  # tag: its requests: several of a batch, which have an index
        self.greeted = False
        self.deaf_until = 0
        self.watch(self.connection.fileno(), self._receive)

    def leave(self):
        """Close it, whatever is under way: foreground clones are killed by that."""
        self.unwatch(self.connection.fileno())
        self.connection.close()
        while self.outbox:
            _close_all(self.outbox.popleft()[1])
        for requests in list(self.pending.values()):
            for request in requests:
                request.left = not request.told
                self.check(request)
        self.pending = {}

    def close(self):
        """The last of it; what is under way is left, and its answers are not read."""
        self.leave()
        for fd in list(self.readers):
            self.unwatch(fd)

    def go_deaf(self, seconds):
        """Read no replies for so long."""
        self.unwatch(self.connection.fileno())
        self.deaf_until = time.monotonic() + seconds
        connection = self.connection
        self.after(seconds, lambda: self._hear(connection))

    def _hear(self, connection):
        if connection is self.connection:
            self.deaf_until = 0
            self.watch(connection.fileno(), self._receive)

    def _receive(self):
        try:
            data = self.connection.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.ledger.fault("the server closed a connection", f"{len(self.pending)} under way")
            self.leave()
            self.connect()
            return
        *lines, self.inbox = (self.inbox + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message):
        if not self.greeted:
            self.greeted = True
            return
        requests = self.pending.get(message.get("tag"))
        kind = next((name for name in MESSAGES if name in message), None)
        if requests is None or kind is None:
            self.ledger.fault("a message for no request that is under way", json.dumps(message))
            return
        record = message[kind]
        # A batch may be refused as a whole.
        index = message.get("index")
        chosen = requests if index is None else requests[index:index + 1]
        if not chosen or index is None and len(requests) > 1 and kind != "error":
            self.ledger.fault("a message without an index of its batch", json.dumps(message))
        for request in chosen:
            if getattr(request, kind) is not None:
                self.ledger.fault(f"{kind} was told twice", json.dumps(message))
            setattr(request, kind, record)
            request.told_ns = time.monotonic_ns()
            self.check(request)

    def check(self, request):
        """Is that one told, or complete?"""
        requests = self.pending.get(request.tag, ())
        if request.told and all(other.told for other in requests):
            self.pending.pop(request.tag, None)
        if request.complete and self.ledger.is_open(request):
            self.ledger.closed(request)

    # ---- Sending ----

    def submit(self, request):
        """Ask for a clone. Its answer, if it wants one, is read from a pipe."""
        fds = []
        if request.answers:
            read_end, write_end = os.pipe()
            os.set_blocking(read_end, False)
            fds.append(write_end)
            if request.hold_s:
                fcntl.fcntl(write_end, F_SETPIPE_SZ, PIPE_MIN)
                self.after(request.hold_s, lambda: self._read_late(read_end, request))
            else:
                self.watch(read_end, lambda: self._read_answer(read_end, request))
        self.send(request, fds)

    def send(self, request, fds, batch=None, **members):
        """The message of it with these descriptors, which are the connection's from now on. A batch
        has requests, which all say the same but what they ask."""
        tag = next(self.tags)
        message = {"op": "clone", "tag": tag, **request.members, **members}
        if "requests_b64" not in members:
            message["request_b64"] = base64.b64encode(request.payload).decode()
        if fds:
            message["answer"] = True
        if request.timeout_ms:
            message["timeout_ms"] = request.timeout_ms
        self.pending[tag] = batch or [request]
        for one in self.pending[tag]:
            one.tag = tag
            self.ledger.opened(one)
        self.outbox.append((json.dumps(message).encode() + b"\n", fds))
        self._flush()

    def _flush(self):
        while self.outbox:
            data, fds = self.outbox[0]
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = self.connection.sendmsg([data], control)
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                return
            _close_all(fds)
            if sent < len(data):
                self.outbox[0] = (data[sent:], [])
            else:
                self.outbox.popleft()

    # ---- Answers ----

    def _read_late(self, fd, request):
        if request.dropped:
            os.close(fd)
            self.over(request)
        else:
            self.watch(fd, lambda: self._read_answer(fd, request))

    def _read_answer(self, fd, request):
        try:
            data = os.read(fd, 1 << 17)
        except BlockingIOError:
            return
        if data:
            request.answered_ns = request.answered_ns or time.monotonic_ns()
            request.answer += data
            return
        self.unwatch(fd)
        os.close(fd)
        self.over(request)

    def over(self, request):
        """No more of its answer will come."""
        request.answer_over = True
        self.check(request)

    # ---- Sessions ----

    def converse(self, request, words, pause_s, empty_end):
        """A session: each word is asked when the one before was answered, pause_s later. Ended by
        an empty packet, or by closing the socket."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        request.payload = words[0]
        rest = collections.deque(words[1:])
        request.members["session"] = True

        def finish():
            self.unwatch(ours.fileno())
            ours.close()
            self.over(request)

        def proceed():
            if ours.fileno() < 0:
                return
            try:
                if rest:
                    request.payload += rest[0]
                    ours.send(rest.popleft())
                elif empty_end:
                    ours.send(b"")
                else:
                    finish()
            except BrokenPipeError:
                pass  # it is gone, as its end says

        def receive():
            try:
                packet = ours.recv(1 << 17)
            except BlockingIOError:
                return
            except ConnectionResetError:
                packet = b""
            if not packet:
                finish()
                return
            request.answered_ns = request.answered_ns or time.monotonic_ns()
            request.answer += packet
            self.after(pause_s, proceed)

        self.watch(ours.fileno(), receive)
        self.send(request, [theirs.detach()])

    # ---- The loop ----

    def after(self, seconds, call):
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.timer_numbers), call))

    def watch(self, fd, call):
        self.readers[fd] = call
        self.poll.register(fd, select.POLLIN)

    def unwatch(self, fd):
        if self.readers.pop(fd, None):
            self.poll.unregister(fd)

    def pump(self, seconds):
        """Take what comes in so much time, at least once; return after the first that did."""
        if self.timers:
            seconds = min(seconds, self.timers[0][0] - time.monotonic())
        if self.outbox:
            seconds = min(seconds, 0.01)
        for fd, _ in self.poll.poll(max(0, seconds * 1000)):
            call = self.readers.get(fd)
            if call:
                call()
        while self.timers and self.timers[0][0] <= time.monotonic():
            heapq.heappop(self.timers)[2]()
        self._flush()

    def count_open(self):
        """Requests whose end or answer is still to come."""
        return len(self.pending) + len(self.readers) + len(self.timers)


def _close_all(fds):
    for fd in fds:
        os.close(fd)

# SPDX-License-Identifier: MIT
"""What the integration tests are made of: servers, connections, processes, and waiting.

Nothing here sleeps and hopes: whatever takes time is polled for, up to a deadline.
"""

import array
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("FORKVM_BUILD_DIR") or os.path.join(ROOT, "build", "release")
FORKVM = os.path.join(BUILD, "bin", "forkvm")
GUESTS = os.environ.get("FORKVM_GUEST_DIR") or os.path.join(BUILD, "guest")

DEADLINE_S = 90  # for anything that must happen at all; generous, for slow and loaded hosts
SKIPPED = 77


def stub(name):
    return os.path.join(GUESTS, name)


def wait_until(condition, what, deadline_s=DEADLINE_S):
    """Poll until condition() gives something true, and return that."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.005)


def readable(fd, timeout_s):
    """Can it be read, or will it be in time? For any number of descriptor, unlike select."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0, timeout_s) * 1000))


def run(*args, stdin=None, env=None, **more):
    """Run forkvm to its end; .returncode, .stdout and .stderr as bytes."""
    return subprocess.run([FORKVM, *map(str, args)], input=stdin, capture_output=True,
                          timeout=DEADLINE_S, env=env, check=False, **more)


# ---- Processes ----

def stat_of(pid):
    """(state, ppid) of a process, or None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0].decode(), int(fields[1])


def is_alive(pid):
    """Neither gone nor a zombie."""
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def children_of(pid):
    """{pid: state} of its children, zombies too."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = stat_of(entry)
            if stat and stat[1] == pid:
                found[int(entry)] = stat[0]
    return found


def count_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def count_threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


# ---- A connection, byte by byte ----

class Connection:
    """A client of the control protocol that may misbehave in every way."""

    def __init__(self, path, greet=True):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(path)
        self.buffer = b""
        self.next_tag = 1
        self.greeting = self.read_line() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.socket.close()

    def send_raw(self, data, fds=()):
        control = []
        if fds:
            control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        sent = self.socket.sendmsg([data], control)
        if sent < len(data):
            self.socket.sendall(data[sent:])

    def send(self, message, fds=()):
        self.send_raw(json.dumps(message).encode() + b"\n", fds)

    def read_line(self):
        """The next message; None when the server has closed."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                if self.buffer:
                    raise AssertionError(f"half a line: {self.buffer[:100]!r}")
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def call(self, op, **members):
        """One request and its reply: what it has as "ok", or {"error": ...}."""
        self.send({"op": op, **members})
        reply = self.read_line()
        if reply is None:
            raise AssertionError(f"the server closed the connection at {op}")
        return reply.get("ok", reply)

    def start(self, request=b"", answer=True, **members):
        """Ask for a clone; returns a Clone, whose end is still to come."""
        clone = Clone(self, self.next_tag)
        self.next_tag += 1
        message = {"op": "clone", "tag": clone.tag, **members}
        if isinstance(request, bytes):
            try:
                message["request"] = request.decode("ascii")
            except UnicodeDecodeError:
                import base64
                message["request_b64"] = base64.b64encode(request).decode()
        fds = []
        if answer:
            clone.answer_fd, write_end = os.pipe()
            message["answer"] = True
            fds.append(write_end)
        self.send(message, fds)
        for fd in fds:
            os.close(fd)
        return clone

    def clone(self, request=b"", **members):
        """A clone from its request to its end: (answer, the record of its end)."""
        clone = self.start(request, **members)
        return clone.read_answer(), clone.wait_end()

    def session(self, request=b"", **members):
        """A clone that stays: the socket by which it answers and is asked again."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(DEADLINE_S)
        tag = self.next_tag
        self.next_tag += 1
        self.send({"op": "clone", "tag": tag, "answer": True, "session": True,
                   "request": request.decode(), **members}, [theirs.fileno()])
        theirs.close()
        return ours


class Clone:
    def __init__(self, connection, tag):
        self.connection = connection
        self.tag = tag
        self.answer_fd = -1

    def read_answer(self):
        """All that the guest says, up to the end of it."""
        if self.answer_fd < 0:
            return b""
        data = b""
        end = time.monotonic() + DEADLINE_S
        while True:
            if not readable(self.answer_fd, end - time.monotonic()):
                raise AssertionError(f"no end of the answer; so far {data[:100]!r}")
            piece = os.read(self.answer_fd, 1 << 16)
            if not piece:
                break
            data += piece
        self.close()
        return data

    def close(self):
        if self.answer_fd >= 0:
            os.close(self.answer_fd)
            self.answer_fd = -1

    def wait_started(self):
        """The record of its start, of a clone with progress; those of others are an error."""
        message = self.connection.read_line()
        if not message or message.get("tag") != self.tag or "started" not in message:
            raise AssertionError(f"not the start of {self.tag}: {message}")
        return message["started"]

    def wait_end(self):
        """The record of its end, or of its refusal as {"error": ...}."""
        message = self.connection.read_line()
        if not message or message.get("tag") != self.tag:
            raise AssertionError(f"not the end of {self.tag}: {message}")
        return message.get("ended", message)


# ---- A server ----

class Server:
    """forkvm serve, from its being ready to its orderly end."""

    def __init__(self, name, *options, folder=None, path=None, wrapper=()):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="forkvm-it-")
        self.path = path or os.path.join(self.folder, "socket")
        self.log_path = os.path.join(self.folder, f"log-{time.monotonic_ns()}")
        image = name if os.sep in name else stub(name)
        self.args = [*wrapper, FORKVM, "serve", "--stub", image, "--socket", self.path,
                     *map(str, options)]
        self.process = None
        self.ready_fd = -1

    def launch(self):
        """Let it boot; whether it comes up is for wait_ready to tell."""
        self.ready_fd, write_end = os.pipe()
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*self.args, "--ready-fd", str(write_end)], stderr=log, pass_fds=[write_end],
                stdin=subprocess.DEVNULL, stdout=log)
        os.close(write_end)
        return self

    def wait_ready(self):
        """True once it serves clones, False when it has ended instead."""
        ready = b""
        end = time.monotonic() + DEADLINE_S
        while not ready.endswith(b"ready\n"):
            if not readable(self.ready_fd, end - time.monotonic()):
                break
            piece = os.read(self.ready_fd, 100)
            if not piece:
                break
            ready += piece
        os.close(self.ready_fd)
        self.ready_fd = -1
        return ready == b"ready\n"

    def start(self):
        self.launch()
        if not self.wait_ready():
            self.kill()
            raise AssertionError(f"the server did not start:\n{self.log()}")
        return self

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.clean()
            raise

    def __exit__(self, kind, *unused):
        try:
            if kind is None:
                self.stop()
            else:
                sys.stderr.write(f"the server's log:\n{self.log()[-4000:]}\n")
        finally:
            self.kill()
            self.clean()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    @property
    def is_instrumented(self):
        """Built with a sanitizer or for coverage, whose own memory comes and goes."""
        return "this build (sanitizer or coverage)" in self.log()

    @property
    def pid(self):
        return self.process.pid

    def connect(self, greet=True):
        return Connection(self.path, greet)

    def cli(self, verb, *args, **more):
        return run(verb, "--socket", self.path, *args, **more)

    def stats(self):
        with self.connect() as connection:
            return connection.call("stats")

    def clones(self):
        """Pids of processes that are clones; the anchor is none."""
        with self.connect() as connection:
            reply = connection.call("list")
        return {clone["pid"]: clone for clone in reply["clones"]}

    def anchor(self):
        """Its children when no clone lives: at most one, the anchor."""
        children = children_of(self.pid)
        if len(children) > 1:
            raise AssertionError(f"more than the anchor: {children}")
        return set(children)

    def wait_quiet(self):
        """Until no clone is left, dead or alive."""
        wait_until(lambda: self.stats()["clones"]["live"] == 0, "no clone is alive")
        wait_until(lambda: len(children_of(self.pid)) <= 1, "no child is left but the anchor")

    def holdings(self, connections=0):
        """What it holds when no clone lives and clients have no more than connections open."""
        self.wait_quiet()
        with self.connect() as watcher:
            # The server closes after the client does.
            wait_until(lambda: watcher.call("stats")["connections"]["open"] <= connections + 1,
                       "other connections are closed")
            return {
                "descriptors": count_fds(self.pid),
                "threads": count_threads(self.pid),
                "children": len(children_of(self.pid)),
            }

    def check_serving(self):
        """It is alive, its clones are, too, and it is in one piece."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log()}")
        with self.connect() as connection:
            _, end = connection.clone()
            if "reason" not in end:
                raise AssertionError(f"no clone to be had: {end}")

    def wait(self):
        return self.process.wait(DEADLINE_S)

    def stop(self):
        """In good order: exit status 0, no child and no socket left."""
        children = children_of(self.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.wait()
        if status != 0:
            raise AssertionError(f"the server ended with {status}:\n{self.log()}")
        # Clones, too, write to the log when a sanitizer has found something.
        if re.search(r"(ERROR|WARNING): \w+Sanitizer|runtime error:", self.log()):
            raise AssertionError(f"a sanitizer has found something:\n{self.log()}")
        for path in (self.path, self.path + ".lock"):
            if os.path.lexists(path):
                raise AssertionError(f"{path} was left behind")
        wait_until(lambda: not any(is_alive(pid) for pid in children), "its children are gone")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.wait()

    def clean(self):
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


# ---- Running ----

class TestCase(unittest.TestCase):
    """Unlike plain unittest, shows long differences, and knows the build's limits."""

    maxDiff = None

    def assert_end(self, end, reason, status=0):
        self.assertEqual(end.get("reason"), reason, end)
        self.assertEqual(end.get("status"), status, end)


def has_kvm():
    try:
        with open("/dev/kvm", "r+b", buffering=0) as device:
            return fcntl.ioctl(device, 0xae00) == 12  # KVM_GET_API_VERSION
    except OSError:
        return False


def main():
    """Run the tests of the calling script; exit status 77 when any was skipped."""
    if not has_kvm():
        print("skipped: no KVM that this user may use")
        sys.exit(SKIPPED)
    if not os.path.exists(FORKVM):
        print(f"{FORKVM} is not built")
        sys.exit(1)
    program = unittest.main(module="__main__", exit=False, verbosity=2, warnings="ignore")
    result = program.result
    if not result.wasSuccessful() or not result.testsRun:
        sys.exit(1)
    for test, reason in result.skipped:
        print(f"skipped {test}: {reason}")
    sys.exit(SKIPPED if result.skipped else 0)

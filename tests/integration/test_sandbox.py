#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a clone may not do. A system call is put into a running clone by ptrace(2), as a guest that
has broken out of its VM would make it; a forbidden one must end the clone with SIGSYS, and only it."""

import ctypes
import errno
import json
import os
import shutil
import signal
import struct
import sys
import tempfile

import disks
import harness
from harness import Server, is_alive, stat_of, wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_CONT, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_DETACH = 7, 12, 13, 17
PTRACE_SINGLESTEP, PTRACE_SEIZE, PTRACE_INTERRUPT = 9, 0x4206, 0x4207

# struct user_regs_struct of sys/user.h: 27 words.
REGS = 27
R10, R9, R8, RAX, RDX, RSI, RDI, ORIG_RAX, RIP = 7, 8, 9, 10, 12, 13, 14, 15, 16
SYSCALL = b"\x0f\x05"

# x86-64 numbers, asm/unistd_64.h.
FORBIDDEN = {
    "open": (2, 0, 0), "socket": (41, 1, 1, 0), "connect": (42, 0, 0, 0), "accept": (43, 0, 0, 0),
    "sendmsg": (46, 5, 0, 0), "recvmsg": (47, 5, 0, 0), "bind": (49, 0, 0, 0),
    "socketpair": (53, 1, 1, 0, 0), "clone": (56, 17, 0), "fork": (57,), "vfork": (58,),
    "execve": (59, 0, 0, 0), "kill": (62, 1, 0), "fcntl": (72, 0, 1), "truncate": (76, 0, 0),
    "chdir": (80, 0), "rename": (82, 0, 0), "unlink": (87, 0), "chmod": (90, 0, 0),
    "ptrace": (101, 0, 0), "setuid": (105, 0), "capset": (126, 0, 0), "prctl name": (157, 15, 0),
    "arch_prctl": (158, 0x1002, 0), "setrlimit": (160, 7, 0), "chroot": (161, 0),
    "mount": (165, 0, 0, 0), "tkill": (200, 1, 9), "epoll_create": (213, 1),
    "tgkill": (234, 1, 1, 9), "openat": (257, -100, 0, 0), "unshare": (272, 0x10000000),
    "sched_setscheduler": (144, 0, 1, 0),
    "eventfd2": (290, 0, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0), "kcmp": (312, 1, 1, 2),
    "seccomp": (317, 1, 0, 0), "memfd_create": (319, 0, 0), "bpf": (321, 0, 0),
    "execveat": (322, -100, 0, 0, 0, 0), "userfaultfd": (323, 0),
    "pidfd_send_signal": (424, 0, 9), "io_uring_setup": (425, 1, 0), "clone3": (435, 0, 0),
    "openat2": (437, -100, 0, 0), "pidfd_getfd": (438, 0, 0),
    "io_uring_enter": (426, 77, 0, 0, 0, 0), "io_uring_register": (427, 77, 0, 0, 0),
    "pwritev": (296, 77, 0, 0, 0), "fallocate": (285, 77, 0, 0, 0), "fdatasync": (75, 77),
    "ftruncate": (77, 77, 0), "statx": (332, -100, 0, 0, 0, 0), "newfstatat": (262, -100, 0, 0, 0),
    "fstat": (5, 1, 0), "process_vm_writev": (311, 1, 0, 0, 0, 0),
    # Allowed calls with arguments that are not.
    "mmap executable": (9, 0, 4096, 5, 0x22, -1, 0), "mprotect executable": (10, 0, 4096, 5),
    "ioctl of a terminal": (16, 0, 0x5412, 0), "sendto with an address": (44, 5, 0, 0, 0, 4096, 16),
    # No call at all, and the 32-bit table by its other number.
    "none": (10000,), "x32 getpid": (0x40000000 + 39,),
}
# What clones with disks may do on top.
DISKS = ("io_uring_enter", "pwritev", "fallocate", "fdatasync", "memfd_create", "ftruncate")
# The folder of overlays, where they may make files without names and open nothing that exists.
FD_OVERLAYS = 5
IN_FOLDER = {
    "openat for reading": (257, FD_OVERLAYS, 0, os.O_RDONLY | os.O_CLOEXEC),
    "openat of a new name": (257, FD_OVERLAYS, 0,
                             os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC),
    "openat elsewhere": (257, -100, 0, os.O_RDWR | os.O_TMPFILE | os.O_EXCL | os.O_CLOEXEC),
    "openat with a way to a name": (257, FD_OVERLAYS, 0, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC),
    "linkat": (265, FD_OVERLAYS, 0, -100, 0, 0x1000), "getdents64": (217, FD_OVERLAYS, 0, 0),
}
# Harmless in themselves, and needed: the clone goes on. getppid and a write of nothing.
ALLOWED = {"getppid": (110,), "write": (1, 2, 0, 0), "brk": (12, 0), "close": (3, 77),
           "fcntl how it is open": (72, 2, 3)}


def ptrace(request, pid, data=0, address=0):
    if LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address),
                   ctypes.c_void_p(data) if isinstance(data, int) else data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Traced:
    """A process that is stopped at a system call instruction."""

    def __init__(self, pid):
        self.pid = pid
        ptrace(PTRACE_SEIZE, pid)
        ptrace(PTRACE_INTERRUPT, pid)
        os.waitpid(pid, 0x40000000)  # __WALL
        self.buffer = (ctypes.c_ulonglong * REGS)()
        self.saved = self.registers()

    def registers(self):
        ptrace(PTRACE_GETREGS, self.pid, self.buffer)
        return list(self.buffer)

    def set_registers(self, values):
        for i, value in enumerate(values):
            self.buffer[i] = value & 0xffffffffffffffff
        ptrace(PTRACE_SETREGS, self.pid, self.buffer)

    def aim(self, number, *arguments):
        """Put it right before a system call instruction, with these registers."""
        values = list(self.saved)
        at = values[RIP] - 2
        try:
            with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
                memory.seek(at)
                if memory.read(2) != SYSCALL:
                    return False
        except OSError:  # right after the fork: the instruction that made it is not there
            return False
        values[RIP], values[RAX], values[ORIG_RAX] = at, number, -1
        for register, argument in zip((RDI, RSI, RDX, R10, R8, R9), arguments):
            values[register] = argument
        self.set_registers(values)
        return True

    def go(self):
        ptrace(PTRACE_CONT, self.pid)

    def step(self):
        """Make the call; returns what the kernel gave, or the signal that ended the process."""
        ptrace(PTRACE_SINGLESTEP, self.pid)
        status = os.waitpid(self.pid, 0x40000000)[1]
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status))
        return ctypes.c_longlong(self.registers()[RAX]).value

    def restore(self):
        self.set_registers(self.saved)
        ptrace(PTRACE_DETACH, self.pid)


class Sandbox(harness.TestCase):
    def trace(self, pid):
        try:
            return Traced(pid)
        except PermissionError as error:
            self.skipTest(f"this user may not trace processes: {error}")

    def inject(self, connection, call, server=None):
        """The record of the end of a clone that made this call; server: one with disks."""
        clone = connection.start(progress=True)
        pid = clone.wait_started()["pid"]
        if server:
            # Before that it is not locked down, and its guest does not run.
            wait_until(lambda: self.has_left_nursery(server, pid), "it has left the nursery")
        # In KVM_RUN: the guest spins there for ever.
        wait_until(lambda: self.aim(pid, call), "it is in a system call")
        end = clone.wait_end()
        clone.close()
        return end

    def aim(self, pid, call):
        traced = self.trace(pid)
        if traced.aim(*call):
            try:
                result = traced.step()
            except ProcessLookupError:
                return True
            if result != signal.SIGSYS:
                os.kill(pid, signal.SIGKILL)
                raise AssertionError(f"{call} gave {result}")
            return True
        traced.restore()
        return False

    def test_forbidden_calls(self):
        with Server("spin") as server, server.connect() as connection:
            for name, call in FORBIDDEN.items():
                with self.subTest(call=name):
                    end = self.inject(connection, call)
                    self.assert_end(end, "host-error")
                    self.assertIn("system call", end["error"])
            self.assertEqual(server.stats()["clones"]["ended"]["host-error"], len(FORBIDDEN))
            server.wait_quiet()

    def serve_disks(self, stub, *options):
        folder = tempfile.mkdtemp(prefix="forkvm-sandbox-")
        self.addCleanup(shutil.rmtree, folder)
        image = disks.make_image(os.path.join(folder, "base.img"), 300)
        os.mkdir(os.path.join(folder, "overlays"))
        return Server(stub, "--disk", image, "--disk", "none", "--overlay",
                      os.path.join(folder, "overlays"), *options)

    def test_forbidden_calls_with_disks(self):
        """What made its rings, overlays and bitmaps is behind it."""
        with self.serve_disks("spin") as server, server.connect() as connection:
            for name, call in {**FORBIDDEN, **IN_FOLDER}.items():
                if name in DISKS + ("io_uring_setup",):
                    continue
                with self.subTest(call=name):
                    self.assert_end(self.inject(connection, call, server), "host-error")
            server.wait_quiet()

    def test_allowed_calls_with_disks(self):
        with self.serve_disks("blk", "--args", "disks=2") as server:
            with disks.Session(server) as session:
                for name in DISKS:
                    with self.subTest(call=name):
                        traced = self.trace(session.pid)
                        self.assertTrue(traced.aim(*FORBIDDEN[name]))
                        self.assertIsInstance(traced.step(), int)
                        traced.restore()
                        session.do("op=fill count=2")
                self.assert_end(session.end(), "done")

    def setup_ring(self, session, place, entries=128):
        """What io_uring_setup gives the clone, which asks for what is not restricted."""
        traced = self.trace(session.pid)
        self.assertTrue(traced.aim(425, entries, 0, place))
        number = traced.step()
        traced.restore()
        return number

    def error_of_register(self, pid, number):
        """Why the kernel refuses to enable a clone's ring once more."""
        with open(os.pidfd_open(pid), "rb", buffering=0) as pidfd:
            ring = LIBC.syscall(438, pidfd.fileno(), number, 0)  # pidfd_getfd
        self.assertGreaterEqual(ring, 0)
        self.assertEqual(LIBC.syscall(427, ring, 12, None, 0), -1)
        os.close(ring)
        return ctypes.get_errno()

    def test_rings_that_a_clone_asks_for(self):
        """They are the server's to make, whatever the clone says: restricted, and only so many."""
        with self.serve_disks("blk", "--args", "disks=2") as server:
            with disks.Session(server) as session, disks.Session(server) as other:
                self.assertEqual(self.setup_ring(session, 12345), -errno.EPERM, "no such clone")
                # Places are given in order, and one clone was made before the other.
                self.assertEqual(self.setup_ring(session, 1), -errno.EPERM, "another's")
                for number in (self.setup_ring(session, 0), self.setup_ring(session, 0, 1)):
                    self.assertEqual(self.error_of_register(session.pid, number), errno.EACCES)
                for _ in range(3):
                    self.assertEqual(self.setup_ring(session, 0), -errno.EPERM, "too many")
                # Without one, it is slower.
                session.do("op=loop kind=randread size=4096 depth=16 n=64")
                other.do("op=loop kind=randread size=4096 depth=16 n=64")
                self.assertEqual(self.disk_figures(server, session)["enters"], 0)
                self.assertGreater(self.disk_figures(server, other)["enters"], 0)
                self.assert_end(session.end(), "done")
                self.assert_end(other.end(), "done")
            server.check_serving()

    def disk_figures(self, server, session):
        return json.loads(server.cli("inspect", session.id, "--json").stdout)["disks"]["0"]

    def ring_count(self, session):
        folder = f"/proc/{session.pid}/fd"
        return sum(os.readlink(f"{folder}/{fd}") == "anon_inode:[io_uring]"
                   for fd in os.listdir(folder))

    def test_when_a_ring_is_made(self):
        """Not before it is of use: by several requests at once."""
        with self.serve_disks("blk", "--args", "disks=2") as server:
            with disks.Session(server) as session:
                session.do("op=loop kind=randread size=4096 depth=1 n=4")
                self.assertEqual(self.ring_count(session), 0)
                session.do("op=loop kind=randread size=4096 depth=2 n=4")
                self.assertEqual(self.ring_count(session), 1)

    def test_where_nobody_can_be_told_of_calls(self):
        """A filter outside that tells somebody leaves no room for another: clones make their rings
        themselves, before their guests run."""
        server = self.serve_disks("blk", "--args", "disks=2")
        server.args[:0] = [sys.executable, "-c", OUTER_FILTER]
        with server:
            with disks.Session(server) as session:
                self.assertEqual(self.ring_count(session), 1)
                session.do("op=loop kind=randread size=4096 depth=16 n=64")
                self.assertGreater(self.disk_figures(server, session)["enters"], 0)
            with server.connect() as connection:
                clone = connection.session(progress=True)
                pid = connection.read_line()["started"]["pid"]
                clone.recv(4096)
                wait_until(lambda: self.aim(pid, FORBIDDEN["io_uring_setup"]), "it is parked")
                self.assert_end(connection.read_line()["ended"], "host-error")
                clone.close()

    def test_who_asks_for_a_ring_and_is_killed(self):
        """The server does not wait for it, nor do others."""
        with self.serve_disks("blk", "--args", "disks=2") as server:
            for _ in range(5):
                session = disks.Session(server)
                os.kill(server.pid, signal.SIGSTOP)
                session.socket.send(b"op=loop kind=randread size=4096 depth=16 n=64")
                wait_until(lambda: in_call(session.pid, 425), "it waits for its ring")
                os.kill(session.pid, signal.SIGKILL)
                os.kill(server.pid, signal.SIGCONT)
                session.close()
            with disks.Session(server) as session:
                session.do("op=loop kind=randread size=4096 depth=16 n=64")
                self.assertGreater(self.disk_figures(server, session)["enters"], 0)
            server.wait_quiet()

    def executable_bytes(self, pid):
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            return sum(int(line.split("-")[1].split()[0], 16) - int(line.split("-")[0], 16)
                       for line in maps if " r-xp " in line and "[" not in line)

    def has_left_nursery(self, server, pid):
        return self.executable_bytes(server.pid) - self.executable_bytes(pid) == 8192

    def test_the_nursery_is_not_there(self):
        """Nor is the page from which a clone with disks made its rings, once its guest runs."""
        with self.serve_disks("blk", "--args", "disks=2") as server:
            with disks.Session(server) as session:
                self.assertTrue(self.has_left_nursery(server, session.pid))

    def test_what_a_clone_with_disks_holds(self):
        """It can write to its own overlay, and to nothing that others have, too."""
        with self.serve_disks("blk", "--args", "disks=2 fill=1") as server:
            with disks.Session(server) as session:
                session.do("op=fill count=2")
                writable, read_only = [], []
                for fd in os.listdir(f"/proc/{session.pid}/fd"):
                    link = os.readlink(f"/proc/{session.pid}/fd/{fd}")
                    with open(f"/proc/{session.pid}/fdinfo/{fd}", encoding="ascii") as info:
                        flags = int(info.read().split("flags:")[1].split()[0], 8)
                    if os.path.isdir(f"/proc/{session.pid}/fd/{fd}"):
                        self.assertEqual(int(fd), FD_OVERLAYS, link)
                        continue
                    if link.startswith(("/dev/", "socket:", "anon_inode:")) or int(fd) == 2:
                        continue
                    (writable if flags & os.O_ACCMODE else read_only).append(link)
                self.assertEqual(len(read_only), 2, read_only)  # image, the template's overlay
                self.assertEqual(len(writable), 2, writable)  # its overlay, the bitmap of that

    def test_an_overlay_that_is_none(self):
        """A clone that has broken out can put anything in its overlay's place: whoever exports it is
        told so, and neither is harmed."""
        with self.serve_disks("blk", "--args", "disks=2") as server:
            with disks.Session(server) as session:
                out = os.path.join(server.folder, "out")
                answer, data = 6 + 8 * 2, 6 + 5 * 2 + 1  # by the table of README.md
                for source, word in ((answer, b"no overlay where it should"),
                                     (0, b"bytes"), (3, b"")):
                    traced = self.trace(session.pid)
                    self.assertTrue(traced.aim(292, source, data, 0))  # dup3
                    self.assertEqual(traced.step(), data)
                    traced.restore()
                    result = server.cli("disk", "export", session.id, out)
                    self.assertIn(word, result.stdout + result.stderr)
                session.do("op=info")
                self.assert_end(session.end(), "done")
            server.check_serving()

    def test_forbidden_calls_with_several_vcpus(self):
        with Server("smp", "--cpus", 2) as server, server.connect() as connection:
            for name in ("fork", "clone", "vfork", "socket", "openat", "execve", "kill", "tkill",
                         "mmap executable", "seccomp", "sched_setscheduler"):
                with self.subTest(call=name):
                    session = connection.session(progress=True)
                    pid = connection.read_line()["started"]["pid"]
                    self.assertTrue(session.recv(4096).startswith(b"ok"))
                    wait_until(lambda: stat_of(pid)[0] in "SR", "it is parked")
                    wait_until(lambda: self.aim(pid, FORBIDDEN[name]), "it is in a system call")
                    end = connection.read_line()["ended"]
                    self.assert_end(end, "host-error")
                    session.close()
            server.wait_quiet()

    def test_allowed_calls(self):
        """The test's own method does no harm: a clone goes on after a call that it may make."""
        with Server("echo") as server, server.connect() as connection:
            session = connection.session(b"before", progress=True)
            pid = connection.read_line()["started"]["pid"]
            self.assertEqual(session.recv(100), b"before")
            for name, call in ALLOWED.items():
                with self.subTest(call=name):
                    traced = self.trace(pid)
                    self.assertTrue(traced.aim(*call))
                    result = traced.step()
                    self.assertIsInstance(result, int)
                    self.assertNotEqual(result, -1)
                    if name == "getppid":
                        self.assertEqual(result, server.pid)
                    traced.restore()
                    session.send(name.encode())
                    self.assertEqual(session.recv(100), name.encode())
            session.close()
            self.assert_end(connection.read_line()["ended"], "done")

    def test_the_gate_is_not_there(self):
        """The page from which the server makes its own calls is mapped in no clone."""
        with Server("spin") as server, server.connect() as connection:
            clone = connection.start(progress=True)
            pid = clone.wait_started()["pid"]
            self.assertEqual(self.executable_bytes(server.pid) - self.executable_bytes(pid), 4096)
            connection.close()
            clone.close()
            server.wait_quiet()

    def test_what_a_clone_holds(self):
        """Its own descriptors and no others; no capabilities; no way to new privileges."""
        with Server("echo") as server, server.connect() as connection, server.connect():
            session = connection.session(b"x", progress=True)
            pid = connection.read_line()["started"]["pid"]
            session.recv(10)
            links = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}")
                     for fd in os.listdir(f"/proc/{pid}/fd")}
            kinds = sorted(link.split(":")[0] for link in links.values()
                           if not link.startswith(("/dev/null", server.folder)))
            self.assertEqual(kinds, ["/dev/kvm", "anon_inode", "anon_inode", "socket", "socket"],
                             links)
            for who in (server.pid, pid):
                with open(f"/proc/{who}/status", encoding="ascii") as status:
                    told = dict(line.split(":\t", 1) for line in status.read().splitlines()
                                if ":\t" in line)
                self.assertEqual(told["NoNewPrivs"], "1")
                self.assertEqual(told["Seccomp"], "2")
                for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                    self.assertEqual(int(told[name], 16), 0, name)
                with open(f"/proc/{who}/limits", encoding="ascii") as limits:
                    core = [line for line in limits if line.startswith("Max core file size")][0]
                self.assertEqual(core.split()[4:6], ["0", "0"])
            session.close()
            self.assert_end(connection.read_line()["ended"], "done")

    def test_nothing_is_writable_and_executable(self):
        with Server("spin") as server, server.connect() as connection:
            clone = connection.start(progress=True)
            pid = clone.wait_started()["pid"]
            self.assertTrue(is_alive(pid))
            for who in (server.pid, pid):
                with open(f"/proc/{who}/maps", encoding="utf-8") as maps:
                    for line in maps:
                        self.assertNotIn("rwx", line.split()[1], line)
            connection.close()
            clone.close()
            server.wait_quiet()

    def test_the_servers_own_calls_from_elsewhere(self):
        """Even in the server: its rights are the gate's, not the program's."""
        for name in ("socket", "openat", "execve", "fork", "clone3", "unlink"):
            with self.subTest(call=name):
                server = Server("hello").start()
                children = set(harness.children_of(server.pid))
                # It waits in epoll_wait, made at the gate; another syscall instruction is needed.
                traced = self.trace(server.pid)
                at = find_syscall(server.pid, avoid=traced.saved[RIP] - 2)
                values = list(traced.saved)
                call = FORBIDDEN[name]
                values[RIP], values[RAX], values[ORIG_RAX] = at, call[0], -1
                for register, argument in zip((RDI, RSI, RDX, R10, R8, R9), call[1:]):
                    values[register] = argument
                traced.set_registers(values)
                self.assertEqual(traced.step(), signal.SIGSYS)
                wait_until(lambda: not any(map(is_alive, children)), "its children are gone")
                server.process.wait()
                server.clean()


# Runs a program under a filter that allows everything and has a listener, which a child keeps.
OUTER_FILTER = """
import ctypes, os, signal, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
allow = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7fff0000))
program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 1, ctypes.addressof(allow)))
libc.prctl(38, 1, 0, 0, 0)
listener = libc.syscall(317, 1, 8, program)
assert listener >= 0, os.strerror(ctypes.get_errno())
if os.fork() == 0:
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    signal.pause()
os.execv(sys.argv[1], sys.argv[1:])
"""


def in_call(pid, number):
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read().split()[0] == str(number)


def find_syscall(pid, avoid):
    """The address of some system call instruction of the program, but not the one at avoid."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            if " r-xp " not in line or "forkvm" not in line:
                continue
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            memory.seek(start)
            code = memory.read(end - start)
            at = code.find(SYSCALL)
            while at >= 0:
                if start + at != avoid and struct.pack("<H", 0x050f) == code[at:at + 2]:
                    return start + at
                at = code.find(SYSCALL, at + 1)
    raise AssertionError("no system call instruction")


if __name__ == "__main__":
    harness.main()

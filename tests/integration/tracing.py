# SPDX-License-Identifier: MIT
"""A server held by ptrace(2) at its system calls, to have things happen in between."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_GETEVENTMSG = 17, 24, 0x4201
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GET_SYSCALL_INFO = 0x4206, 0x4207, 0x420e
PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACEFORK, PTRACE_O_TRACEVFORK, PTRACE_O_TRACECLONE = 1, 2, 4, 8
FORK_EVENTS = (1, 2, 3)
SYSCALL_STOP = 5 | 0x80  # SIGTRAP, marked
ENTRY = 1
WALL = 0x40000000
EPOLL_WAIT, RECVMSG = 232, 47  # x86-64


def ptrace(request, pid, data=0, address=0):
    if LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address),
                   ctypes.c_void_p(data) if isinstance(data, int) else data) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def detach(pid):
    ptrace(PTRACE_DETACH, pid)


def is_receiving(pid):
    """Does that process wait for a message?"""
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read().split()[0] == str(RECVMSG)


class Server:
    """Its process, stopped; children that it makes from now on stop before they do anything."""

    def __init__(self, pid):
        self.pid = pid
        ptrace(PTRACE_SEIZE, pid, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK |
               PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)
        ptrace(PTRACE_INTERRUPT, pid)
        os.waitpid(pid, WALL)

    def _next_stop(self):
        ptrace(PTRACE_SYSCALL, self.pid)
        return os.waitpid(self.pid, WALL)[1]

    def run_until_fork(self):
        """Go on until it makes a process, and return that one, which stands still."""
        while (self._next_stop() >> 16) not in FORK_EVENTS:
            pass
        child = ctypes.c_ulong()
        ptrace(PTRACE_GETEVENTMSG, self.pid, ctypes.byref(child))
        os.waitpid(child.value, WALL)
        return child.value

    def run_until_wait(self):
        """Go on until it is about to wait for events."""
        info = (ctypes.c_uint64 * 11)()
        while True:
            if os.WSTOPSIG(self._next_stop()) == SYSCALL_STOP:
                ptrace(PTRACE_GET_SYSCALL_INFO, self.pid, info, ctypes.sizeof(info))
                if info[0] & 0xff == ENTRY and info[3] == EPOLL_WAIT:
                    return

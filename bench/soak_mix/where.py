# SPDX-License-Identifier: MIT
"""Where a process stands, by proc(5): of a server that does not reply, before it is ended."""

import time

LOOK_S = 1.0  # between two looks: does it run, does it wait for a CPU, does it sleep?


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        return f"({error.strerror})"


def _ran_and_waited(pid):
    """Seconds on a CPU, and waiting for one."""
    words = _read(f"/proc/{pid}/schedstat").split()
    return [int(word) / 1e9 if word.isdigit() else 0.0 for word in words[:2]]


def _state(pid):
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("State:"):
            return " ".join(line.split()[1:])
    return "gone"


def of(pid, look_s=LOOK_S):
    """A line: its state, what it does in the kernel, its time in the last moments, the host's load."""
    ran, waited = _ran_and_waited(pid)
    time.sleep(look_s)
    ran_then, waited_then = _ran_and_waited(pid)
    stack = [line.split()[-1].split("+")[0] for line in _read(f"/proc/{pid}/stack").splitlines()
             if line.startswith("[")]
    pressure = _read("/proc/pressure/cpu").splitlines() or [""]
    return (f"{_state(pid)}, in {_read(f'/proc/{pid}/wchan')}, by {' < '.join(stack) or 'no stack'}; "
            f"in {look_s:g} s ran {ran_then - ran:.3f} and waited {waited_then - waited:.3f}, "
            f"in all {ran_then:.1f} and {waited_then:.1f}; load {_read('/proc/loadavg').strip()}, "
            f"pressure {pressure[0]}")

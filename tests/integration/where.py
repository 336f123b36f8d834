# SPDX-License-Identifier: MIT
"""Where a process stands, by proc(5) and KVM's counters: of one that does not answer."""

import glob
import os
import time

LOOK_S = 1.0  # between two looks: does it run, does it wait for a CPU, does it sleep?
KVM = "/sys/kernel/debug/kvm"  # where debugfs is mounted


def _read(path):
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        return f"({error.strerror})"


def _tasks(pid):
    """Folders of its threads in /proc; of one that is gone none."""
    return sorted(glob.glob(f"/proc/{pid}/task/*"))


def _ran_and_waited(task):
    """Seconds on a CPU, and waiting for one."""
    words = _read(f"{task}/schedstat").split()
    return [int(word) / 1e9 if word.isdigit() else 0.0 for word in words[:2]]


def _counters(pid):
    """What KVM has counted for its VMs and their vCPUs, by name: a sum over all of them."""
    found = {}
    for path in glob.glob(f"{KVM}/{pid}-*/*") + glob.glob(f"{KVM}/{pid}-*/vcpu*/*"):
        value = _read(path).strip()
        if value.isdigit():
            name = os.path.basename(path)
            found[name] = found.get(name, 0) + int(value)
    return found


def _stands(task, before, look_s):
    """A line of one thread: its state, what it does in the kernel, its time in the last moments."""
    state = next((line.split(None, 1)[1] for line in _read(f"{task}/status").splitlines()
                  if line.startswith("State:")), "gone")
    stack = [line.split()[-1].split("+")[0] for line in _read(f"{task}/stack").splitlines()
             if line.startswith("[")]
    ran, waited = _ran_and_waited(task)
    return (f"{state}, by {' < '.join(stack) or 'no stack'}; in {look_s:g} s ran "
            f"{ran - before[0]:.3f} and waited {waited - before[1]:.3f}, in all {ran:.1f} and "
            f"{waited:.1f}")


def of(pid, look_s=LOOK_S):
    """Where all of its threads are, what KVM counts for it, and how busy the host is."""
    before = {task: _ran_and_waited(task) for task in _tasks(pid)}
    counted = _counters(pid)
    time.sleep(look_s)
    parts = [_stands(task, ran, look_s) for task, ran in before.items()] or ["gone"]
    grown = {name: value - counted.get(name, 0) for name, value in _counters(pid).items()}
    for name in sorted(counted):
        if counted[name] or grown.get(name):
            parts.append(f"{name} {counted[name]} and {grown.get(name, 0)} more")
    parts.append(f"load {_read('/proc/loadavg').strip()}")
    parts.append(f"pressure {_read('/proc/pressure/cpu').splitlines()[0]}")
    return "; ".join(parts)

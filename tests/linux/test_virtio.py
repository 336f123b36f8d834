#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""integration/test_virtio.py, where KVM is of the kind that users have: ioeventfds, irqfds and
emulated accesses go other ways there."""

import os
import sys

import harness_linux as linux
import harness

linux.run_in_lab(dict, memory_mib=1024, timeout_s=300)
SCRIPT = os.path.join(harness.ROOT, "tests", "integration", "test_virtio.py")
os.execv(sys.executable, [sys.executable, "-B", SCRIPT, *sys.argv[1:]])

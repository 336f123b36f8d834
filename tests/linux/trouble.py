# SPDX-License-Identifier: MIT
"""What a kernel's log says when something is wrong with the machine below it."""

import re

WORDS = re.compile(
    r"soft lockup|hard LOCKUP|rcu.*(stall|starved)|self-detected stall|blocked for more than|"
    r"hung task|BUG: |WARNING: CPU|Oops|Call Trace|general protection|segfault|traps:|"
    r"Machine check|mce: .*(error|exception)|Hardware Error|nobody cared|"
    r"clocksource: .*(unstable|skew)|Clocksource .*skewed|timekeeping watchdog|"
    r"APIC error|No irq handler|do_IRQ|unexpected IRQ|Spurious interrupt|Kernel panic|"
    r"consistency problem|Out of memory|oom-kill", re.IGNORECASE)


def lines_of(log):
    """The lines of a kernel's log, or of a console, that tell of trouble."""
    return [line for line in log.splitlines() if WORDS.search(line)]

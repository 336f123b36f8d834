#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Time in clones: the wall clock is the host's, all others go on where the template's stopped.

FORKVM_TEST_CLONES: how many clones have their wall clock measured (8).

What a freeze of a day leaves behind is a template whose wall clock is a day late, and nothing else:
KVM is given the captured clock and counters as they are, however old. So a day is had by setting the
template's wall clock back by one.
"""

import json
import os
import statistics
import time

import harness_linux as linux
import harness
import images
import trouble

CLONES = int(os.environ.get("FORKVM_TEST_CLONES", "8"))
WATCH = "/run/clocks"
DUE_S = 8  # timers: from where the template arms them
FREEZE_S = 5  # at least, before the first clone
NS = 1_000_000_000
MS = 1_000_000
ERROR_MAX_NS = linux.CLOCK_ERROR_MAX_NS
# A wake-up later than this is no busy host's doing any more, one that is early nobody's.
LATE_MAX_NS = 2 * NS
DAY_S = 24 * 60 * 60

linux.run_in_lab(lambda: {
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("clock", "cloud", "--program",
                            f"{harness.stub('clockwatch')}:/bin/clockwatch"),
})


class Clock(harness.TestCase):
    def check_wall_clock(self, session, made_ns):
        """The clone's wall clock against this host's: its error by the doorbell, in ns."""
        told = linux.identity(session.answer())
        now = time.time_ns()
        self.assertTrue(told["clock_set"], told)
        # The guest's clock can be late by what passed between its answer and now, no more.
        self.assertTrue(made_ns - ERROR_MAX_NS <= told["wall_clock_ns"] <= now + ERROR_MAX_NS,
                        (made_ns, told, now))
        return linux.clock_error_ns(session)

    def check_errors(self, connection, count, what):
        errors = []
        for _ in range(count):
            made_ns = time.time_ns()
            with linux.Session(connection) as session:
                errors.append(abs(self.check_wall_clock(session, made_ns)))
        linux.report(f"wall clock of {count} clones {what}: error p50 "
                     f"{statistics.median(errors) / MS:.3f} ms, largest {max(errors) / MS:.3f} ms")

    def check_watch(self, watch, frozen_s):
        linux.report(f"samples on each CPU {watch['samples']}; largest step back {watch['back']}; "
                     f"largest step forward, in a freeze of {frozen_s:.1f} s, {watch['jump']}")
        self.assertEqual(set(watch["back"].values()), {0}, "no clock ever steps back")
        self.assertTrue(all(watch["samples"]), "each CPU was watched")
        for name, jump in watch["jump"].items():
            if name != "tsc":  # which counts no nanoseconds
                self.assertLess(jump, (frozen_s - 1) * NS, f"{name} stood still in the freeze")

    def check_timers(self, timers, cloned_ns):
        for timer in timers:
            late = timer["fired_ns"] - timer["due_ns"]
            self.assertTrue(timer["done"], timer)
            self.assertEqual((timer["count"], timer["extra"]), (1, 0), timer)
            self.assertGreater(timer["due_ns"], cloned_ns, f"armed in time: {timer}")
            self.assertTrue(0 <= late <= LATE_MAX_NS, timer)
        late = [timer["fired_ns"] - timer["due_ns"] for timer in timers]
        linux.report(f"{len(timers)} timers armed before the freeze fired once in the clone, late "
                     f"by {min(late) / MS:.2f} to {max(late) / MS:.2f} ms")

    def watched(self, session):
        """What clockwatch has seen, once all its timers are over."""
        def read():
            watch = json.loads(session.ask(f"exec clockwatch read {WATCH}"))
            over = watch["now_ns"] > max(timer["due_ns"] for timer in watch["timers"]) + 3 * NS
            done = all(timer["done"] for timer in watch["timers"])
            if done or over:
                return watch
            time.sleep(0.3)
            return None
        return harness.wait_until(read, "all timers have fired")

    def test_clocks(self):
        setup = f"clockwatch watch {WATCH} {DUE_S} & while [ ! -s {WATCH} ]; do usleep 9999; done"
        with linux.LinuxServer(cpus=2, cmdline=f'forkvm.setup="{setup}"') as server:
            frozen = time.monotonic()
            time.sleep(FREEZE_S)  # it is the freeze that this waits in
            with server.connect() as connection:
                # One after the other: a clone that waits for its next request stands still, and
                # its clocks jump when it goes on.
                for _ in range(2):
                    made_ns = time.time_ns()
                    frozen_s = time.monotonic() - frozen
                    with linux.Session(connection) as session:
                        told = linux.identity(session.answer())
                        watch = self.watched(session)
                        self.check_watch(watch, frozen_s)
                        self.check_timers(watch["timers"], told["monotonic_ns"])
                        self.assertEqual(trouble.lines_of(session.ask("exec dmesg")), [])
                        self.assertLess(made_ns, told["wall_clock_ns"])
                self.check_errors(connection, CLONES, "whose CPUs are busy")

    def test_a_day(self):
        setup = f"date -s @$(($(date +%s)-{DAY_S}))"
        with linux.LinuxServer(cpus=1, cmdline=f'forkvm.setup="{setup}"') as server:
            with server.connect() as connection:
                self.check_errors(connection, CLONES, "a day after the freeze")


if __name__ == "__main__":
    harness.main()

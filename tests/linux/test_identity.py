#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clones of one Linux template are machines of their own: of two hundred in turn and twenty at once no
two have the same generation id, machine id, host name or random bytes. That the check can fail is
shown, too: with everything switched off that feeds a clone's random generator, bytes repeat."""

import harness_linux as linux
import harness
import images

linux.run_in_lab(lambda: {
    # The cloud kernel has no driver for the generation id, which would reseed by itself.
    "kernel": images.kernel("cloud"),
    "initrd": images.initrd("plain", "cloud"),
    "bare.initrd": images.initrd("bare", "cloud", "--program",
                                 f"{harness.stub('reseed')}:/bin/reseed", modules_for=()),
}, memory_mib=3072, timeout_s=900)

IN_TURN = 200
AT_ONCE = 20
WITHOUT = 20
# Hexadecimal digits of what each member must be at least.
MEMBERS = {"generation_id": 32, "machine_id": 32, "urandom": 64, "getrandom": 64, "hostname": 0,
           "clone_id": 0}


def repeats(told, member):
    """How many of the clones have what another one has already."""
    values = [str(one[member]) for one in told]
    return len(values) - len(set(values))


class Identity(harness.TestCase):
    def check_all_different(self, told):
        for member, digits in MEMBERS.items():
            with self.subTest(member=member):
                self.assertEqual(repeats(told, member), 0)
                if digits:
                    for one in told:
                        self.assertRegex(one[member], f"^[0-9a-f]{{{digits}}}$")
        for one in told:
            for step in ("reseeded", "clock_set", "hostname_set", "machine_id_set"):
                self.assertIs(one[step], True, one)
        drawn = [one[source] for one in told for source in ("urandom", "getrandom")]
        self.assertEqual(len(set(drawn)), len(drawn))

    def test_no_two_are_alike(self):
        with linux.LinuxServer() as server, server.connect() as connection:
            timer = linux.Timer()
            in_turn = [linux.identity(linux.ask(connection, "identity")) for _ in range(IN_TURN)]
            linux.report(f"\n{IN_TURN} clones in turn: {timer.seconds:.1f} s")
            self.check_all_different(in_turn)
            timer = linux.Timer()
            sessions = [linux.Session(connection) for _ in range(AT_ONCE)]
            try:
                at_once = [linux.identity(session.answer()) for session in sessions]
                self.assertEqual(len(server.clones()), AT_ONCE)
                linux.report(f"{AT_ONCE} clones at once: {timer.seconds:.1f} s")
                # And what was told is what everybody in the guest sees.
                for one, session in zip(at_once, sessions):
                    self.assertEqual(session.ask("exec hostname; cat /etc/machine-id").split(),
                                     [one["hostname"], one["machine_id"]])
            finally:
                for session in sessions:
                    session.close()
            self.check_all_different(in_turn + at_once)
            counts = ", ".join(f"{member} {repeats(in_turn + at_once, member)}"
                               for member in MEMBERS)
            linux.report(f"repeated among {IN_TURN + AT_ONCE}: {counts}")
            server.wait_quiet()

    def test_bytes_repeat_without_reseeding(self):
        """As the guest of a host that does nothing for it: the very same bytes, and machine ids."""
        # Nor is it time for what the kernel does by itself: it has just done it.
        with linux.LinuxServer("kernel", "bare.initrd", "--no-rng",
                               cmdline="forkvm.no-reseed forkvm.setup=reseed") as server, \
                server.connect() as connection:
            told = [linux.identity(linux.ask(connection, "identity")) for _ in range(WITHOUT)]
            counts = {member: repeats(told, member)
                      for member in ("urandom", "getrandom", "machine_id")}
            words = ", ".join(f"{member} {count}" for member, count in counts.items())
            linux.report(f"\nwithout reseeding, repeated among {WITHOUT}: {words}")
            self.assertIs(told[0]["reseeded"], False)
            # What forkvm itself tells is different all the same.
            self.assertEqual(repeats(told, "generation_id"), 0)
            self.assertGreater(min(counts.values()), 0)


if __name__ == "__main__":
    harness.main()

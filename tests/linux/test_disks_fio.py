#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fio, which verifies all that it has written, runs on a disk in a template, through its freeze,
and on in two clones at once: no block is old, torn, elsewhere or another clone's.

The disk has three parts. The first was written before the freeze, and is verified in each clone. In
the second one fio writes and verifies, without an end, while the guest is frozen. The third is
written and verified by each clone, with contents of its own.

FORKVM_TEST_SECONDS: how long the second one goes on in each clone (10). FORKVM_TEST_MIB: the size
of each part (16).
"""

import os
import re

import harness_linux as linux
import harness
import images
import trouble
import disks

SECONDS = int(os.environ.get("FORKVM_TEST_SECONDS", "10"))
MIB = int(os.environ.get("FORKVM_TEST_MIB", "16"))
CPUS = 2
# fio PART RANDSEED OPTION...: on one of the three parts.
FIO = f"""
part=$1
seed=$2
shift 2
exec chroot /tools fio --name=part$part --filename=/dev/vda --offset=$((part * {MIB}))m \\
	--size={MIB}m --direct=1 --ioengine=libaio --iodepth=32 --bsrange=512-64k \\
	--blockalign=4k --randseed=$seed --verify=crc32c --verify_fatal=1 "$@"
"""
SETUP = """
mount -t ext4 -o ro /dev/vdb /tools
mount -t devtmpfs devtmpfs /tools/dev
mount -t proc proc /tools/proc
mount -t sysfs sysfs /tools/sys
mount -t tmpfs tmpfs /tools/tmp
mount -t tmpfs tmpfs /tools/run
part 0 1 --rw=randwrite >/run/part0 2>&1
echo status $? >>/run/part0
(part 1 1 --rw=randrw --time_based --runtime=1000000 --verify_backlog=64 >/run/part1 2>&1
 echo status $? >>/run/part1) &
blocks() { awk '{ print $7 }' /sys/block/vda/stat; }
before=$(blocks)
while [ ! -s /run/part1 ] && [ $(blocks) -lt $((before + 2000)) ]; do usleep 10000; done
"""
# In a clone: the endless one goes on, and is told to stop; then the others.
CHECK = f"""
blocks() {{ awk '{{ print $7 }}' /sys/block/vda/stat; }}
before=$(blocks)
sleep {SECONDS}
killall -INT fio
while ! grep -q status /run/part1; do usleep 10000; done
moved=$(($(blocks) - before))
echo 3 >/proc/sys/vm/drop_caches
part 0 1 --rw=randwrite --verify_only >/run/again 2>&1
echo status $? >>/run/again
part 2 $FORKVM_CLONE_ID --rw=randwrite >/run/part2 2>&1
echo status $? >>/run/part2
for name in part0 part1 again part2; do echo "== $name"; cat /run/$name; done
echo "== sectors $moved"
dmesg
"""


def make_images():
    return {
        "kernel": images.kernel("cloud"),
        "tools": images.program_disk("fio", "fio"),
        "initrd": images.initrd("fio", "cloud", "--script", "/bin/part", FIO, "--script",
                                "/bin/setup", "mkdir -p /tools\n" + SETUP, "--script", "/bin/check",
                                CHECK, modules_for=(*images.MODULES, "virtio_blk", "ext4")),
    }


linux.run_in_lab(make_images, memory_mib=2048, timeout_s=540 + 40 * SECONDS + 4 * MIB)


class Fio(disks.DiskTestCase):
    blocks = 1

    def check_part(self, name, said):
        status = re.search(r"^status (\d+)$", said, re.MULTILINE)
        self.assertIsNotNone(status, f"{name}: {said[-2000:]}")
        # Who is told to end says so by his status; what went wrong is always told in words.
        self.assertIn(status.group(1), ("0", "128") if name == "part1" else ("0",), said[-2000:])
        self.assertIn("err= 0", said, said[-2000:])
        self.assertNotRegex(said, r"verify: |bad magic|mismatch|error=[^0]", f"{name}: {said}")

    def check_clone(self, text):
        parts = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)
        found = dict(zip(parts[1::2], parts[2::2]))
        self.assertEqual(list(found)[:4], ["part0", "part1", "again", "part2"], text[-2000:])
        for name in list(found)[:4]:
            self.check_part(name, found[name])
        sectors, log = list(found.items())[4]
        wrong = re.findall(r".*(?:I/O error|Buffer I/O).*", log)
        self.assertEqual(wrong + trouble.lines_of(log), [])
        self.assertGreater(int(sectors.split()[1]), 0, "it went on")
        return int(sectors.split()[1])

    def test_verified(self):
        with open(self.image, "wb") as image:
            image.truncate(3 * MIB << 20)
        timer = linux.Timer()
        with linux.LinuxServer("kernel", "initrd", "--disk", self.image + ",direct=off", "--disk",
                               linux.image("tools") + ",ro", cpus=CPUS,
                               cmdline='forkvm.setup="/bin/setup"') as server:
            booted = timer.seconds
            with server.connect() as connection:
                clones = [connection.start(b"exec check") for _ in range(2)]
                sectors = [self.check_clone(clone.read_answer().decode(errors="replace"))
                           for clone in clones]
                for _ in clones:
                    self.assert_end(connection.read_line()["ended"], "done")
            told = server.stats()["disks"]["0"]
        self.assertEqual(told["errors"], 0)
        requests = sum(told["requests"].values())
        linux.report(
            f"frozen while fio wrote, {booted:.0f} s after its start; two clones wrote on, "
            f"{sectors[0]} and {sectors[1]} sectors, and all was verified; {requests} requests in "
            f"{timer.seconds - booted:.0f} s, {told['batch_mean']:.1f} in a pass, "
            f"{requests / max(told['interrupts'], 1):.1f} an interrupt")
        with open(self.image, "rb") as image:
            self.assertEqual(image.read().count(b"\0"), 3 * MIB << 20, "the image is as it was")


if __name__ == "__main__":
    harness.main()

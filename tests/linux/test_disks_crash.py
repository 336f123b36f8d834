#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clones of a Linux guest that write to ext4 on a durable disk are killed at any moment. Of what
each left on the disk an image is made; another clone mounts that (the journal may be replayed),
finds every file that was synced, whole, and e2fsck finds nothing wrong.

FORKVM_TEST_KILLS: how many clones are killed (5).
"""

import os
import random
import re
import shutil
import time

import harness_linux as linux
import harness
import host_disk
import images
import trouble
import disks

KILLS = int(os.environ.get("FORKVM_TEST_KILLS", "5"))
LEAST_FILES = 3  # synced before a clone is killed
LATER_S = 2.0  # and so long after that, at most
MIB = 48
SETUP = """
mkfs.ext4 -q -F /dev/vda
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt
dd if=/dev/urandom of=/mnt/template bs=64k count=16 2>/dev/null
sync
"""
# In a clone, without an end: files, each synced and then told of; others, which are not, and go.
WRITER = """
while :; do
	dd if=/dev/zero of=/mnt/noise bs=64k count=$((RANDOM % 64 + 1)) 2>/dev/null
	mv /mnt/noise /mnt/noise$((RANDOM % 4))
	rm /mnt/noise$((RANDOM % 4)) 2>/dev/null
done &
number=0
while :; do
	number=$((number + 1))
	file=/mnt/file$((number % 40))
	rm -f $file
	dd if=/dev/urandom of=$file bs=4k count=$((RANDOM % 24 + 1)) 2>/dev/null
	sum=$(md5sum <$file)
	mv $file $file.$number
	sync
	echo "kept $file.$number ${sum%% *} ." >/dev/console
	old=$((number - 30))
	rm -f /mnt/file$((old % 40)).$old
done
"""
# In another clone: what an image has.
CHECK = """
mkdir -p /check
mount -t ext4 /dev/vdb /check && echo mounted
md5sum /check/template /check/file*.*
umount /check
e2fsck -fn /dev/vdb
echo e2fsck $?
dmesg
"""


def make_images():
    programs = {"mke2fs": "mkfs.ext4", "e2fsck": "e2fsck"}
    options = ["--script", "/bin/setup", SETUP, "--script", "/bin/writer", WRITER, "--script",
               "/bin/check", CHECK]
    for program, name in programs.items():
        path = shutil.which(program, path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
        if not path:
            raise images.Missing(f"{program} is missing (package e2fsprogs)")
        options += ["--program", f"{path}:/bin/{name}"]
    return {
        "kernel": images.kernel("cloud"),
        "initrd": images.initrd("crash", "cloud", *options,
                                modules_for=(*images.MODULES, "virtio_blk", "ext4")),
    }


linux.run_in_lab(make_images, memory_mib=2048, timeout_s=300 + 60 * KILLS)


class Crash(disks.DiskTestCase):
    blocks = 1

    def setUp(self):
        super().setUp()
        self.folder = host_disk.make(self.folder, 6 * MIB)
        self.addCleanup(host_disk.unmake, self.folder)
        self.image = self.path("base.img")

    def write_until_killed(self, server):
        """{file: sum} of what the clone told of before it was killed; and its number."""
        with disks.Session(server, request="exec writer", console=True) as clone:
            told, end = b"", time.monotonic() + harness.DEADLINE_S
            deadline = None
            while deadline is None or time.monotonic() < deadline:
                self.assertLess(time.monotonic(), end, f"it writes too little: {told[-500:]!r}")
                if harness.readable(clone.console_fd, 0.02):
                    told += os.read(clone.console_fd, 1 << 16)
                if deadline is None and told.count(b"kept ") >= LEAST_FILES:
                    deadline = time.monotonic() + random.uniform(0, LATER_S)
            os.kill(clone.pid, 9)
            self.assertEqual(clone.connection.read_line()["ended"]["reason"], "killed")
            while piece := os.read(clone.console_fd, 1 << 16):
                told += piece
            kept = re.findall(rb"kept /mnt/(\S+) ([0-9a-f]{32}) \.", told)
            return {name.decode(): total.decode() for name, total in kept}, clone.id

    def check(self, server, image, kept, template_sum):
        with disks.Session(server, request="exec check", disks=[(1, image, "rw")]) as clone:
            said = clone.receive().decode(errors="replace")
            self.assertEqual(clone.end()["reason"], "done")
        self.assertTrue(said.startswith("mounted\n"), said[-3000:])
        self.assertIn("\ne2fsck 0\n", said)
        found = dict((name, total) for total, name in
                     re.findall(r"^([0-9a-f]{32})  /check/(\S+)$", said, re.MULTILINE))
        self.assertEqual(found["template"], template_sum)
        newest = max(int(name.split(".")[1]) for name in kept)
        for name, total in kept.items():
            # Older ones it may have removed.
            if int(name.split(".")[1]) > newest - 28:
                self.assertEqual(found.get(name), total, f"{name}: {sorted(found)}")
        log = said[said.index("\ne2fsck 0\n"):]
        wrong = re.findall(r".*(?:I/O error|EXT4-fs (?:error|warning)|JBD2: .*error).*", log)
        self.assertEqual(wrong + trouble.lines_of(log), [])
        return "recovery complete" in log

    def test_killed(self):
        with open(self.image, "wb") as image:
            image.truncate(MIB << 20)
        kept_in_all = recovered = 0
        with linux.LinuxServer("kernel", "initrd", "--disk", self.image + ",durable", "--disk",
                               "none", "--overlay", self.overlays(), cpus=2,
                               cmdline='forkvm.setup="/bin/setup"') as server:
            with disks.Session(server, request="exec md5sum </mnt/template") as clone:
                template_sum = clone.receive().decode().split()[0]
            for _ in range(KILLS):
                kept, number = self.write_until_killed(server)
                overlay = os.path.join(self.overlays(), f"default-{number}-0.overlay")
                image = self.path("crashed.img")
                result = harness.run("disk", "commit", overlay, image)
                self.assertEqual(result.returncode, 0, result)
                recovered += self.check(server, image, kept, template_sum)
                kept_in_all += len(kept)
                os.unlink(image)
                os.unlink(overlay)
        linux.report(f"{KILLS} clones were killed, and {kept_in_all} synced files were all there; "
                     f"{recovered} journals were replayed")


if __name__ == "__main__":
    harness.main()

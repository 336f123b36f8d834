#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Disks of Linux guests: Debian's kernel finds them with their sizes, makes a file system on one,
mounts it and writes; it is frozen in the middle of that; in two clones at once the writing goes on,
each sees its own, and file system and files are in order; an empty slot grows in the clone that is
given a file, and in no other."""

import os
import re
import shutil

import harness_linux as linux
import harness
import images
import trouble
import disks

BLOCKS = 24 * 1024 * 1024 // disks.BLOCK
SETUP = """
mkfs.ext4 -q -F /dev/vda
mkdir -p /mnt
mount -t ext4 /dev/vda /mnt
writer >/run/writer.log 2>&1 &
while [ ! -e /run/round ]; do usleep 10000; done
"""
# Files with their sums, over and over again, each round synced; until it is told to stop.
WRITER = """
round=0
while [ ! -e /run/stop ]; do
	round=$((round + 1))
	file=/mnt/file$((round % 20))
	dd if=/dev/urandom of=$file bs=64k count=4 2>/dev/null
	md5sum $file >$file.md5
	sync
	echo $round >/run/round
done
touch /run/stopped
"""
# In a clone: it goes on, then stops; what it left is looked at without any cache.
CHECK = """
before=$(cat /run/round)
while [ $(cat /run/round) -lt $((before + 3)) ]; do usleep 10000; done
touch /run/stop
while [ ! -e /run/stopped ]; do usleep 10000; done
cat /run/writer.log
echo $FORKVM_CLONE_ID >/mnt/clone
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
e2fsck -fn /dev/vda || echo "e2fsck says $?"
mount -t ext4 -o ro /dev/vda /mnt
cat /mnt/file*.md5 | md5sum -c - | grep -v ': OK$'
echo files $(ls /mnt/file*.md5 | wc -l) of clone $(cat /mnt/clone) rounds $before $(cat /run/round)
dmesg
"""
SIZES = "exec cat /sys/block/vda/size /sys/block/vdb/size; cat /sys/block/vd*/queue/*_block_size"


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
        "initrd": images.initrd("disks", "cloud", *options,
                                modules_for=(*images.MODULES, "virtio_blk", "ext4")),
    }


linux.run_in_lab(make_images, memory_mib=2048, timeout_s=540)


class Disks(disks.DiskTestCase):
    blocks = BLOCKS

    def serve_linux(self, *options, **more):
        words = ["--disk", self.image, "--disk", "none"]
        return linux.LinuxServer("kernel", "initrd", *words, *options, **more)

    def sizes(self, text):
        """vda's and vdb's in sectors, and their blocks in bytes."""
        numbers = [int(word) for word in text.split()]
        self.assertEqual(numbers[2:], [512, 4096, 512, 4096])
        return numbers[:2]

    def check_clone(self, text):
        found = re.search(r"^files (\d+) of clone (\d+) rounds (\d+) (\d+)\n", text, re.MULTILINE)
        self.assertIsNotNone(found, text[-3000:])
        said, log = text[:found.start()], text[found.end():]
        self.assertNotIn("e2fsck says", said)
        self.assertNotIn("FAILED", said)
        self.assertGreaterEqual(int(found.group(1)), 1)
        self.assertGreaterEqual(int(found.group(4)), int(found.group(3)) + 3)
        wrong = re.findall(r".*(?:I/O error|EXT4-fs error|Buffer I/O|JBD2: .*error).*", log)
        self.assertEqual(wrong + trouble.lines_of(log), [])
        return found.group(2)

    def test_file_system(self):
        before = disks.digest(self.image)
        timer = linux.Timer()
        with self.serve_linux(cpus=2, cmdline='forkvm.setup="/bin/setup"') as server:
            booted = timer.seconds
            clones = [disks.Session(server, request=SIZES) for _ in range(2)]
            for clone in clones:
                self.assertEqual(self.sizes(clone.receive().decode()), [BLOCKS * 8, 0])
                clone.socket.send(b"exec check")
            ids = [self.check_clone(clone.receive().decode()) for clone in clones]
            self.assertEqual(ids, [str(clone.id) for clone in clones])
            for clone in clones:
                self.assertEqual(clone.end()["reason"], "done")
                clone.close()
        self.assertEqual(disks.digest(self.image), before, "the image is as it was")
        linux.report(f"frozen while it wrote, {booted:.0f} s after its start; two clones wrote on")

    def test_empty_slot(self):
        """One clone is given a file to read, one a file to write, one nothing."""
        given = disks.make_image(self.path("given.img"), 2048, seed=7)
        written = disks.make_image(self.path("written.img"), 512)
        with self.serve_linux() as server:
            with disks.Session(server, request=SIZES) as clone:
                self.assertEqual(self.sizes(clone.receive().decode()), [BLOCKS * 8, 0])
            with disks.Session(server, request=SIZES, disks=[(1, given, "ro")]) as clone:
                self.assertEqual(self.sizes(clone.receive().decode()), [BLOCKS * 8, 2048 * 8])
                clone.socket.send(b"exec md5sum </dev/vdb; md5sum </dev/vda")
                sums = clone.receive().decode().split()
            with disks.Session(server, request=SIZES, disks=[(1, written, "rw")]) as clone:
                self.assertEqual(self.sizes(clone.receive().decode()), [BLOCKS * 8, 512 * 8])
                clone.socket.send(b"exec echo from-the-guest | dd of=/dev/vdb bs=4096 seek=9 "
                                  b"conv=fsync 2>&1; echo done")
                self.assertIn("done", clone.receive().decode())
            with open(written, "rb") as file:
                file.seek(9 * disks.BLOCK)
                self.assertTrue(file.read(32).startswith(b"from-the-guest\n"))
        for path, wanted in ((given, sums[0]), (self.image, sums[2])):
            result = harness.subprocess.run(["md5sum", path], stdout=harness.subprocess.PIPE,
                                            check=True)
            self.assertEqual(result.stdout.split()[0].decode(), wanted)


if __name__ == "__main__":
    harness.main()

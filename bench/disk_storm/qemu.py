# SPDX-License-Identifier: MIT
"""fio in a Linux guest: in a clone of forkvm's and, in turns, in QEMU's guest of the same kernel,
with the same files. Both live at the same time, and each job is done by one, then by the other.
Where guests of this kind run: on the host, or in the lab."""

import json
import os
import statistics
import subprocess
import sys

import guests

sys.path.insert(0, os.path.join(guests.ROOT, "tests", "linux"))
import images  # noqa: E402

INSIDE = os.path.join(guests.ROOT, "bench", "disk_storm", "qemu_inside.py")
# In the guest, once: fio's files are there, and every block of the disks is written.
PREPARE = """
mkdir -p /tools
mount -t ext4 -o ro /dev/vdb /tools
mount -t devtmpfs devtmpfs /tools/dev
mount -t proc proc /tools/proc
mount -t sysfs sysfs /tools/sys
mount -t tmpfs tmpfs /tools/tmp
for disk in vda vdc; do
	dd if=/dev/zero of=/dev/$disk bs=1M oflag=direct 2>/dev/null
done
echo prepared
"""
# job SECONDS DISK PATTERN SIZE BATCH
JOB = """
chroot /tools fio --name=job --filename=/dev/$2 --rw=$3 --bs=$4 --iodepth=64 \\
	--iodepth_batch_submit=$5 --iodepth_batch_complete_max=$5 --direct=1 \\
	--ioengine=libaio --gtod_reduce=1 --time_based --ramp_time=500ms --runtime=$1 \\
	--output-format=terse --terse-version=3 2>&1
echo status $?
"""
# Large requests are one an exit, however they are submitted.
JOBS = [f"{disk} {pattern}" for disk in ("vda", "vdc")
        for pattern in ("randread 4k 1", "randwrite 4k 1", "randread 4k 64", "randwrite 4k 64",
                        "read 1m 64", "write 1m 64")]
# QEMU's guest has no agent: it reads from its serial port what to do, and says when it is done.
INIT = """
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod $module; done </etc/forkvm/modules
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
prepare
echo "== done"
while read -r words; do
	$words </dev/null
	echo "== done"
done
"""
MODULES = ("virtio_mmio", "virtio_pci", "virtio-rng", "virtio_blk", "ext4")


def _images():
    return {
        "kernel": images.kernel("cloud"),
        "tools": images.program_disk("fio", "fio"),
        "initrd": images.initrd("disk-bench", "cloud", "--script", "/bin/prepare", PREPARE,
                                "--script", "/bin/job", JOB, "--script", "/sbin/bench-init", INIT,
                                modules_for=MODULES),
    }


def measure(options):
    plan = {**_images(), "rounds": options.qemu_rounds, "seconds": options.seconds,
            "out": options.folder, "mib": 128, "jobs": JOBS}
    report = os.path.join(options.folder, "qemu.json")
    if os.path.exists(report):
        os.unlink(report)
    guests.say(f"qemu: {images.place()}")
    timeout = 900 + plan["rounds"] * 2 * len(JOBS) * (plan["seconds"] + 12)
    subprocess.run([images.LAB, "run", "--quiet", "--memory", "4096", "--timeout", str(timeout),
                    "--share", options.folder, "--", sys.executable, "-B", INSIDE,
                    json.dumps(plan)], check=True)
    with open(report, encoding="utf-8") as file:
        told = json.load(file)
    os.unlink(report)
    return {"where": images.place(), "qemu": told["qemu"], "rows": _rows(told["runs"])}


def _rows(runs):
    """One a job: medians, and the median of the rounds' ratios."""
    rows = []
    for job in JOBS:
        ours = [run[job]["iops"] for run in runs["forkvm"]]
        theirs = [run[job]["iops"] for run in runs["qemu"]]
        disk, kind, size, batch = job.split()
        rows.append({
            "disk": disk, "kind": kind, "size": size, "batch": int(batch),
            "forkvm_iops": statistics.median(ours), "qemu_iops": statistics.median(theirs),
            "ratio": statistics.median(mine / its for mine, its in zip(ours, theirs)),
            "ratios": [mine / its for mine, its in zip(ours, theirs)],
            **{name: statistics.median(run[job][name] for run in runs["forkvm"])
               for name in ("per_enter", "per_notification", "per_interrupt")},
        })
    return rows


def show(told, table):
    table.head("fio at depth 64 in a Linux guest, requests a second, beside QEMU "
               f"({told['where'].split(':')[0]})",
               ("disk", "pattern", "submitted", "forkvm", "QEMU", "ratio", "in turns", "an enter",
                "an exit", "an interrupt"))
    names = {"vda": "image, buffered", "vdc": "file, O_DIRECT"}
    for row in told["rows"]:
        table.row((names[row["disk"]], f"{row['size']} {row['kind']}", f"by {row['batch']}",
                   f"{row['forkvm_iops']:.0f}", f"{row['qemu_iops']:.0f}", f"{row['ratio']:.2f}",
                   f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f}",
                   *(f"{row[name]:.1f}" for name in ("per_enter", "per_notification",
                                                     "per_interrupt"))))
    table.note(f"QEMU: {told['qemu']}")
    worst = min(told["rows"], key=lambda row: row["ratio"])
    table.verdict(f"worst ratio ({names[worst['disk']]}, {worst['size']} {worst['kind']} by "
                  f"{worst['batch']})", worst["ratio"], 1, "at least")
    for row in told["rows"]:
        if row["batch"] == 64 and row["size"] == "4k":
            table.verdict(f"{names[row['disk']]}, 4k {row['kind']} by 64: requests an interrupt",
                          row["per_interrupt"], 16, "at least")

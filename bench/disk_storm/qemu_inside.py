# SPDX-License-Identifier: MIT
"""The part of qemu.py that runs where the guests do. Argument: the plan, as JSON."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guests  # noqa: E402
import disks  # noqa: E402
import harness  # noqa: E402

sys.path.insert(0, os.path.join(guests.ROOT, "tests", "linux"))
import host_disk  # noqa: E402

RAM_MIB = 512
CMDLINE = "console=ttyS0 quiet panic=-1"
PROGRAM = "qemu-system-x86_64"


def iops_of(said):
    """Requests a second, of what fio says: terse, version 3; those of reads or of writes are 0."""
    line = next((line for line in said.splitlines() if line.startswith("3;")), None)
    if line is None:
        raise AssertionError(f"fio says: {said[-1000:]}")
    fields = line.split(";")
    return float(fields[7]) + float(fields[48])


class Forkvm:
    """Clones of one server."""

    def __init__(self, plan, files):
        self.plan, self.files = plan, files
        self.server = harness.Server("/", "--disk", files["image"] + ",direct=off", "--disk",
                                     plan["tools"] + ",ro", "--disk", "none", "--overlay",
                                     files["overlays"])
        at = self.server.args.index("--stub")
        self.server.args[at:at + 2] = [
            "--kernel", plan["kernel"], "--initrd", plan["initrd"], "--mem", str(RAM_MIB),
            "--cmdline", CMDLINE, "--boot-timeout", "240s"]

    def figures(self, clone, disk):
        told = json.loads(self.server.cli("inspect", clone.id, "--json").stdout)
        told = told["disks"]["0" if disk == "vda" else "2"]
        return {"requests": sum(told["requests"].values()), "enters": told["enters"],
                "notifications": told["notifications"], "interrupts": told["interrupts"]}

    def run_job(self, clone, job):
        disk = job.split()[0]
        before = self.figures(clone, disk)
        said = clone.ask(f"exec job {self.plan['seconds']} {job}")
        after = self.figures(clone, disk)
        grown = {name: after[name] - before[name] for name in after}
        return {"iops": iops_of(said), **grown,
                **{f"per_{name[:-1]}": grown["requests"] / max(grown[name], 1)
                   for name in ("enters", "notifications", "interrupts")}}

def qemu_command(plan, files):
    drives = (("image", files["image"], "cache=writeback"),
              ("tools", plan["tools"], "readonly=on"), ("file", files["file"], "cache=none"))
    command = [PROGRAM, "-M", "q35,accel=kvm", "-cpu", "host", "-m", str(RAM_MIB), "-smp", "1",
               "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
               "-no-reboot", "-kernel", plan["kernel"], "-initrd", plan["initrd"], "-append",
               f"{CMDLINE} rdinit=/sbin/bench-init", "-object", "iothread,id=io"]
    for name, path, option in drives:
        command += ["-drive", f"file={path},format=raw,if=none,id={name},aio=io_uring,{option},"
                    "file.locking=off",
                    "-device", f"virtio-blk-pci,drive={name},iothread=io,num-queues=1,"
                    "queue-size=256"]
    return command


class Qemu:
    """Its guest, which is told what to do on its serial port."""

    DONE = b"== done"

    def __init__(self, plan, files):
        self.plan = plan
        self.process = subprocess.Popen(qemu_command(plan, files), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self):
        self.read()
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()

    def read(self):
        """What the guest says until it is done."""
        said = b""
        for line in self.process.stdout:
            if line.startswith(self.DONE):
                return said.decode(errors="replace")
            said += line
        raise AssertionError(f"QEMU has ended: {said.decode(errors='replace')[-2000:]}")

    def run_job(self, job):
        self.process.stdin.write(f"job {self.plan['seconds']} {job}\n".encode())
        self.process.stdin.flush()
        return {"iops": iops_of(self.read())}


def measure(plan, files):
    """{"forkvm" and "qemu": for each round, what became of each job}"""
    runs = {"forkvm": [{} for _ in range(plan["rounds"])],
            "qemu": [{} for _ in range(plan["rounds"])]}
    forkvm = Forkvm(plan, files)
    with forkvm.server, disks.Session(forkvm.server, request="exec prepare",
                                      disks=[(2, files["file"], "rw")]) as clone:
        clone.socket.settimeout(3600)
        clone.receive()
        with Qemu(plan, files) as qemu:
            for turn in range(plan["rounds"]):
                guests.say(f"qemu: round {turn + 1} of {plan['rounds']}")
                for job in plan["jobs"]:
                    runs["forkvm"][turn][job] = forkvm.run_job(clone, job)
                    runs["qemu"][turn][job] = qemu.run_job(job)
    return runs


def main():
    plan = json.loads(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="disk-", dir=None if os.environ.get("FORKVM_INSIDE_LAB")
                              else plan["out"])
    place = host_disk.make(folder, 5 * plan["mib"])
    files = {name: os.path.join(place, name) for name in ("image", "file", "overlays")}
    os.mkdir(files["overlays"])
    for name in ("image", "file"):
        guests.make_image(files[name], plan["mib"])
    runs = measure(plan, files)
    version = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, check=True)
    with open(os.path.join(plan["out"], "qemu.json"), "w", encoding="utf-8") as report:
        json.dump({"qemu": version.stdout.decode().split("\n")[0] + ", q35, virtio-blk-pci, "
                   "iothread, aio=io_uring", "runs": runs}, report)
    host_disk.unmake(place)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""What the tests with Linux guests are made of, on top of the integration tests' harness.

A script of this folder starts with

    run_in_lab(lambda: {"kernel": images.kernel("cloud"), ...}, memory_mib=2048)

which, outside, makes the images, runs the script again where KVM is of the kind that users have
(the lab, or this host itself), and ends with its exit status. Inside it returns, and image("kernel")
is the path.
"""

import json
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import harness  # noqa: E402
import images  # noqa: E402
import where  # noqa: E402

ENTERED = "FORKVM_LINUX_IMAGES"  # in the environment: all images, and that this is the place
# Emulated, beside a build that takes all processors, a boot of ten seconds can take minutes.
DEADLINE_S = harness.DEADLINE_S = 240
CLOCK_ERROR_MAX_NS = 10_000_000
SPARE_MIB = 256  # of the host's memory, beside the outer machine's
# A panic ends the guest at once; the kernel tells it, and other trouble, on the serial port.
CMDLINE = "console=ttyS0 quiet panic=-1"


def _available_mib():
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(r"^MemAvailable: *(\d+) kB", file.read(), re.MULTILINE)
    return int(found.group(1)) // 1024


def _skip(reason):
    print(f"skipped: {reason}")
    sys.exit(harness.SKIPPED)


def _need_lab_tools():
    if images.place().startswith("host"):
        return
    for tool in ("qemu-system-x86_64", "busybox", "cpio"):
        if not shutil.which(tool):
            raise images.Missing(f"{tool} is missing; tests/run installs what the lab needs")


def run_in_lab(make_images, memory_mib=2048, cpus=1, timeout_s=300):
    """See above. Exits with 77 where the lab or an image cannot be had."""
    if ENTERED in os.environ:
        return
    if os.environ.get("FORKVM_INSIDE_LAB"):
        sys.exit("run this outside the lab: it enters by itself, once it has made its images")
    if not os.path.exists(harness.FORKVM):
        sys.exit(f"{harness.FORKVM} is not built")
    if _available_mib() < memory_mib + SPARE_MIB:
        _skip(f"{_available_mib()} MiB of memory are free here, and {memory_mib} are needed")
    try:
        _need_lab_tools()
        os.environ[ENTERED] = json.dumps(make_images())
    except images.Missing as error:
        _skip(f"the lab or its images cannot be had: {error}")
    sys.stdout.flush()
    os.execv(images.LAB, [
        images.LAB, "run", "--quiet", "--memory", str(memory_mib), "--cpus", str(cpus),
        "--timeout", str(timeout_s), "--", sys.executable, "-B", os.path.abspath(sys.argv[0]),
        *sys.argv[1:]])


def image(name):
    """Path of one of the images that run_in_lab was told of."""
    return json.loads(os.environ[ENTERED])[name]


class LinuxServer(harness.Server):
    """forkvm serve with a Linux kernel: from its start to its orderly end.

    kernel and initrd are paths or names of images. What the guest writes to its serial port before
    it is frozen goes to the server's log, unless an option --serial says otherwise.
    """

    def __init__(self, kernel="kernel", initrd="initrd", *options, cpus=1, memory="256",
                 cmdline="", **more):
        super().__init__("/", *options, **more)
        at = self.args.index("--stub")
        kernel, initrd = (path if path is None or os.sep in path else image(path)
                          for path in (kernel, initrd))
        guest = ["--kernel", kernel, "--cpus", str(cpus), "--mem", str(memory),
                 "--cmdline", f"{CMDLINE} {cmdline}".strip()]
        if "--boot-timeout" not in options:
            guest += ["--boot-timeout", f"{DEADLINE_S}s"]
        if initrd:
            guest += ["--initrd", initrd]
        self.args[at:at + 2] = guest

    def template(self):
        """What inspect tells of the template."""
        with self.connect() as connection:
            return connection.call("inspect")["template"]


def ask(connection, request, **members):
    """One clone, one request: its answer as text. Anything but a good end is an error."""
    answer, end = connection.clone(request.encode(), **members)
    if end.get("reason") != "done" or end.get("status") != 0:
        raise AssertionError(f"{request}: {answer[:200]!r}, {end}")
    return answer.decode(errors="replace")


def identity(text):
    """The agent's answer to "identity"."""
    return json.loads(text)


def stands(path):
    """Where each of a server's clones stands."""
    with harness.Connection(path) as connection:
        clones = connection.call("list")["clones"]
    return "\n".join(f"clone {clone['id']}: {where.of(clone['pid'])}" for clone in clones)


class Session:
    """A clone that stays until it is closed."""

    def __init__(self, connection, request="identity", **members):
        self.path = connection.path
        self.socket = connection.session(request.encode(), **members)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def answer(self):
        """The answer to a request, the first one's or the last ask's. Not an empty one: as a packet
        that is what the end looks like, too."""
        try:
            data = self.socket.recv(1 << 17)
        except TimeoutError:
            raise AssertionError(f"no answer within {DEADLINE_S} s\n" + stands(self.path)) from None
        if not data:
            raise AssertionError("the clone ended, or its answer is empty")
        return data.decode(errors="replace")

    def ask(self, request):
        self.socket.sendall(request.encode())
        return self.answer()

    def close(self):
        self.socket.close()


def clock_error_ns(session):
    """How wrong the clone's wall clock is, which must not be more than CLOCK_ERROR_MAX_NS."""
    before = time.time_ns()
    clock = json.loads(session.ask("clock"))
    after = time.time_ns()
    if not before - CLOCK_ERROR_MAX_NS <= clock["realtime_ns"] <= after + CLOCK_ERROR_MAX_NS \
            or abs(clock["error_ns"]) > CLOCK_ERROR_MAX_NS:
        raise AssertionError(f"the clone's clock is wrong: {before}, {clock}, {after}")
    return clock["error_ns"]


class Timer:
    """Seconds since it was made, for what tests report."""

    def __init__(self):
        self.started = time.monotonic()

    @property
    def seconds(self):
        return time.monotonic() - self.started


def report(text):
    """A line that is to be seen in ctest's log, between unittest's own."""
    sys.stderr.flush()
    print(text, flush=True)

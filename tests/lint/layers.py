#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Keep the layers: who may include whom. Arrows point down only, and no header is in a cycle.

    forkserver/cli
    forkserver/server
    forkserver/child
    forkserver/sandbox
    forkserver/launch
    forkserver/policy forkserver/storage
    forkserver/base   forkserver/client
    forkserver/proto
    vmm/machine
    vmm/boot vmm/dev vmm/virtio
    vmm/kvm vmm/mem vmm/io vmm/block
    vmm/base
    guest-stubs (one header of it, stub_abi.h, is everybody's; qemu/qemu_abi.h is bench/peer's too)

Folders on one line do not include one another.
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common  # noqa: E402

VMM = [
    ["vmm/base"],
    ["vmm/kvm", "vmm/mem", "vmm/io", "vmm/block"],
    ["vmm/boot", "vmm/dev", "vmm/virtio"],
    ["vmm/machine"],
]
FORKSERVER = [
    ["forkserver/proto"],
    ["forkserver/base", "forkserver/client"],
    ["forkserver/policy", "forkserver/storage"],
    ["forkserver/launch"],
    ["forkserver/sandbox"],
    ["forkserver/child"],
    ["forkserver/server"],
    ["forkserver/cli"],
]
ABI = "guest-stubs/stub_abi.h"
QEMU_ABI = "guest-stubs/qemu/qemu_abi.h"
CLIENT = "forkserver/client/forkvm_client.h"
GENERATED = {"forkvm_version.h"}
# What forkserver/ may see of vmm/: the machine, the host, the anchor, disks, and base. Not its insides.
VMM_FACE = {"vmm/machine/machine.h", "vmm/kvm/host.h", "vmm/kvm/anchor.h", "vmm/block/disk.h",
            "vmm/block/export.h", "vmm/block/ring.h", "vmm/mem/page_set.h"}
# System headers that a part has no business with.
BANNED_SYSTEM = {
    "forkserver": {"linux/kvm.h": "forkserver/ makes no KVM ioctl; that is vmm/'s"},
    "vmm": {
        "sys/un.h": "vmm/ knows no clients",
        "jansson.h": "vmm/ knows no protocol",
        "criterion/criterion.h": "tests belong in tests/",
    },
}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)


def layer(table, folder):
    for level, folders in enumerate(table):
        if folder in folders:
            return level
    return None


def allowed(source, target):
    """None when source may include target, otherwise the reason why not."""
    source_dir, target_dir = os.path.dirname(source), os.path.dirname(target)
    part = source.split("/")[0]
    target_part = target.split("/")[0]

    if part == "tests" or source_dir == target_dir:
        return None
    if part == "guest-stubs":
        return None if target_part == part else "guest-stubs/ stands alone"
    if source_dir == "bench/peer" and target == QEMU_ABI:
        return None
    if target_part == "guest-stubs":
        return None if target == ABI else f"of guest-stubs/ only {ABI} is for others"
    if part == "vmm":
        if target_part != "vmm":
            return "vmm/ uses nothing above it"
        have, want = layer(VMM, source_dir), layer(VMM, target_dir)
        if have is None or want is None:
            return "a folder of vmm/ that tests/lint/layers.py does not know"
        return None if want < have else "includes point down only"
    if part == "forkserver":
        if target_part == "vmm":
            if source_dir == "forkserver/client":
                return None if target_dir == "vmm/base" else "the client knows no machine"
            if target_dir == "vmm/base" or target in VMM_FACE:
                return None
            return "forkserver/ sees of vmm/ only its base and " + ", ".join(sorted(VMM_FACE))
        if target_part != "forkserver":
            return "forkserver/ uses vmm/ and nothing else"
        have, want = layer(FORKSERVER, source_dir), layer(FORKSERVER, target_dir)
        if have is None or want is None:
            return "a folder of forkserver/ that tests/lint/layers.py does not know"
        return None if want < have else "includes point down only"
    if part == "bench":
        if target_part == "bench" or target == CLIENT:
            return None
        if source_dir == "bench/floor" and target_part == "vmm":
            return None
        return f"bench/ uses {CLIENT} as any user would (bench/floor may use vmm/)"
    return None


def resolve(source, target):
    """The path from the root that an include names, or None."""
    if os.path.exists(os.path.join(common.ROOT, target)):
        return target
    beside = os.path.normpath(os.path.join(os.path.dirname(source), target))
    if os.path.exists(os.path.join(common.ROOT, beside)):
        return beside
    return None


def cycles(graph):
    """Every cycle found by walking graph depth first, as text."""
    found, state = [], {}

    def walk(node, trail):
        state[node] = "open"
        for target in graph.get(node, ()):
            if state.get(target) == "open":
                loop = trail[trail.index(target):] + [target]
                found.append("include cycle: " + " -> ".join(loop))
            elif target not in state:
                walk(target, trail + [target])
        state[node] = "done"

    for node in graph:
        if node not in state:
            walk(node, [node])
    return found


def main():
    problems, graph, count = [], {}, 0
    for source in common.files(".c", ".h", ".S"):
        text = common.read(source)
        part = source.split("/")[0]
        for match in INCLUDE.finditer(text):
            count += 1
            line = common.line_of(text, match.start(0))
            name, system = match.group(1), match.group(2)
            if system:
                reason = BANNED_SYSTEM.get(part, {}).get(system)
                if reason:
                    problems.append(f"{source}:{line}: <{system}>: {reason}")
                continue
            if name in GENERATED:
                continue
            target = resolve(source, name)
            if target is None:
                problems.append(f"{source}:{line}: no such file: {name}")
                continue
            if target != name and part not in ("guest-stubs", "tests"):
                problems.append(f'{source}:{line}: write "{target}", from the root')
            graph.setdefault(source, []).append(target)
            reason = allowed(source, target)
            if reason:
                problems.append(f"{source}:{line}: includes {target}: {reason}")
    problems += cycles(graph)
    common.finish(problems, f"{count} includes, all downwards")


if __name__ == "__main__":
    main()

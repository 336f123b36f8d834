# SPDX-License-Identifier: MIT
"""bench/disk: see its usage, and METHOD.md for what each figure means."""

import argparse
import json
import os
import platform
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import batching  # noqa: E402
import clones  # noqa: E402
import guests  # noqa: E402
import qemu  # noqa: E402
import tables  # noqa: E402
import throughput  # noqa: E402

PARTS = {"batching": batching, "throughput": throughput, "clones": clones,
         "qemu": qemu}


def parse():
    parser = argparse.ArgumentParser(prog="bench/disk")
    parser.add_argument("part", nargs="*")
    parser.add_argument("--folder", required=True)
    parser.add_argument("--json")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=40000)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--clones", type=int, default=100)
    parser.add_argument("--alive", type=int, default=300)
    parser.add_argument("--memory-rounds", type=int, default=3)
    parser.add_argument("--qemu-rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--fill", type=int, default=1024)
    options = parser.parse_args()
    for part in options.part:
        if part not in PARTS:
            parser.error(f"there is no part {part}: {', '.join(PARTS)}")
    options.part = options.part or list(PARTS)
    options.folder = os.path.realpath(options.folder)
    options.image = os.path.join(options.folder, "disk.img")
    return options


def host():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return {"kernel": platform.release(), "cpu": names[0] if names else "", "cpus": os.cpu_count()}


def main():
    options = parse()
    table = tables.Table()
    report = {"host": host(), "options": vars(options)}
    guests.make_image(options.image, options.size)
    try:
        for name in options.part:
            report[name] = PARTS[name].measure(options)
            PARTS[name].show(report[name], table)
    finally:
        os.unlink(options.image)
    report["targets"] = table.targets
    print("{cpu}, {cpus} CPUs, Linux {kernel}".format(**report["host"]))
    table.show()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()

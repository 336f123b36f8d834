#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Rules of the house that a look at the text can check, one function each."""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import common  # noqa: E402

LINES_MAX = 500  # 400 is where to stop and think, this is where to stop

# A call that copies this process. clone3 and its like have no wrapper, so system calls by number count
# too; one with NULL and 0 makes nothing, it only asks whether the kernel has the call.
PROCESS_CALL = re.compile(
    r"(?<![\w>.])(?:fork|vfork|_Fork|clone|clone3|popen|system|daemon)\s*\("
    r"|call\s*\(\s*(?:SYS|__NR)_(?:fork|vfork|clone|clone3)\b(?!\s*,\s*NULL\s*,\s*0\s*\))"
)
# A call that starts another program and copies nothing: the C library's, which one file may make.
SPAWN_CALL = re.compile(r"(?<![\w>.])posix_spawnp?\s*\(")
SPAWN_FILE = "forkserver/base/tool.c"
# What a library must not do: speak, or end the process.
LIBRARY_CALL = re.compile(
    r"(?<![\w>.])(printf|fprintf|dprintf|vprintf|vfprintf|puts|fputs|putchar|perror|psignal"
    r"|warnx?|errx?|syslog|exit|_exit|_Exit|quick_exit|abort)\s*\("
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def opening(path, text):
    """Every file starts with its licence and says what it is for."""
    if path.endswith((".c", ".h", ".S")):
        lines = text.split("\n", 3)
        if lines[0] != "/* SPDX-License-Identifier: MIT */":
            yield f"{path}:1: does not start with /* SPDX-License-Identifier: MIT */"
        elif len(lines) < 2 or not lines[1].startswith("/*"):
            yield f"{path}:2: no comment that says what this file is for"
    elif "SPDX-License-Identifier: MIT" not in text[:200]:
        yield f"{path}:1: no SPDX-License-Identifier: MIT"


def guards(path, text):
    """A header can be included twice."""
    if path.endswith(".h") and not re.search(r"^#ifndef (\w+)\n#define \1$", text, re.MULTILINE):
        yield f"{path}: no include guard"


def length(path, text):
    count = text.count("\n")
    if path.endswith((".c", ".h", ".S")) and count > LINES_MAX:
        yield f"{path}: {count} lines, more than {LINES_MAX}: two things in one file?"


def unfinished(path, text):
    if path.startswith("tests/lint/"):
        return
    for match in UNFINISHED.finditer(text):
        yield f"{path}:{common.line_of(text, match.start())}: {match.group(0)}"


def silent(path, text):
    """vmm/ neither prints nor exits."""
    if not path.startswith("vmm/"):
        return
    code = common.code_only(text)
    for match in LIBRARY_CALL.finditer(code):
        yield f"{path}:{common.line_of(code, match.start())}: vmm/ calls {match.group(1)}()"


def one_fork(paths):
    """One place makes processes. Programs of bench/ and tests/ are programs of their own."""
    sites = []
    for path in paths:
        if path.startswith(("vmm/", "forkserver/")) and path.endswith((".c", ".h")):
            code = common.code_only(common.read(path))
            sites += [
                (path, common.line_of(code, match.start()), match.group(0))
                for match in PROCESS_CALL.finditer(code)
            ]
    if len(sites) > 1:
        for path, line, call in sites:
            yield f"{path}:{line}: {call.rstrip('( ')}: one of {len(sites)} places that fork"


def one_spawn(path, text):
    """Other programs are started in one place, by a call that is no fork of ours."""
    if path.startswith(("vmm/", "forkserver/")) and path != SPAWN_FILE:
        code = common.code_only(text)
        for match in SPAWN_CALL.finditer(code):
            yield f"{path}:{common.line_of(code, match.start())}: only {SPAWN_FILE} starts programs"


def main():
    problems = []
    paths = common.files(".c", ".h", ".S", ".py", ".sh", "CMakeLists.txt")
    paths += [p for p in ("tests/run", "bench/quickstart", "bench/soak", "bench/linux_storm",
                          ".ci/run")
              if os.path.exists(os.path.join(common.ROOT, p))]
    for path in paths:
        text = common.read(path)
        for rule in (opening, guards, length, unfinished, silent, one_spawn):
            problems += rule(path, text)
    problems += one_fork(paths)
    common.finish(problems, f"{len(paths)} files in order")


if __name__ == "__main__":
    main()

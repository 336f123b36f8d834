# SPDX-License-Identifier: MIT
"""What the lints share: finding source files, stripping comments, reporting."""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SKIPPED_DIRS = {"build", ".git", ".cache", "__pycache__"}

_TOKENS = re.compile(
    r'"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])*'" r"|/\*.*?\*/" r"|//[^\n]*", re.DOTALL
)


def files(*extensions, below=""):
    """Paths relative to the repository's root of all files that end in one of extensions."""
    found = []
    for folder, dirs, names in os.walk(os.path.join(ROOT, below)):
        dirs[:] = sorted(d for d in dirs if d not in SKIPPED_DIRS)
        for name in sorted(names):
            if name.endswith(extensions):
                found.append(os.path.relpath(os.path.join(folder, name), ROOT))
    return found


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as source:
        return source.read()


def code_only(text):
    """C source with comments and the insides of strings blanked, line numbers kept."""

    def blank(match):
        token = match.group(0)
        if token[0] in "\"'":
            return token[0] * 2
        return " " + "\n" * token.count("\n")

    return _TOKENS.sub(blank, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def finish(problems, what):
    """Print problems, or what was found in order, and exit."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} problem(s)")
        sys.exit(1)
    print(what)

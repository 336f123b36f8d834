# SPDX-License-Identifier: MIT
"""Tables, targets and notes: for people, and the same targets for programs."""


class Table:
    """Lines are printed together, when it is shown: column widths are known then."""

    def __init__(self):
        self.parts = []  # (title, rows, notes)
        self.targets = []

    def head(self, title, names):
        self.parts.append((title, [names], []))

    def row(self, values):
        self.parts[-1][1].append(tuple(str(value) for value in values))

    def note(self, text):
        self.parts[-1][2].append(text)

    def verdict(self, what, value, target, kind):
        """kind: "at least" or "at most" that much is the target."""
        met = value >= target if kind == "at least" else value <= target
        self.targets.append({"what": what, "value": value, "target": target, "kind": kind,
                             "met": met})
        self.note(f"{what}: {value:.3g}  (target: {kind} {target:g}; {'met' if met else 'MISSED'})")

    def show(self):
        for title, rows, notes in self.parts:
            widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
            print(f"\n{title}")
            for row in rows:
                print("  " + "  ".join(
                    cell.ljust(width) if i == 0 else cell.rjust(width)
                    for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
            for note in notes:
                print(f"  - {note}")

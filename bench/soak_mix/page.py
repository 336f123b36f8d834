# SPDX-License-Identifier: MIT
"""The report as one page that needs nothing else: verdicts, tables, and plots over time."""

import html

import plots

KINDS = ("claimed", "cold", "missed", "session", "detached", "batch", "unread", "deaf", "silent")

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>forkvm: mixed soak</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:900px;margin:2em auto;padding:0 1em}
h1{font-size:1.6em}h2{font-size:1.3em;margin-top:2em}h3{font-size:1.05em;margin:1.2em 0 .2em}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.6em 0}
th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}
code{background:#f3f3f3;padding:.1em .3em}svg{max-width:100%;height:auto}
.bad{color:#b00020}
</style>
</head>
<body>
"""


def _table(title, rows):
    yield f"<h3>{html.escape(title)}</h3>\n<table>\n"
    for number, row in enumerate(rows):
        cell = "td" if number else "th"
        cells = "".join(f"<{cell}>{html.escape(str(value))}</{cell}>" for value in row)
        bad = ' class="bad"' if "GREW" in row else ""
        yield f"<tr{bad}>{cells}</tr>\n"
    yield "</table>\n"


def _over_time(samples, *names):
    return {name.removesuffix("_kib"): [(sample["t_s"], sample[name]) for sample in samples]
            for name in names}


def _in_mib(lines):
    return {name: [(at, value / 1024) for at, value in points] for name, points in lines.items()}


def _by_kind(samples, group, figure=None):
    """A line for each kind, in the same order always: none for what is never there."""
    there = {kind for sample in samples for kind in sample[group]}
    lines = {}
    for kind in KINDS:
        lines[kind] = []
        for sample in samples if kind in there else ():
            value = sample[group].get(kind)
            if value is None and figure is None:
                value = 0
            if value is not None:
                lines[kind].append((sample["t_s"], value[figure] if figure else value))
    return lines


def _plots(samples):
    yield "Clones a second", plots.plot(_by_kind(samples, "per_s"), "a second")
    latencies = _by_kind(samples, "latency_us", "p50")
    yield "Latency, p50", plots.plot(latencies, "microseconds", log=True)
    latencies = _by_kind(samples, "latency_us", "p99")
    yield "Latency, p99", plots.plot(latencies, "microseconds", log=True)
    yield "Clones", plots.plot(_over_time(samples, "live", "spares", "children", "zombies"), "")
    yield "Descriptors and threads", plots.plot(_over_time(samples, "descriptors", "threads"), "")
    yield "Memory of the server", plots.plot(_over_time(samples, "rss_kib", "private_kib"), "KiB")


def write(path, result, tables):
    """The page. `tables`: of each server, (title, rows) each with its head."""
    faults = [line for server in result["servers"].values() for line in server["faults"]]
    with open(path, "w", encoding="utf-8") as page:
        page.write(HEAD)
        page.write(f"<h1>{html.escape(result['title'])}</h1>\n")
        page.write(f"<p><code>{html.escape(result['command'])}</code></p>\n")
        page.write(f"<p>{html.escape(result['summary'])}</p>\n<ul>\n")
        for line in faults:
            page.write(f"<li class=\"bad\">{html.escape(line)}</li>\n")
        page.write("</ul>\n")
        for name, server in result["servers"].items():
            page.write(f"<h2>{html.escape(name)}: {html.escape(server['command'])}</h2>\n")
            for title, rows in tables[name]:
                page.writelines(_table(title, rows))
            for title, svg in _plots(server["samples"]):
                if svg:
                    page.write(f"<h3>{title}</h3>\n{svg}\n")
        page.write("<h2>Host</h2>\n")
        samples = next(iter(result["servers"].values()))["samples"]
        available = plots.plot(_in_mib(_over_time(samples, "available_kib")), "MiB",
                               from_zero=False)
        page.write(f"<h3>MemAvailable</h3>\n{available}\n")
        page.writelines(_table("", [("", ""), *result["host"].items()]))
        page.write("<p>bench/METHOD.md says how these figures are taken and what they do not "
                   "show.</p>\n</body>\n</html>\n")

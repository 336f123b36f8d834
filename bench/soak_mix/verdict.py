# SPDX-License-Identifier: MIT
"""Has a server grown? Its figures at rest before and after, and their trend between."""

import statistics

EXACT = ("descriptors", "threads", "children", "zombies")
MEMORY = ("rss_kib", "private_kib")
MEMORY_SLACK_KIB = 1024  # an allocator's breathing, and buffers of clients that do not read
EARLY = (0.03, 0.1)  # the part of the run that the "first minutes" are
TREND_MIN_S = 60  # a second half that is shorter shows no trend


def slope_per_hour(points):
    """Of the straight line through (seconds, value) with the least squares; 0 without a line."""
    if len({at for at, _ in points}) < 2:
        return 0.0
    line = statistics.linear_regression([at for at, _ in points], [value for _, value in points])
    return line.slope * 3600


def second_half(samples, name):
    middle = (samples[0]["t_s"] + samples[-1]["t_s"]) / 2
    return [(sample["t_s"], sample[name]) for sample in samples if sample["t_s"] >= middle]


def early(samples, name):
    """The figure after the first minutes, under traffic."""
    end = samples[-1]["t_s"]
    values = [sample[name] for sample in samples
              if EARLY[0] * end <= sample["t_s"] <= EARLY[1] * end]
    return statistics.median(values) if values else samples[0][name]


def judge_growth(first, last, samples, judge_memory=True):
    """Rows (figure, at first, after the first minutes, at last, slope an hour, verdict), where a
    verdict is "ok", "GREW" or "" for what is not judged."""
    rows = []
    for name in (*EXACT, *MEMORY):
        points = second_half(samples, name)
        slope = slope_per_hour(points)
        length_s = points[-1][0] - points[0][0]
        start = early(samples, name)
        if name in EXACT:
            verdict = "ok" if last[name] <= first[name] else "GREW"
        elif not judge_memory:
            verdict = ""
        else:
            grown = last[name] > max(first[name], start) + MEMORY_SLACK_KIB
            if length_s >= TREND_MIN_S:
                grown = grown or slope * length_s / 3600 > MEMORY_SLACK_KIB
            verdict = "GREW" if grown else "ok"
        rows.append((name, first[name], start, last[name], slope, verdict))
    return rows


def judge_counts(counted, base, clones):
    """The server's own account beside ours: how many requests came to which end, and how many were
    `left` or `detached`, whose end nobody was told; the server's "clones" before and after. Yields
    what does not agree."""
    unknown = counted["left"] + counted["detached"]
    ended = {reason: count - base["ended"][reason] for reason, count in clones["ended"].items()}
    ended["refused"] = clones["refused"] - base["refused"]
    for reason, count in sorted(ended.items()):
        if not counted[reason] <= count <= counted[reason] + unknown:
            yield f"{reason}: the server counted {count}, its clients {counted[reason]}, and " \
                  f"{unknown} of which they know no end"
    del ended["refused"]
    started = clones["started"] - base["started"]
    if started != sum(ended.values()) + clones["live"]:
        yield f"{started} clones were started and {sum(ended.values())} ended"

# SPDX-License-Identifier: MIT
"""Lines over time as an <svg> element, which needs nothing else."""

import html
import itertools
import math

WIDTH, HEIGHT = 860, 260
LEFT, RIGHT, TOP, BOTTOM = 82, 12, 30, 34
COLOURS = ("#3b7dd8", "#d8663b", "#58a55c", "#7b61b8", "#c9b458", "#5f6b77", "#e0a8c0", "#9aa5b1",
           "#a1887f")
POINTS_MAX = 180


def _step(span, count):
    """A round number that divides the span into about so many parts."""
    raw = span / count
    power = 10 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)


def _thin(points):
    """Means of neighbours, where there are more than can be seen."""
    size = -(-len(points) // POINTS_MAX)
    groups = [points[i:i + size] for i in range(0, len(points), size)]
    return [tuple(sum(axis) / len(group) for axis in zip(*group)) for group in groups]


def _label(value):
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


class _Frame:
    """Where values are on the page."""

    def __init__(self, lines, from_zero, log):
        values = [value for points in lines.values() for _, value in points]
        self.end = max((at for points in lines.values() for at, _ in points), default=1) or 1
        self.low, self.high = min(values), max(values)
        self.log = log and self.low > 0
        if self.log:
            self.low = 10 ** math.floor(math.log10(self.low))
            self.high = 10 ** math.ceil(math.log10(self.high * 1.001))
            return
        if from_zero:
            self.low = 0
        if self.high == self.low:
            self.high += 1
        step = _step(self.high - self.low, 5)
        self.low = math.floor(self.low / step) * step
        self.high = math.ceil(self.high / step) * step

    def x(self, at):
        return LEFT + at / self.end * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        if self.log:
            part = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def y_ticks(self):
        if self.log:
            value = self.low
            while value <= self.high * 1.001:
                yield value
                value *= 10
            return
        step = _step(self.high - self.low, 5)
        for i in range(round((self.high - self.low) / step) + 1):
            yield round(self.low + i * step, 9)


def _axes(frame, unit):
    minutes = frame.end >= 180
    scale, name = (60, "minutes") if minutes else (1, "seconds")
    for value in frame.y_ticks():
        y = frame.y(value)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_label(value)}</text>'
    step = _step(frame.end / scale, 8)
    for i in range(int(frame.end / scale / step) + 1):
        x = frame.x(i * step * scale)
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">' \
              f'{_label(i * step)}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 3}" text-anchor="end">{name}</text>'
    yield f'<text x="4" y="{TOP - 10}">{html.escape(unit)}</text>'
    yield f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" stroke="#888" fill="none"/>'


def plot(lines, unit, from_zero=True, log=False):
    """{name: [(seconds, value)]} as lines, each with its name above; "" if there are no values. A
    line without any is not shown, but has its colour."""
    colours = dict(zip(lines, itertools.cycle(COLOURS)))
    lines = {name: _thin(points) for name, points in lines.items() if points}
    if not lines:
        return ""
    frame = _Frame(lines, from_zero, log)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
             f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', *_axes(frame, unit)]
    at = LEFT + 90
    for name, points in lines.items():
        colour = colours[name]
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" '
                     'stroke-width="1.5" stroke-linejoin="round"/>')
        parts.append(f'<path d="M{at} {TOP - 14}h14" stroke="{colour}" stroke-width="3"/>'
                     f'<text x="{at + 18}" y="{TOP - 10}">{html.escape(name)}</text>')
        at += 32 + 7 * len(name)
    return "".join(parts) + "</svg>"

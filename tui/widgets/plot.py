"""Curves in braille dots: series that stay small however long the run, axes with round numbers. Pure, no Textual.

Our own, after trying the alternative: textual-plotext draws through plotext's one global figure, formats the whole
picture as an ANSI text that is parsed again for every frame, knows neither min/max thinning nor a step window, and
needs two more packages. What a loss curve needs is below, and costs about a millisecond a frame.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tui.wording import number

_LIMIT: Final = 4096
# Bits of the dots in a braille cell, by column and row (Unicode chart U+2800).
_DOTS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

Point = tuple[float, float]


@dataclass(slots=True)
class Series:
    """Values over steps in at most ``limit`` buckets; when they are full, neighbours merge. No extreme is lost."""

    limit: int = _LIMIT
    steps: list[float] = field(default_factory=list[float])
    low: list[float] = field(default_factory=list[float])
    high: list[float] = field(default_factory=list[float])
    mean: list[float] = field(default_factory=list[float])
    bad: int = 0
    """Values that were not finite: NaN and infinities"""
    last: float = math.nan
    revision: int = 0
    _per: int = 1
    _filled: int = 0

    def add(self, step: float, value: float) -> None:
        """Take a value; a step that goes back (a resume) forgets what came after it."""
        self.revision += 1
        self.last = value
        if not math.isfinite(value):
            self.bad += 1
            return
        while self.steps and self.steps[-1] >= step:
            for values in (self.steps, self.low, self.high, self.mean):
                values.pop()
            self._filled = self._per
        if self.steps and self._filled < self._per:
            self.steps[-1] = step
            self.low[-1] = min(self.low[-1], value)
            self.high[-1] = max(self.high[-1], value)
            self.mean[-1] += (value - self.mean[-1]) / (self._filled + 1)
            self._filled += 1
            return
        for values in (self.low, self.high, self.mean):
            values.append(value)
        self.steps.append(step)
        self._filled = 1
        if len(self.steps) >= self.limit:
            self._merge()

    def _merge(self) -> None:
        pairs = range(0, len(self.steps) - 1, 2)
        self.low = [min(self.low[i], self.low[i + 1]) for i in pairs]
        self.high = [max(self.high[i], self.high[i + 1]) for i in pairs]
        self.mean = [(self.mean[i] + self.mean[i + 1]) / 2 for i in pairs]
        self.steps = [self.steps[i + 1] for i in pairs]
        self._per *= 2
        self._filled = self._per

    def __len__(self) -> int:
        return len(self.steps)

    def smoothed(self) -> list[Point]:
        """Return the curve that LLaMA Board draws: TensorBoard's average (LLaMA-Factory, ``extras/ploting.smooth``)."""
        if not self.steps:
            return []
        weight = 1.8 * (1 / (1 + math.exp(-0.05 * len(self.steps))) - 0.5)
        value = self.mean[0]
        points: list[Point] = []
        for step, mean in zip(self.steps, self.mean, strict=True):
            value = value * weight + (1 - weight) * mean
            points.append((step, value))
        return points


@dataclass(frozen=True, slots=True)
class View:
    """What part of the steps is seen and how."""

    first: float | None = None
    """First step; None is the first there is"""
    last: float | None = None
    """Last step; None grows with the run"""
    log: bool = False
    smooth: bool = True


@dataclass(slots=True)
class Picture:
    """A painted plot: characters and roles, ``height`` rows of ``width`` cells."""

    rows: list[list[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class _Frame:
    x0: float
    x1: float
    y0: float
    y1: float
    log: bool
    columns: int
    lines: int

    def column(self, step: float) -> int:
        """Return the dot column of ``step``."""
        return round((step - self.x0) / (self.x1 - self.x0) * (self.columns * 2 - 1)) if self.x1 > self.x0 else 0

    def line(self, value: float) -> int:
        """Return the dot row of ``value``, 0 at the top."""
        if self.log:
            value = math.log10(max(value, 1e-300))
        part = (value - self.y0) / (self.y1 - self.y0)
        return min(self.lines * 4 - 1, max(0, round((1 - part) * (self.lines * 4 - 1))))


class _Canvas:
    def __init__(self, columns: int, lines: int) -> None:
        self.dots = [[0] * columns for _line in range(lines)]
        self.roles = [[""] * columns for _line in range(lines)]
        self.marks: dict[tuple[int, int], tuple[str, str]] = {}
        self._columns, self._lines = columns, lines

    def dot(self, x: int, y: int, role: str) -> None:
        if 0 <= x < self._columns * 2 and 0 <= y < self._lines * 4:
            self.dots[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
            self.roles[y // 4][x // 2] = role

    def bar(self, x: int, top: int, bottom: int, role: str) -> None:
        for y in range(top, bottom + 1):
            self.dot(x, y, role)

    def curve(self, points: Sequence[tuple[int, int]], role: str) -> None:
        """Connect dots; where the curve passes, its role wins."""
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            count = max(abs(x1 - x0), abs(y1 - y0), 1)
            for step in range(count + 1):
                self.dot(x0 + round((x1 - x0) * step / count), y0 + round((y1 - y0) * step / count), role)
        if len(points) == 1:
            self.dot(*points[0], role)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten) between ``low`` and ``high``, about ``count`` of them."""
    if not high > low or count < 1:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between 10**low and 10**high."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    return [f * 10.0**p for p in powers for f in (1, 2, 5) if low - 1e-9 <= math.log10(f) + p <= high + 1e-9]


def _window(series: Series, view: View) -> tuple[int, int]:
    begin = 0 if view.first is None else bisect_left(series.steps, view.first)
    end = len(series.steps) if view.last is None else bisect_right(series.steps, view.last)
    return begin, end


def _frame(raw: Series, marks: Series | None, view: View, columns: int, lines: int) -> _Frame | None:
    begin, end = _window(raw, view)
    if end <= begin:
        return None
    lows, highs = raw.low[begin:end], raw.high[begin:end]
    low, high = min(lows), max(highs)
    if marks is not None and len(marks):
        first, last = _window(marks, view)
        low = min([low, *marks.mean[first:last]])
        high = max([high, *marks.mean[first:last]])
    log = view.log and high > 0
    if log:
        positive = [value for value in lows if value > 0]
        low, high = math.log10(min(positive, default=high)), math.log10(high)
    if high - low < 1e-9:
        spread = abs(high) * 0.1 or 1.0
        low, high = low - spread, high + spread
    margin = (high - low) * 0.04
    x0 = raw.steps[begin] if view.first is None else view.first
    x1 = raw.steps[end - 1] if view.last is None else view.last
    return _Frame(x0, max(x1, x0 + 1), low - margin, high + margin, log, columns, lines)


def draw(raw: Series, marks: Series | None, view: View, width: int, height: int) -> Picture | None:
    """Paint ``raw`` as dots, its smoothed curve, and ``marks`` (evaluations) as "o"; None when there is nothing to see.

    Takes ``width`` × ``height`` cells with both axes; needs 20 × 4.
    """
    lines = height - 2
    label_width = 7
    columns = width - label_width - 1
    if columns < 10 or lines < 2:
        return None
    frame = _frame(raw, marks, view, columns, lines)
    if frame is None:
        return None
    canvas = _Canvas(columns, lines)
    begin, end = _window(raw, view)
    for index in range(begin, end):
        x = frame.column(raw.steps[index])
        canvas.bar(x, frame.line(raw.high[index]), frame.line(raw.low[index]), "raw")
    if view.smooth:
        points = raw.smoothed()[begin:end]
        canvas.curve([(frame.column(step), frame.line(value)) for step, value in points], "curve")
    if marks is not None:
        first, last = _window(marks, view)
        for index in range(first, last):
            x, y = frame.column(marks.steps[index]), frame.line(marks.mean[index])
            canvas.marks[min(columns - 1, x // 2), y // 4] = ("o", "mark")
    return Picture(_with_axes(canvas, frame, label_width))


def _with_axes(canvas: _Canvas, frame: _Frame, label_width: int) -> list[list[tuple[str, str]]]:
    values = log_ticks(frame.y0, frame.y1) if frame.log else ticks(frame.y0, frame.y1, max(2, frame.lines // 3))
    if frame.log and len(values) < 2:  # less than a decade in view: round numbers of the linear kind
        values = ticks(10**frame.y0, 10**frame.y1, max(2, frame.lines // 3))
    labels: dict[int, str] = {}
    for value in values:
        labels.setdefault(frame.line(value) // 4, number(value))
    rows: list[list[tuple[str, str]]] = []
    for y in range(frame.lines):
        label = labels.get(y, "")
        row = [(f"{label:>{label_width}}", "axis"), ("┤" if label else "│", "frame")]
        for x in range(frame.columns):
            mark = canvas.marks.get((x, y))
            dots = canvas.dots[y][x]
            row.append(mark or ((chr(0x2800 + dots), canvas.roles[y][x]) if dots else (" ", "")))
        rows.append(row)
    return [*rows, *_step_axis(frame, label_width)]


def _step_axis(frame: _Frame, label_width: int) -> list[list[tuple[str, str]]]:
    line = ["─"] * frame.columns
    text = [" "] * frame.columns
    free_from = 0
    for step in ticks(frame.x0, frame.x1, max(2, frame.columns // 12)):
        if step != int(step):
            continue
        column = min(frame.columns - 1, frame.column(step) // 2)
        label = f"{int(step):,}" if step >= 10000 else str(int(step))
        begin = min(max(0, column - len(label) // 2), frame.columns - len(label))
        if begin < free_from:
            continue
        line[column] = "┬"
        text[begin : begin + len(label)] = label
        free_from = begin + len(label) + 2
    space = " " * label_width
    return [[(space + "└" + "".join(line), "frame")], [(space + " " + "".join(text), "axis")]]

"""Small charts as pictures: a timeline of actions, a confusion matrix. Drawn with OpenCV alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vision.drawing import colour, label, unit
from vision.files import write_whole
from vision.types import Action, Image, Names

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _GREY, _GRID = (40, 40, 40), (225, 225, 225), (0, 255, 255)


def save_png(path: Path, image: Image) -> None:
    """Write a chart; SinkError where that cannot be."""
    ok, data = cv2.imencode(".png", image)
    assert ok
    write_whole(path, data.tobytes())


def timeline_chart(segments: Sequence[Action], span: tuple[float, float], names: Names) -> Image:
    """A row for each action that occurs, a bar for each segment, over the seconds of `span`:
    (H,1000,3) uint8 BGR."""
    labels = sorted({s.label for s in segments})
    left, right, top, row = 190, 970, 20, 34
    bottom = top + row * max(1, len(labels))
    start, end = span[0], max(span[1], span[0] + 1e-3)
    image = np.full((bottom + 40, 1000, 3), 255, np.uint8)

    def place(seconds: float) -> int:
        return round(left + (right - left) * min(1.0, max(0.0, (seconds - start) / (end - start))))

    for tick in _ticks(start, end):
        cv2.line(image, (place(tick), top), (place(tick), bottom), _GREY, 1)
        _write(image, f"{tick:g} s", (place(tick) - 12, bottom + 22))
    for i, kind in enumerate(labels):
        _write(image, names[kind][:20], (10, top + row * i + 22))
        for s in segments:
            if s.label == kind:
                x, y = place(s.start), top + row * i
                right_end = max(place(s.end), x + 2)
                cv2.rectangle(image, (x, y + 6), (right_end, y + 28), colour(kind), cv2.FILLED)
    cv2.rectangle(image, (left, top), (right, bottom), _INK, 1)
    return image


def confusion_chart(confusion: npt.NDArray[np.int64], names: Names) -> Image:
    """A confusion matrix (C,C), a row a true class: darker where more of a row is; with its counts where
    the cells have room. (H,W,3) uint8 BGR."""
    classes = len(confusion)
    cell = max(8, min(90, 900 // classes))
    named = cell >= 14
    margin = max((_width(name) for name in names), default=0) + 20 if named else 20
    heading = "true, downwards; predicted, across"
    left, top, side = margin, margin + 24, cell * classes
    image = np.full((top + side + 20, max(left + side, _width(heading)) + 20, 3), 255, np.uint8)
    shares = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    for (i, j), count in np.ndenumerate(confusion):
        shade = int(255 * (1 - shares[i, j]))
        x, y = left + cell * j, top + cell * i
        cv2.rectangle(image, (x, y), (x + cell, y + cell), (255, shade, shade), cv2.FILLED)
        if cell >= 30 and count:
            ink = (255, 255, 255) if shade < 128 else _INK
            _write(image, str(count), (x + cell // 3, y + cell // 2 + 5), ink)
    for i, name in enumerate(names if named else ()):
        _write(image, name, (left - 10 - _width(name), top + cell * i + cell // 2 + 5))
        across = np.full((cell, margin, 3), 255, np.uint8)               # upright: turned by a quarter
        _write(across, name, (8, cell // 2 + 5))
        image[top - margin : top, left + cell * i : left + cell * (i + 1)] = cv2.rotate(
            across, cv2.ROTATE_90_COUNTERCLOCKWISE)
    _write(image, heading, (10, 20))
    cv2.rectangle(image, (left, top), (left + side, top + side), _INK, 1)
    return image


class Mark(NamedTuple):
    """A point of a chart. name: what it is. x, y: more than 0. group: marks of one have one colour."""

    name: str
    x: float
    y: float
    group: int = 0


def scatter_chart(marks: Sequence[Mark], across: str, upwards: str) -> Image:
    """Numbered marks on two logarithmic axes, with their names beside the chart: (H,W,3) uint8 BGR.
    across, upwards: what the axes are."""
    left, top, side, row = 80, 40, 560, 22
    height = max(top + side + 60, top + row * len(marks) + 20)
    names = [f"{number}  {mark.name}: {mark.y:.3g}" for number, mark in enumerate(marks, 1)]
    width = left + side + 50 + max((_width(name) for name in names), default=0)
    image = np.full((height, width, 3), 255, np.uint8)
    (x0, x1), (y0, y1) = _decades([mark.x for mark in marks]), _decades([mark.y for mark in marks])

    def place(x: float, y: float) -> tuple[int, int]:
        return (round(left + side * np.log(x / x0) / np.log(x1 / x0)),
                round(top + side * (1 - np.log(y / y0) / np.log(y1 / y0))))

    for tick in _round_ones(x0, x1):
        at = place(tick, y0)
        cv2.line(image, (at[0], top), at, _GREY, 1)
        _write(image, f"{tick:g}", (at[0] - 8, top + side + 20))
    for tick in _round_ones(y0, y1):
        at = place(x0, tick)
        cv2.line(image, at, (left + side, at[1]), _GREY, 1)
        _write(image, f"{tick:g}", (left - 12 - _width(f"{tick:g}"), at[1] + 5))
    cv2.rectangle(image, (left, top), (left + side, top + side), _INK, 1)
    _write(image, across, (left + side - _width(across), top + side + 44))
    _write(image, upwards, (left, top - 14))
    for number, (mark, name) in enumerate(zip(marks, names, strict=True), 1):
        at = place(mark.x, mark.y)
        cv2.circle(image, at, 5, colour(mark.group), cv2.FILLED, cv2.LINE_AA)
        _write(image, str(number), (at[0] + 8, at[1] - 4))
        line = top + row * number
        cv2.circle(image, (left + side + 22, line - 5), 5, colour(mark.group), cv2.FILLED, cv2.LINE_AA)
        _write(image, name, (left + side + 36, line))
    return image


def draw_grid(image: Image, step: int | None = None) -> Image:
    """A picture (H,W,3) uint8 BGR with lines every `step` pixels and their coordinates at its edges; another picture.
    step: a round number for about ten lines unless given."""
    height, width = image.shape[:2]
    step = step or next(s for e in range(1, 7) for s in (10**e, 2 * 10**e, 5 * 10**e) if s >= max(width, height) / 12)
    drawn, thick = image.copy(), max(1, round(unit(image)))
    xs, ys = range(step, width, step), range(step, height, step)
    for x in xs:
        cv2.line(drawn, (x, 0), (x, height), _GRID, thick)
    for y in ys:
        cv2.line(drawn, (0, y), (width, y), _GRID, thick)
    drawn = np.asarray(cv2.addWeighted(drawn, 0.6, image, 0.4, 0), np.uint8)
    for x in xs:
        label(drawn, str(x), (x + 1, 0), _GRID)
        label(drawn, str(x), (x + 1, height), _GRID)
    for y in ys:
        label(drawn, str(y), (0, y), _GRID)
        label(drawn, str(y), (width, y), _GRID)
    return drawn


def _ticks(start: float, end: float) -> list[float]:
    """At most ten round places between two times."""
    raw = (end - start) / 10
    step = next(s for e in range(-3, 7) for s in (10.0**e, 2 * 10.0**e, 5 * 10.0**e) if s >= raw)
    return [k * step for k in range(int(np.ceil(start / step - 1e-9)), int(np.floor(end / step + 1e-9)) + 1)]


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """A range around values for a logarithmic axis, at least fourfold."""
    low, high = min(values, default=1.0) / 1.3, max(values, default=1.0) * 1.3
    middle = float(np.sqrt(low * high))
    return min(low, middle / 2), max(high, middle * 2)


def _round_ones(start: float, end: float) -> list[float]:
    """1, 2, 5, 10, 20, ... within a range."""
    return [n * 10.0**e for e in range(-6, 9) for n in (1, 2, 5) if start <= n * 10.0**e <= end]


def _write(image: Image, text: str, corner: tuple[int, int], ink: tuple[int, int, int] = _INK) -> None:
    cv2.putText(image, text, corner, _FONT, 0.48, ink, 1, cv2.LINE_AA)


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, 0.48, 1)[0][0])

"""Counts and chosen objects on pictures: lines and zones with their totals, over the tracks."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from vision.drawing import Box, Canvas, paint
from vision.tracking.count import Counted
from vision.tracking.follow import Target
from vision.tracking.scene import Line
from vision.types import Names

_LINE, _PASSED = (0, 200, 255), (80, 255, 80)        # BGR: amber, and green in the frame of an event
_GREY = (60, 60, 60)


@paint.register
def _(result: Counted, canvas: Canvas, names: Names) -> None:
    paint(result.tracks, canvas, names)
    now = {event.place for event in result.events}
    for zone in result.scene.zones:
        shade = _PASSED if zone.name in now else _LINE
        corners = np.rint(np.array(zone.points)).astype(np.int32)
        cv2.polylines(canvas.image, [corners], True, shade, canvas.thick(), cv2.LINE_AA)
        sides = result.totals[zone.name]
        out = sides["out"] + sides["lost"]
        text = f"{zone.name}: {result.inside[zone.name]} now, {sides['in']} in, {out} out"
        left, top = corners.min(0).tolist()
        canvas.label(text, (left, top, left, top), shade, must=True)
    for line in result.scene.lines:
        _paint_line(line, result.totals[line.name], canvas, _PASSED if line.name in now else _LINE)
    boxes, speeds, errors = result.tracks.boxes.tolist(), result.speeds.tolist(), result.speed_errors.tolist()
    for (left, top, right, bottom), speed, error in zip(boxes, speeds, errors, strict=True):
        if speed == speed:
            canvas.label(f"{speed:.1f} +- {error:.1f} m/s", (left, top, right, bottom), _GREY)


def _paint_line(line: Line, totals: Mapping[str, int], canvas: Canvas, shade: tuple[int, int, int]) -> None:
    """A line with an arrow to each hand, and at its tip how a crossing to there is called and how many there were."""
    start, end = np.array(line.start), np.array(line.end)
    ends = [tuple(np.rint(point).astype(int).tolist()) for point in (start, end)]
    cv2.line(canvas.image, ends[0], ends[1], shade, canvas.thick(), cv2.LINE_AA)
    cv2.circle(canvas.image, ends[0], canvas.thick(4), shade, cv2.FILLED, cv2.LINE_AA)
    canvas.label(line.name, _around(start, 0), shade, must=True)
    middle, step = (start + end) / 2, end - start
    to_right = np.array([-step[1], step[0]]) / np.hypot(*step) * canvas.thick(24)
    for side, way in ((line.right, to_right), (line.left, -to_right)):
        tip = middle + way
        cv2.arrowedLine(canvas.image, np.rint(middle).astype(int).tolist(), np.rint(tip).astype(int).tolist(), shade,
                        canvas.thick(), cv2.LINE_AA, tipLength=0.4)
        canvas.keep_free((*np.minimum(middle, tip) - canvas.thick(), *np.maximum(middle, tip) + canvas.thick()))
        canvas.label(f"{side} {totals[side]}", _around(tip, canvas.thick(2)), shade, must=True)


def _around(point: np.ndarray, margin: float) -> Box:
    x, y = point.tolist()
    return x - margin, y - margin, x + margin, y + margin


@paint.register
def _(result: Target, canvas: Canvas, names: Names) -> None:
    shade = (60, 60, 220) if result.lost else (80, 220, 80)
    canvas.box(result.box.tolist(), shade, canvas.say(name="lost" if result.lost else "target", score=result.score))

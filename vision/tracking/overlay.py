"""Counts and chosen objects on pictures: lines and zones with their totals, over the tracks."""

from __future__ import annotations

import cv2
import numpy as np

from vision import drawing
from vision.tracking.count import Counted
from vision.tracking.follow import Target
from vision.types import Image, Names

_LINE, _PASSED = (0, 200, 255), (80, 255, 80)        # BGR: amber, and green in the frame of an event


@drawing.paint.register
def _(result: Counted, image: Image, names: Names) -> None:
    drawing.paint(result.tracks, image, names)
    thick = max(2, round(2 * drawing.unit(image)))
    now = {event.place for event in result.events}
    for zone in result.scene.zones:
        shade = _PASSED if zone.name in now else _LINE
        corners = np.rint(np.array(zone.points)).astype(np.int32)
        cv2.polylines(image, [corners], True, shade, thick, cv2.LINE_AA)
        left, top = corners.min(0).tolist()
        sides = result.totals[zone.name]
        out = sides["out"] + sides["lost"]
        text = f"{zone.name}: {result.inside[zone.name]} now, {sides['in']} in, {out} out"
        drawing.label(image, text, (left, top), shade)
    for line in result.scene.lines:
        shade = _PASSED if line.name in now else _LINE
        start, end = np.rint(line.start).astype(int), np.rint(line.end).astype(int)
        cv2.arrowedLine(image, start.tolist(), end.tolist(), shade, thick, cv2.LINE_AA, tipLength=0.03)
        sides = result.totals[line.name]
        text = f"{line.name}: " + ", ".join(f"{side} {count}" for side, count in sides.items())
        drawing.label(image, text, ((start + end) // 2).tolist(), shade)
    for box, speed, error in zip(
        np.rint(result.tracks.boxes).astype(int).tolist(), result.speeds.tolist(),
        result.speed_errors.tolist(), strict=True,
    ):
        if speed == speed:
            drawing.label(image, f"{speed:.1f} +- {error:.1f} m/s", (box[0], box[3]), (60, 60, 60))


@drawing.paint.register
def _(result: Target, image: Image, names: Names) -> None:
    shade = (60, 60, 220) if result.lost else (80, 220, 80)
    left, top, right, bottom = np.rint(result.box).astype(int).tolist()
    cv2.rectangle(image, (left, top), (right, bottom), shade, max(1, round(2 * drawing.unit(image))))
    drawing.label(image, ("lost " if result.lost else "") + f"{result.score:.2f}", (left, top), shade)

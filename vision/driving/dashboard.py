"""The situation drawn on the frame, to be read at a glance: way, boxes with metres and seconds, a view from above, and
what there is to warn of."""

from __future__ import annotations

import cv2
import numpy as np

from vision.drawing import Canvas, Colour, class_name, paint
from vision.driving.alerts import COLLISION, DEPARTURE, PERSON
from vision.driving.lines import LaneLines
from vision.driving.obstacles import Obstacles
from vision.driving.situation import Situation
from vision.geometry.birdseye import BirdsEye
from vision.types import Image, Names

_FREE, _LANE, _GREY = (120, 160, 60), (190, 140, 40), (150, 150, 150)          # BGR
_FAR, _SOON, _NOW = (80, 200, 80), (0, 190, 255), (40, 40, 230)
_PANEL, _INK = (38, 34, 30), (225, 225, 225)
_SECONDS = (2.7, 5.0)                          # below: now, soon
_AHEAD, _SIDE = (0.0, 40.0), 9.0               # metres of the view from above
_SAYS = {COLLISION: "BRAKE", PERSON: "PEOPLE", DEPARTURE: "LANE"}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@paint.register
def _(result: Situation, canvas: Canvas, names: Names) -> None:
    _paint_way(result, canvas)
    paint(result.lanes, canvas, names)
    _paint_objects(result.obstacles, canvas, names)
    _paint_above(result, canvas)
    _paint_state(result, canvas)
    _paint_warnings(result, canvas, names)


def _tint(image: Image, corners: np.ndarray, shade: Colour, share: float) -> None:
    """Fill a polygon (K,2) of the picture with a share of a colour."""
    points = np.rint(corners.clip(-1e4, 1e4)).astype(np.int32)
    left, top = np.maximum(points.min(0), 0)
    right, bottom = points.max(0) + 1
    part = image[top:bottom, left:right]
    if part.size:
        over = part.copy()
        cv2.fillPoly(over, [points - (left, top)], shade, cv2.LINE_AA)
        cv2.addWeighted(over, share, part, 1 - share, 0, part)


def _paint_way(result: Situation, canvas: Canvas) -> None:
    """The road that is free, and the lane between its lines."""
    height = canvas.image.shape[0]
    if result.free is not None:
        border = result.free.border[np.argsort(result.free.border[:, 0])]
        outline = np.concatenate([[[border[0, 0], height]], border, [[border[-1, 0], height]]])
        _tint(canvas.image, outline, _FREE, 0.18)
    lanes = result.lanes
    if len(lanes) == 2:
        left, right = lanes.points(0), lanes.points(1)
        shade = _SOON if DEPARTURE in result.active else _LANE
        if len(left) and len(right):
            _tint(canvas.image, np.concatenate([left, right[::-1]]), shade, 0.3)


def _shade(seconds: float, in_path: bool) -> Colour:
    if not in_path:
        return _GREY
    return _NOW if seconds < _SECONDS[0] else _SOON if seconds < _SECONDS[1] else _FAR


def _paint_objects(found: Obstacles, canvas: Canvas, names: Names) -> None:
    """Boxes: in the way thick, in the colour of the time that is left, with name, metres and seconds."""
    for n, box in enumerate(found.boxes.tolist()):
        in_path, seconds, metres = bool(found.in_path[n]), float(found.times[n, 0]), float(found.distances[n, 0])
        shade = _shade(seconds, in_path)
        corner, other = (round(box[0]), round(box[1])), (round(box[2]), round(box[3]))
        cv2.rectangle(canvas.image, corner, other, shade, canvas.thick(3 if in_path else 1), cv2.LINE_AA)
        canvas.keep_free(box)
        parts = [canvas.say(name=class_name(names, int(found.labels[n]))), found.states[n]]
        parts += [f"{metres:.0f} m" if metres >= 10 else f"{metres:.1f} m"] if np.isfinite(metres) else []
        parts += [f"{seconds:.1f} s"] if in_path and seconds < 20 else []
        left, top, right, bottom = box
        if in_path or found.states[n] or np.isfinite(metres):
            canvas.label(" ".join(part for part in parts if part), (left, top, right, bottom), shade, must=in_path)


def _paint_above(result: Situation, canvas: Canvas) -> None:
    """A view from above at the upper right: lines, free road, objects; with metres where they are known."""
    image = canvas.image
    height, width = image.shape[:2]
    high = round(0.42 * height)
    wide = min(round(0.55 * high), width // 4)
    view = BirdsEye(result.lanes.plane, _AHEAD, _SIDE, (wide, high))
    panel = np.full((high, wide, 3), _PANEL, np.uint8)
    free = result.free
    if free is not None:
        place = result.lanes.plane.metres(free.border)
        reach = np.where(np.isfinite(place[:, :1]), place, [[_AHEAD[1] * 2, 0]])
        spread = np.isfinite(place[:, 0])
        if spread.sum() > 2:
            outline = np.concatenate([[[0, 0]], reach[spread]])
            order = np.concatenate([[0], 1 + np.argsort(np.arctan2(outline[1:, 1], outline[1:, 0]))])
            _tint(panel, view.place(outline[order]), _FREE, 0.5)
    rings = [(metres, int(view.place([[metres, 0]])[0, 1])) for metres in (10, 20, 30)]
    for _, y in rings:
        cv2.line(panel, (0, y), (wide, y), (70, 70, 70), 1)
    _lines_above(result.lanes, view, panel)
    _objects_above(result.obstacles, view, panel)
    for metres, y in rings if result.calibrated else ():
        cv2.putText(panel, f"{metres} m", (3, y - 3), _FONT, 0.4 * max(0.8, canvas.unit), _INK, 1, cv2.LINE_AA)
    own = view.place([[0, 0.9], [3.0, -0.9]])
    x0, x1 = (int(value) for value in own[:, 0])
    cv2.rectangle(panel, (x0, high - round(0.07 * high)), (x1, high - 1), _INK, cv2.FILLED)
    margin = canvas.thick(6)
    target = image[margin:margin + high, width - margin - wide:width - margin]
    cv2.addWeighted(panel[: target.shape[0]], 0.85, target, 0.15, 0, target)
    cv2.rectangle(image, (width - margin - wide, margin), (width - margin, margin + high), _GREY, 1)
    canvas.keep_free((width - margin - wide, margin, width - margin, margin + high))


def _lines_above(lanes: LaneLines, view: BirdsEye, panel: Image) -> None:
    forward = np.linspace(0, min(lanes.ahead[1], _AHEAD[1]), 20)
    for curve, score in zip(lanes.curves, lanes.scores.tolist(), strict=True):
        left = curve[0] + curve[1] * forward + curve[2] * forward**2
        points = np.rint(view.place(np.column_stack([forward, left]))).astype(np.int32)
        cv2.polylines(panel, [points], False, _INK if score > 0.4 else _GREY, 2, cv2.LINE_AA)


def _objects_above(found: Obstacles, view: BirdsEye, panel: Image) -> None:
    for n, (forward, left) in enumerate(found.places.tolist()):
        if not 0 < forward < _AHEAD[1] or found.states[n]:
            continue
        ends = view.place([[forward, left + 0.9], [forward + 4, left - 0.9]])
        shade = _shade(float(found.times[n, 0]), bool(found.in_path[n]))
        (x0, y1), (x1, y0) = np.rint(ends).astype(int).tolist()
        cv2.rectangle(panel, (x0, y0), (x1, y1), shade, cv2.FILLED)


def _paint_state(result: Situation, canvas: Canvas) -> None:
    """Where the car is in its lane, and that there are no metres where there are none."""
    lanes, words = result.lanes, []
    if not result.calibrated:
        words.append("uncalibrated")
    if lanes.offset is not None and lanes.offset_share is not None:
        side = "left" if lanes.offset_share > 0 else "right"
        how = f"{abs(lanes.offset):.2f} m" if result.calibrated else f"{abs(lanes.offset_share):.0%}"
        words.append(f"{how} {side} of middle")
    bend = lanes.curvature
    if bend is not None and len(lanes) == 2:
        words.append(f"bend {1 / abs(bend):.0f} m {'left' if bend > 0 else 'right'}" if abs(bend) > 1 / 1500 else
                     "straight")
    if not len(lanes):
        words.append("no lane")
    canvas.legend("  ".join(words), _PANEL)


def _paint_warnings(result: Situation, canvas: Canvas, names: Names) -> None:
    """What is to be done now, large, in the upper middle."""
    image = canvas.image
    scale, thick = 1.1 * max(0.6, canvas.unit), canvas.thick(2.5)
    top = canvas.thick(8)
    for kind, alert in result.active.items():
        values = alert.values
        parts = [_SAYS[kind], alert.place.upper() if alert.place else class_name(names, alert.label)]
        parts += [f"{values['distance_m']:.0f} m"] if "distance_m" in values else []
        parts += [f"{values['ttc_s']:.1f} s"] if "ttc_s" in values else []
        text = "  ".join(parts)
        (wide, high), base = cv2.getTextSize(text, _FONT, scale, thick)
        left, pad = (image.shape[1] - wide) // 2, canvas.thick(6)
        shade = _SOON if kind == DEPARTURE else _NOW
        cv2.rectangle(image, (left - pad, top), (left + wide + pad, top + high + base + 2 * pad), shade, cv2.FILLED)
        ink = (0, 0, 0) if kind == DEPARTURE else (255, 255, 255)
        cv2.putText(image, text, (left, top + pad + high), _FONT, scale, ink, thick, cv2.LINE_AA)
        canvas.keep_free((left - pad, top, left + wide + pad, top + high + base + 2 * pad))
        top += high + base + 2 * pad + canvas.thick(3)


"""Lane lines: what is found of them in a frame, and what that says of the car in its lane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.drawing import Canvas, paint
from vision.shown import Shown
from vision.types import Floats, Names

if TYPE_CHECKING:
    from vision.geometry.camera import Points
    from vision.geometry.ground import Ground

SIDES = ("left", "right")
_SHADE = {"sure": (80, 220, 80), "unsure": (60, 200, 230)}               # BGR
_SURE = 0.5
CLEAR = 14.0                       # metres: lines that are hidden from here on tell neither a bend nor where it leads


@dataclass(frozen=True, eq=False, repr=False)
class LaneLines(Shown):
    """The lines of the lane that the car is in.

    curves: (N,3) float64: offset, heading and bend of each: left = offset + heading * forward + bend * forward^2,
        in metres of `plane`. sides: (N,) int64, 0: left of the car, 1: right of it. scores: (N,) float32 in 0..1,
        how sure.
    ahead: metres of the nearest and furthest row that was looked at.
    plane: the ground that the curves lie on. calibrated: whether its metres are metres; without a calibration they
        are a guess that only places the lines in the picture.
    road: (h,w) bool, where one may drive, of a network that tells; None.
    crossed: 1 in the frame in which the car has come into the lane to the left, -1 to the right, else 0.
    """

    curves: Points
    sides: npt.NDArray[np.int64]
    scores: Floats
    ahead: tuple[float, float]
    plane: Ground
    calibrated: bool
    crossed: int = 0
    road: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.sides)

    def line(self, side: int) -> Points | None:
        """The curve (3,) of the left (0) or right (1) line; None where it is not seen."""
        found = np.flatnonzero(self.sides == side)
        return self.curves[found[0]] if len(found) else None

    def points(self, i: int, count: int = 24) -> Floats:
        """Line `i` in the picture: (count,2) xy in frame pixels, from near to far; fewer where the lens sees no point
        of the line so near."""
        near, far = self.ahead
        drawn = self._drawn(self.curves[i], 1 / np.linspace(1 / near, 1 / far, count))
        return drawn[np.isfinite(drawn).all(axis=1)]

    def x_at(self, side: int, row: float) -> float:
        """The column at which the left (0) or right (1) line passes a row of the picture, in pixels; not a number where
        it is not seen or does not reach it."""
        curve = self.line(side)
        if curve is None:
            return float("nan")
        near, far = self.ahead
        drawn = self._drawn(curve, 1 / np.linspace(1 / min(near, 1.5), 1 / (2 * far), 200))
        fits = np.isfinite(drawn).all(axis=1)
        rows, columns = drawn[fits, 1][::-1], drawn[fits, 0][::-1]
        return float(np.interp(row, rows, columns, left=np.nan, right=np.nan)) if len(rows) else float("nan")

    @property
    def width(self) -> float | None:
        """Metres of the plane between both lines beside the car; None unless both are seen."""
        left, right = self.line(0), self.line(1)
        return None if left is None or right is None else float(left[0] - right[0])

    @property
    def offset(self) -> float | None:
        """Metres of the plane from the lane's middle to the car's, positive: the car is to the left of it; None unless
        both lines are seen."""
        left, right = self.line(0), self.line(1)
        return None if left is None or right is None else float(-(left[0] + right[0]) / 2)

    @property
    def offset_share(self) -> float | None:
        """`offset` as a share of the lane's width, -0.5..0.5, which needs no calibration; None unless both are seen."""
        return None if self.width is None or self.offset is None else self.offset / self.width

    @property
    def curvature(self) -> float | None:
        """One over the radius in metres, positive: the lane bends to the left; None without a calibration or lines,
        or where they are hidden so near that nobody could tell."""
        if not len(self) or not self.calibrated or self.ahead[1] < CLEAR:
            return None
        curve = self.curves[int(np.argmax(self.scores))]
        return float(2 * curve[2] / (1 + curve[1] ** 2) ** 1.5)

    def until(self, metres: float) -> LaneLines:
        """The same lines, seen only so far: what stands there hides the rest."""
        near, far = self.ahead
        return self if metres >= far else replace(self, ahead=(near, max(metres, 1.1 * near)))

    def middle(self, forward: npt.ArrayLike) -> Points:
        """Where the car goes: (N,) left in metres of the plane at each `forward` (N,): between the lines, beside one at
        half a usual lane's width, straight ahead without any."""
        at = np.asarray(forward, np.float64)
        if not len(self):
            return np.zeros(at.shape)
        shape = self.curves.mean(axis=0) if len(self) == 2 else self.curves[0]
        aside = 0.0 if len(self) == 2 else (-1.8 if self.sides[0] == 0 else 1.8)
        start = shape[0] + aside
        fade = np.clip(at / 10.0, 0, 1)                        # it is in its own place now, and keeps to the lane
        return np.asarray(start * fade + shape[1] * at + shape[2] * at**2, np.float64)

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`calibrated`; `lines`, each with `side`, `score`, its `points` in the picture and, calibrated, its `curve`;
        `offset_ratio`; and, calibrated, `offset_m`, `width_m`, `curvature_1_m`. What is not known is null."""
        lines = []
        for i, (side, score) in enumerate(zip(self.sides.tolist(), self.scores.tolist(), strict=True)):
            drawn = [[round(x, 1), round(y, 1)] for x, y in self.points(i, 8).tolist()]
            curve = {"curve": [float(f"{value:.4g}") for value in self.curves[i].tolist()]} if self.calibrated else {}
            lines.append({"side": SIDES[side], "score": round(score, 3), "points": drawn, **curve})
        found: dict[str, Any] = {"calibrated": self.calibrated, "lines": lines,
                                 "offset_ratio": _rounded(self.offset_share, 3)}
        if self.calibrated:
            found |= {"offset_m": _rounded(self.offset, 3), "width_m": _rounded(self.width, 2),
                      "curvature_1_m": _rounded(self.curvature, 6)}
        return found

    def _drawn(self, curve: Points, forward: Points) -> Floats:
        left = curve[0] + curve[1] * forward + curve[2] * forward**2
        return np.asarray(self.plane.pixels(np.column_stack([forward, left])), np.float32)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


@paint.register
def _(result: LaneLines, canvas: Canvas, names: Names) -> None:
    for i, score in enumerate(result.scores.tolist()):
        drawn = np.rint(result.points(i).clip(-1e4, 1e4) * 8).astype(np.int32)
        shade = _SHADE["sure" if score >= _SURE else "unsure"]
        cv2.polylines(canvas.image, [drawn], False, shade, canvas.thick(3), cv2.LINE_AA, shift=3)

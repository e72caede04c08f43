"""Where the car can go: the road in the picture, and how far it is free in each direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.geometry.ground import Ground
from vision.shown import Shown
from vision.types import Floats, Image, Names

ROAD = ("road", "drivable", "lane", "mark", "road marking")          # classes that one may drive on, of any list
_WORK = (160, 96)                  # pixels in which the colour of the road is looked for, width and height
_LOOKED = (0.93, 0.75)             # of the height: where the road is, right before the car; below is the bonnet
_HALF = 0.12                       # of the width: half of that place
_LIKE = 9.0                        # squared deviations from the road's colour: more is something else
_LEAST = (6.0, 3.0, 3.0)           # one deviation of lightness and of both colours, at least
_BEARINGS = 31


@dataclass(frozen=True, eq=False, repr=False)
class FreeSpace(Shown):
    """How far the road is free, direction by direction.

    angles: (K,) float32, radians from straight ahead, positive: to the left, from right to left, evenly spaced.
    ranges: (K,) float32, metres; infinite: free to the horizon; without a calibration not numbers.
    ratios: (K,) float32 in 0..1: up to where in the picture, from its lower edge (0) to the horizon (1).
    border: (K,2) float32, xy in frame pixels: where each direction ends.
    """

    angles: Floats
    ranges: Floats
    ratios: Floats
    border: Floats

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`angles` (first, last, in radians), `ratios` and, calibrated, `ranges_m`: null where free to the horizon."""
        known = not np.isnan(self.ranges).all()
        ranges = [round(r, 2) if np.isfinite(r) else None for r in self.ranges.tolist()]
        return {
            "angles": [round(float(self.angles[0]), 4), round(float(self.angles[-1]), 4)],
            "ratios": [round(r, 3) for r in self.ratios.tolist()],
            **({"ranges_m": ranges} if known else {}),
        }


def road_of(labels: npt.NDArray[np.uint8], names: Names) -> npt.NDArray[np.bool_]:
    """(H,W) bool: what one may drive on, by a class map (H,W) and the names of its classes."""
    wanted = [i for i, name in enumerate(names) if name.lower() in ROAD]
    return np.isin(labels, wanted)


def road_by_colour(image: Image, horizon: float) -> npt.NDArray[np.bool_]:
    """The road by the colour of what lies right before the car: (h,w) bool, small; the classical model, without
    weights.

    image: (H,W,3) uint8 BGR. horizon: its row in frame pixels."""
    small = cv2.resize(image, _WORK, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(cv2.GaussianBlur(small, (3, 3), 0), cv2.COLOR_BGR2LAB).astype(np.float32)
    width, height = _WORK
    low, high = (round(share * height) for share in _LOOKED)
    seed = lab[high:low, round((0.5 - _HALF) * width):round((0.5 + _HALF) * width)].reshape(-1, 3)
    middle = np.median(seed, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(seed - middle), axis=0), _LEAST)
    away = (((lab - middle) / (2 * spread)) ** 2).sum(axis=2)
    like = (away < _LIKE).astype(np.uint8)
    like[: max(0, round(horizon / image.shape[0] * height))] = 0
    like = cv2.morphologyEx(like, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))            # over lane markings
    like = cv2.morphologyEx(like, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, pieces = cv2.connectedComponents(like)
    place = pieces[high:low, round((0.5 - _HALF) * width):round((0.5 + _HALF) * width)]
    sizes = np.bincount(place.ravel(), minlength=count)
    sizes[0] = 0
    return np.asarray(pieces == int(np.argmax(sizes)), bool) if sizes.any() else np.zeros((height, width), bool)


def free_space(
    road: npt.NDArray[np.bool_], plane: Ground, calibrated: bool, boxes: Floats, bearings: int = _BEARINGS
) -> FreeSpace | None:
    """How far the road goes on from the car, direction by direction; None where the calibration places hardly anything
    of the picture's lower edge on the ground, or the horizon so low that only the bonnet is below it. A lens that says
    nothing of the corners narrows the directions.

    road: (h,w) bool at any size, of the whole frame. plane: of the frame; calibrated: whether its metres are metres.
    boxes: (N,4) xyxy in frame pixels of what stands on the road. bearings: how many directions."""
    width, height = plane.size_wh
    h, w = road.shape
    edge = 0.5 / bearings * width
    lowest = plane.metres(np.column_stack([np.linspace(width - edge, edge, 4 * bearings),
                                           np.full(4 * bearings, height - 1.0)]))
    lowest = lowest[np.isfinite(lowest).all(axis=1)]
    if len(lowest) < 2:
        return None
    corners = lowest[[0, -1]]
    last, first = np.arctan2(corners[:, 1], corners[:, 0]).tolist()
    angles = np.linspace(last, first, bearings)
    reach = 2 * float(np.hypot(*corners.T).max())                       # a direction is a column of the picture
    columns = plane.pixels(reach * np.column_stack([np.cos(angles), np.sin(angles)]))[:, 0].clip(0, width - 1)
    if np.isnan(columns).any():
        return None
    horizon = float(np.clip(plane.horizon(), 0, height - 2))
    across, down = w / width, h / height
    at = np.clip((columns * across).astype(int), 0, w - 1)
    start = min(h - 1, round(_LOOKED[0] * h))
    rows = np.arange(start, max(0, round(horizon * down)) - 1, -1)
    if not len(rows):
        return None
    strip = road[rows][:, at].astype(np.uint8)                            # (R,K) from the car to the horizon
    run = np.cumprod(cv2.dilate(strip, np.ones((3, 1), np.uint8)), axis=0).sum(axis=0)       # a gap of a row is none
    run = np.where(strip[: max(2, len(rows) // 12)].any(axis=0), run, 0)
    ends = np.where(run > 0, rows[np.clip(run - 1, 0, len(rows) - 1)] / down, height)
    hit = np.zeros(bearings, bool)
    for left, _, right, bottom in boxes.tolist():
        inside = (columns >= left) & (columns <= right) & (bottom > ends)
        ends, hit = np.where(inside, min(bottom, height - 1.0), ends), hit | inside
    ratios = np.clip((height - ends) / max(height - horizon, 1), 0, 1)
    border = np.column_stack([columns, ends])
    place = np.hypot(*plane.metres(border).T)
    open_road = (run >= len(rows) - 1) & ~hit
    ranges = np.where(open_road | np.isnan(place), np.inf, np.where((run == 0) & ~hit, 0.0, place))
    ranges = ranges if calibrated else np.full(bearings, np.nan)
    return FreeSpace(*(part.astype(np.float32) for part in (angles, ranges, ratios, border)))

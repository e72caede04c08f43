"""What is counted: lines, zones and the ground, from a small TOML file.

    anchor = "bottom"                # the point of a box that counts: bottom (its feet) or centre
    size = [768, 576]                # optional: the frame that the coordinates are for

    [[line]]
    name = "door"
    start = [100, 300]               # standing at `start`, looking to `end`:
    end = [400, 300]
    right = "in"                     # what a crossing to the right hand is called
    left = "out"

    [[zone]]
    name = "queue"
    points = [[10, 10], [200, 10], [200, 300]]

    [ground]                         # four points of the picture and where they are, in metres
    image = [[0, 0], [100, 0], [100, 50], [0, 50]]
    metres = [[0, 0], [12, 0], [12, 30], [0, 30]]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import DataError
from vision.files import read_toml
from vision.types import Floats

_MOST = 500                               # lines, zones, and points of a zone: each is compared with each
_FARTHEST = 1e6                           # pixels or metres
Point = tuple[float, float]
Points = npt.NDArray[np.float64]          # (N,2)


@dataclass(frozen=True)
class Line:
    """A directed line in frame pixels. right, left: what a crossing to that hand is called."""

    name: str
    start: Point
    end: Point
    right: str = "right"
    left: str = "left"

    def __post_init__(self) -> None:
        if not np.isfinite([self.start, self.end]).all() or self.start == self.end:
            raise DataError(f"line {self.name!r} needs two points that differ; got {self.start}, {self.end}.")
        if self.right == self.left:
            raise DataError(f"line {self.name!r} calls both directions {self.right!r}; give two names.")

    def distance(self, points: Points) -> Points:
        """(N,) signed pixels from the line's whole length; positive to the right hand."""
        (ax, ay), (bx, by) = self.start, self.end
        turn = (bx - ax) * (points[:, 1] - ay) - (by - ay) * (points[:, 0] - ax)
        return np.asarray(turn / math.hypot(bx - ax, by - ay), np.float64)

    def along(self, point: Point) -> float:
        """Where a point lies along the line: 0 at its start, 1 at its end."""
        step = np.subtract(self.end, self.start)
        return float(np.subtract(point, self.start) @ step / (step @ step))


@dataclass(frozen=True)
class Zone:
    """A polygon in frame pixels that does not cross itself."""

    name: str
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        n = len(self.points)
        if n < 3:
            raise DataError(f"zone {self.name!r} needs at least three points; got {n}.")
        if not np.isfinite(self.points).all():
            raise DataError(f"zone {self.name!r} has a point that is not finite.")
        sides = [(self.points[i], self.points[(i + 1) % n]) for i in range(n)]
        for i, (start, end) in enumerate(sides):
            if start == end:
                raise DataError(
                    f"zone {self.name!r} has the same point twice in a row ({i + 1} and {(i + 1) % n + 1}). "
                    "Leave one out: a zone closes by itself."
                )
        for i, j in combinations(range(n), 2):
            neighbours = j - i == 1 or (i == 0 and j == n - 1)
            if not neighbours and _cross(*sides[i], *sides[j]):
                raise DataError(
                    f"zone {self.name!r} crosses itself (sides {i + 1} and {j + 1}). Reorder its points."
                )
        if cv2.contourArea(self._contour) < 1:
            raise DataError(f"zone {self.name!r} has no area.")

    @property
    def _contour(self) -> Floats:
        return np.array(self.points, np.float32).reshape(-1, 1, 2)

    def distance(self, points: Points) -> Points:
        """(N,) signed pixels from the border; positive inside."""
        contour = self._contour
        return np.array([cv2.pointPolygonTest(contour, (x, y), True) for x, y in points.tolist()], np.float64)


@dataclass(frozen=True)
class Ground:
    """Four points of the picture and where they lie on the ground, in metres.

    error: standard deviation of a reference point in the picture, in pixels.
    """

    image: tuple[Point, ...]
    metres: tuple[Point, ...]
    error: float = 2.0

    def __post_init__(self) -> None:
        if type(self.error) not in (int, float) or not 0 < self.error <= _FARTHEST:
            raise DataError(f"ground.error is pixels, more than 0; got {self.error!r:.40}.")
        for name, points in (("image", self.image), ("metres", self.metres)):
            if len(points) != 4:
                raise DataError(f"ground.{name} needs four points; got {len(points)}.")
            if not np.isfinite(points).all():
                raise DataError(f"ground.{name} has a point that is not finite.")
            if min(_area(three) for three in combinations(points, 3)) < 1e-6:
                raise DataError(f"three of the points of ground.{name} lie on a line: they fix no plane.")
        depth = np.column_stack([self.image, np.ones(4)]) @ self.homography()[2]
        if not ((depth > 0).all() or (depth < 0).all()):
            raise DataError(
                "ground.image and ground.metres do not fit: give the same four places in the same order."
            )

    def homography(self) -> Points:
        """(3,3) from pixels to metres."""
        image, metres = np.array(self.image, np.float32), np.array(self.metres, np.float32)
        return np.asarray(cv2.getPerspectiveTransform(image, metres), np.float64)


@dataclass(frozen=True)
class Scene:
    """Everything that is counted in one view. size_wh: the frame that the coordinates are for."""

    lines: tuple[Line, ...] = ()
    zones: tuple[Zone, ...] = ()
    ground: Ground | None = None
    anchor: Literal["bottom", "centre"] = "bottom"
    size_wh: tuple[int, int] | None = field(default=None)

    def __post_init__(self) -> None:
        names = [line.name for line in self.lines] + [zone.name for zone in self.zones]
        if len(set(names)) < len(names):
            raise DataError(f"every line and zone needs a name of its own; got {', '.join(names)}.")
        if self.anchor not in ("bottom", "centre"):
            raise DataError(f"anchor must be 'bottom' or 'centre'; got {self.anchor!r}.")

    def anchors(self, boxes: Floats) -> Points:
        """The point of each box that counts: (N,4) xyxy -> (N,2)."""
        y = boxes[:, 3] if self.anchor == "bottom" else (boxes[:, 1] + boxes[:, 3]) / 2
        return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, y], axis=1).astype(np.float64)

    def fits(self, size_wh: tuple[int, int]) -> None:
        """Raises DataError where the scene was drawn for frames of another size."""
        if self.size_wh is not None and tuple(size_wh) != tuple(self.size_wh):
            raise DataError(
                f"the scene is for {self.size_wh[0]}x{self.size_wh[1]} pixels, the frames have "
                f"{size_wh[0]}x{size_wh[1]}. Scale its points, or correct its size."
            )


def read_scene(path: str | Path) -> Scene:
    """The scene in a TOML file. Raises DataError, which names the key that is wrong."""
    values = read_toml(Path(path))
    try:
        _only(values, {"anchor", "size", "line", "zone", "ground"}, "scene")
        lines, zones = values.get("line", []), values.get("zone", [])
        if not (isinstance(lines, list) and isinstance(zones, list)):
            raise DataError("each line is a [[line]], each zone a [[zone]], in double brackets.")
        if len(lines) + len(zones) > _MOST:
            raise DataError(f"at most {_MOST} lines and zones; got {len(lines) + len(zones)}.")
        for line in lines:
            _only(line, {"name", "start", "end", "right", "left"}, "line")
        for zone in zones:
            _only(zone, {"name", "points"}, "zone")
        ground = values.get("ground")
        if ground is not None:
            _only(ground, {"image", "metres", "error"}, "ground")
            image, metres = _points(ground["image"]), _points(ground["metres"])
            ground = Ground(**{**ground, "image": image, "metres": metres})
        width, height = _point(values.get("size", [0, 0]))
        if "size" in values and not min(width, height) >= 1:
            raise ValueError(f"size is width and height in pixels, at least 1; got {values['size']}")
        return Scene(
            tuple(Line(**{**v, "start": _point(v["start"]), "end": _point(v["end"])}) for v in lines),
            tuple(Zone(v["name"], _points(v["points"])) for v in zones),
            ground, values.get("anchor", "bottom"), (int(width), int(height)) if width else None,
        )
    except KeyError as error:
        raise DataError(f"{str(path)!r}: the key {error} is missing.") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{str(path)!r}: {error}") from error
    except DataError as error:
        raise DataError(f"{str(path)!r}: {error}") from error


def _only(values: Mapping[str, Any], known: set[str], where: str) -> None:
    if not isinstance(values, Mapping):
        raise DataError(f"a {where} is a table of keys and values; got {values!r:.40}.")
    for key in {"name", "right", "left", "anchor"} & set(values):
        if not isinstance(values[key], str):
            raise DataError(f"{key} of a {where} is a text; got {values[key]!r:.40}.")
    unknown = set(values) - known
    if unknown:
        raise DataError(f"unknown {where} key {sorted(unknown)[0]!r}; known: {', '.join(sorted(known))}.")


def _point(value: Any) -> Point:
    if not isinstance(value, list) or len(value) != 2 or any(type(one) not in (int, float) for one in value):
        raise DataError(f"a point is two numbers, [x, y]; got {value!r:.40}.")
    if not all(abs(one) <= _FARTHEST for one in value):
        raise DataError(f"a point lies within {_FARTHEST:g} of the corner; got {value!r:.60}.")
    return float(value[0]), float(value[1])


def _points(values: Any) -> tuple[Point, ...]:
    if not isinstance(values, list) or len(values) > _MOST:
        raise DataError(f"points are a list of at most {_MOST}, [[x, y], ...]; got {values!r:.40}.")
    return tuple(_point(value) for value in values)


def _area(points: tuple[Point, ...]) -> float:
    (ax, ay), (bx, by), (cx, cy) = points
    return abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) / 2


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd meet."""
    def side(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    def within(p: Point, q: Point, r: Point) -> bool:
        return min(p[0], q[0]) <= r[0] <= max(p[0], q[0]) and min(p[1], q[1]) <= r[1] <= max(p[1], q[1])

    s, t, u, v = side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b)
    if s * t < 0 and u * v < 0:
        return True
    return any(w == 0 and within(p, q, r) for w, p, q, r in
               ((s, a, b, c), (t, a, b, d), (u, c, d, a), (v, c, d, b)))

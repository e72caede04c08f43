"""Faces that must not be seen: found in every frame, held across gaps, and made unreadable.

A detector misses a face now and then: when it turns, when somebody walks past. What is covered in a frame are the faces
that were found in it, and those that were there a moment before or will be a moment later, where they were or in
between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from vision.boxes import iou
from vision.types import Floats, Image, Names, _Rows

_SAME = 0.15                    # boxes of two frames that overlap by this, once enlarged, are one face
_CELLS = 5                      # across a covered face


@dataclass(frozen=True, eq=False, repr=False)
class Covered(_Rows):
    """The faces that are covered in a frame.

    boxes: (N,4) float32, xyxy of the faces in frame pixels; what is covered is larger.
    seen: (N,) bool, whether each was found in this very frame; else it is known from frames before or after.
    """

    boxes: Floats
    seen: npt.NDArray[np.bool_]

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {"boxes": (np.float32, (-1, 4)), "seen": (bool, (-1,))}

    def holds(self, boxes: Floats) -> npt.NDArray[np.bool_]:
        """(N,) bool, which of the faces in `boxes` (N,4) xyxy are among those that are covered: their centre lies in
        one."""
        centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2                     # (N,1,2)
        inside = (centres >= self.boxes[None, :, :2]) & (centres <= self.boxes[None, :, 2:])
        return np.asarray(np.any(np.all(inside, axis=2), axis=1), bool)

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`{"objects": [{"label", "class_id", "box", "seen"}, ...]}`, pixels to 0.01."""
        return {"objects": [
            {"label": "face", "class_id": 0, "box": [round(v, 2) for v in box], "seen": seen}
            for box, seen in zip(self.boxes.tolist(), self.seen.tolist(), strict=True)
        ]}


@dataclass
class Seen:
    """The faces of a frame. time: seconds. boxes: by the face's number, (4,) xyxy."""

    time: float
    boxes: dict[int, Floats] = field(default_factory=dict)


class Linker:
    """Gives the faces of a video numbers, so that one who is missed in between keeps theirs.

    bridge: seconds for which a face that is not seen is remembered.
    """

    def __init__(self, bridge: float) -> None:
        self.bridge, self._next = bridge, 1
        self._last: dict[int, tuple[float, Floats]] = {}

    def __call__(self, boxes: Floats, time: float) -> Seen:
        """The faces of the next frame: boxes (N,4) xyxy, best first, at `time` seconds."""
        self._last = {i: one for i, one in self._last.items() if 0 <= time - one[0] <= self.bridge}
        known, seen = list(self._last), Seen(time)
        likeness = iou(larger(boxes, 1.5), larger(np.array([self._last[i][1] for i in known]).reshape(-1, 4), 1.5))
        for row, column in _pairs(likeness):
            seen.boxes[known[column]] = boxes[row]
            likeness[row] = -1                               # it has its number
        for row in np.flatnonzero((likeness >= 0).all(axis=1)).tolist():
            seen.boxes[self._next] = boxes[row]
            self._next += 1
        self._last |= {i: (time, box) for i, box in seen.boxes.items()}
        return seen

    def state(self) -> dict[str, Any]:
        """All that it remembers, in plain values and arrays."""
        return {"next": self._next, "last": [[i, time, box] for i, (time, box) in self._last.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self._next = int(state["next"])
        self._last = {int(i): (float(time), np.asarray(box, np.float32)) for i, time, box in state["last"]}


def _pairs(likeness: Floats) -> list[tuple[int, int]]:
    """The likeliest pairs of rows and columns, each in one pair at most."""
    found, left = [], likeness.copy()
    while left.size and left.max() >= _SAME:
        row, column = divmod(int(left.argmax()), left.shape[1])
        found.append((row, column))
        left[row], left[:, column] = -1, -1
    return found


def bridged(frames: Sequence[Seen], at: int, bridge: float) -> dict[int, Floats]:
    """The faces to cover in frame `at` of `frames`: those seen in it, and those seen within `bridge` seconds before or
    after: between the two places where both are known, else where they are, a little enlarged."""
    here = frames[at]
    found = dict(here.boxes)
    before: dict[int, tuple[float, Floats]] = {}
    after: dict[int, tuple[float, Floats]] = {}
    for one in frames[:at]:
        if here.time - one.time <= bridge:
            before |= {i: (one.time, box) for i, box in one.boxes.items()}
    for one in reversed(frames[at + 1 :]):
        if one.time - here.time <= bridge:
            after |= {i: (one.time, box) for i, box in one.boxes.items()}
    for i in (before.keys() | after.keys()) - found.keys():
        if i in before and i in after:
            (start, first), (end, last) = before[i], after[i]
            share = (here.time - start) / max(end - start, 1e-9)
            found[i] = (first + (last - first) * np.float32(share)).astype(np.float32)
        else:
            found[i] = larger((before[i] if i in before else after[i])[1][None], 1.25)[0]
    return found


def larger(boxes: Floats, factor: float) -> Floats:
    """Boxes (N,4) xyxy, so many times as wide and high around their middles."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * factor
    return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)


def covered(image: Image, boxes: Floats, factor: float) -> Image:
    """A copy of the picture (H,W,3) with a few squares of one colour in place of each face.

    boxes: (N,4) xyxy of the faces. factor: how much larger what is covered is; the colours are those of the face's
    parts, so that a face of any size is left with 5 by 5 numbers.
    """
    image = image.copy()
    height, width = image.shape[:2]
    for left, top, right, bottom in larger(boxes, factor).tolist():
        x, y = max(0, int(np.floor(left))), max(0, int(np.floor(top)))
        part = image[y : max(0, min(height, int(np.ceil(bottom)))), x : max(0, min(width, int(np.ceil(right))))]
        if part.size:
            cells = min(_CELLS, part.shape[1]), min(_CELLS, part.shape[0])
            small = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
            part[:] = cv2.resize(small, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return image

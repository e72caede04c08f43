"""One chosen object: what a follower is, and OpenCV's MIL behind the same face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import UsageError
from vision.shown import Shown
from vision.state import State
from vision.types import Floats, Image, Names
from vision.view import checked_image


@dataclass(frozen=True, eq=False, repr=False)
class Target(Shown):
    """Where the chosen object is.

    box: (4,) float32, xyxy in frame pixels; while it is lost, where it was last.
    score: 0..1, how much what is there now looks like it.
    lost: whether it is not there, or cannot be told from its surroundings.
    """

    box: Floats
    score: float
    lost: bool

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """`{"objects": [...], "lost"}`: an object with id 1, none while it is lost."""
        entry = {"label": "target", "class_id": 0, "score": round(self.score, 4),
                 "box": [round(v, 2) for v in self.box.tolist()], "id": 1}
        return {"objects": [] if self.lost else [entry], "lost": self.lost, "score": round(self.score, 4)}


class Follower(Protocol):
    """Follows what was in one box: `Follower(image, box, time)`, then `follower(image, time)` a frame.

    image: (H,W,3) uint8 BGR. box: (4,) xyxy in pixels, inside the frame. time: seconds. Raises UsageError for
    another picture or box.
    """

    def __init__(self, image: Image, box: Floats, time: float) -> None: ...

    def __call__(self, image: Image, time: float) -> Target:
        """Where it is now; a lost object is looked for in every frame until it is found again."""
        ...

    def state(self) -> State:
        """All that it remembers: plain values and arrays, which later frames do not change. Raises UsageError
        where it cannot be known."""
        ...

    def restore(self, state: State) -> None:
        """Go on from the `state` of another one; the picture and the box that this one was begun with do not
        matter then."""
        ...


def checked_box(box: Any, image: Image) -> Floats:
    """The box as (4,) float32, cut to the frame. Raises UsageError where fewer than 8x8 pixels are left."""
    values = np.asarray(box, np.float32).reshape(-1)
    height, width = checked_image(image).shape[:2]
    if values.shape != (4,) or not np.isfinite(values).all():
        raise UsageError(f"a box to follow is left, top, right, bottom in pixels; got {box}.")
    cut = np.clip(values, 0, [width, height, width, height]).astype(np.float32)
    if (cut[2:] - cut[:2] < 8).any():
        raise UsageError(
            f"a box to follow needs 8x8 pixels inside the frame of {width}x{height}; got {values.tolist()}."
        )
    return cut


def grey_of(image: Image) -> npt.NDArray[np.uint8]:
    """(H,W) uint8. Raises UsageError for another picture than (H,W,3) uint8."""
    return np.asarray(cv2.cvtColor(checked_image(image), cv2.COLOR_BGR2GRAY), np.uint8)


_MIL_LOST = 0.5                  # correlation with the patches that are known, below which it is lost
_MIL_FOUND = 0.65                # ... and from which it is found again, and the patch is known


class Mil:
    """OpenCV's multiple instance learning (Babenko, Yang and Belongie 2009); its size does not change.

    MIL itself never says that it lost its object. Here the score is the correlation of what it found
    with the patches of the start and of the last frame that was sure, and it begins again at the place
    in the whole frame that is most like the first patch.
    """

    def __init__(self, image: Image, box: Floats, time: float = 0.0) -> None:
        self._box = checked_box(box, image)
        self._first = self._last = _patch(grey_of(image), self._box)
        self._begin(image, self._box)

    def __call__(self, image: Image, time: float) -> Target:
        """Where it is now."""
        grey = grey_of(image)
        _, (x, y, w, h) = self._tracker.update(image)
        box = np.array([x, y, x + w, y + h], np.float32)
        score = self._score(grey, box)
        if score < _MIL_LOST:
            elsewhere = most_alike(grey, self._first, self._box)
            again = self._score(grey, elsewhere)
            if again < _MIL_FOUND:
                return Target(self._box, score, True)
            box, score = elsewhere, again
            self._begin(image, box)
        if score > _MIL_FOUND:
            self._last = _patch(grey, box)
        self._box = box
        return Target(box, score, False)

    def state(self) -> State:
        """Raises UsageError: OpenCV does not hand out what MIL remembers."""
        raise UsageError("MIL of OpenCV keeps its state to itself; use dsst or ivt to resume.")

    def restore(self, state: State) -> None:
        """Raises UsageError, as `state`."""
        self.state()

    def _begin(self, image: Image, box: Floats) -> None:
        left, top, right, bottom = np.rint(box).astype(int).tolist()
        self._tracker = cv2.TrackerMIL.create()
        self._tracker.init(image, (left, top, right - left, bottom - top))

    def _score(self, grey: npt.NDArray[np.uint8], box: Floats) -> float:
        patch = _patch(grey, box)
        return float(np.clip(max(_correlation(patch, self._first), _correlation(patch, self._last)), 0, 1))


def most_alike(grey: npt.NDArray[np.uint8], patch: npt.NDArray[np.uint8], box: Floats) -> Floats:
    """The place of the frame that is most like `patch`, at the size of `box`: (4,) xyxy."""
    w, h = (box[2:] - box[:2]).tolist()
    shrink = min(1.0, 24 / min(w, h))
    small = cv2.resize(grey, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    template = cv2.resize(patch, (max(4, round(w * shrink)), max(4, round(h * shrink))))
    if (np.array(template.shape) > small.shape).any():
        return box
    x, y = np.array(cv2.minMaxLoc(cv2.matchTemplate(small, template, cv2.TM_CCOEFF_NORMED))[3]) / shrink
    return np.array([x, y, x + w, y + h], np.float32)


def _patch(grey: npt.NDArray[np.uint8], box: Floats) -> npt.NDArray[np.uint8]:
    left, top, right, bottom = box.tolist()
    patch = cv2.getRectSubPix(grey, (max(1, round(right - left)), max(1, round(bottom - top))),
                              ((left + right - 1) / 2, (top + bottom - 1) / 2))
    return np.asarray(cv2.resize(patch, (32, 32), interpolation=cv2.INTER_AREA), np.uint8)


def _correlation(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float(cv2.matchTemplate(a, b, cv2.TM_CCOEFF_NORMED).item())

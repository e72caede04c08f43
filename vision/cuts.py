"""Where a film cuts to another scene, so that nothing is followed from one into the next."""

from __future__ import annotations

import cv2
import numpy as np

from vision.state import State, put_back, snapshot
from vision.types import Floats, Image

_SIDE = 64                     # pixels of the longer side of what is compared
_STILL, _MOVED = 0.35, 0.65    # correlation below which a picture is another one, in place and with its middle moved
_COLOURS = 0.4                 # Bhattacharyya's distance of the colours above which it is
_FLAT = 4.0                    # deviation of grey levels below which a picture shows nothing
_REMEMBERED = ("_last",)


class SceneCuts:
    """`cuts(image) -> bool`: whether a frame shows another scene than the one before it. One instance a film.

    A cut is a frame that correlates with the last one neither in place nor with its middle moved anywhere (which a
    fast pan does), and whose colours are others (which those of a broken or flickering frame seldom are). All three
    must say so: a cut that is missed costs a box that stays too long, a false one costs every id. Frames that show
    nothing, black ones above all, are passed over: what comes after them is compared with what was before. Dissolves
    are no cuts. Lienhart 1999, "Comparison of automatic shot boundary detection algorithms", compares such
    measures.
    """

    def __init__(self) -> None:
        self._last: Image | None = None

    def state(self) -> State:
        """All that it remembers: plain values and arrays, which later frames do not change."""
        return snapshot(self, _REMEMBERED)

    def restore(self, state: State) -> None:
        """Go on from the `state` of another one."""
        put_back(self, _REMEMBERED, state)

    def __call__(self, image: Image) -> bool:
        """Of `image` (H,W,3) uint8 BGR; False for the first frame. One of another shape is a cut."""
        height, width = image.shape[:2]
        scale = _SIDE / max(height, width)
        step = max(1, int(0.25 / scale))                 # every pixel would cost more, and tell no more
        some = cv2.resize(image, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_NEAREST)
        size = max(8, round(scale * width)), max(8, round(scale * height))
        now = cv2.resize(some, size, interpolation=cv2.INTER_AREA)
        if cv2.meanStdDev(cv2.cvtColor(now, cv2.COLOR_BGR2GRAY))[1] < _FLAT:
            return False
        last, self._last = self._last, now
        return last is not None and (last.shape != now.shape or _another(last, now))


def _another(before: Image, after: Image) -> bool:
    grey = cv2.cvtColor(before, cv2.COLOR_BGR2GRAY), cv2.cvtColor(after, cv2.COLOR_BGR2GRAY)
    if _correlation(*grey) >= _STILL:
        return False
    down, right = grey[0].shape[0] // 4, grey[0].shape[1] // 4
    middles = [one[down:-down, right:-right] for one in grey]
    if max(_correlation(grey[1], middles[0]), _correlation(grey[0], middles[1])) >= _MOVED:
        return False
    colours = [_colours(one) for one in (before, after)]
    return cv2.compareHist(colours[0], colours[1], cv2.HISTCMP_BHATTACHARYYA) > _COLOURS


def _correlation(where: Image, what: Image) -> float:
    """The highest, wherever `what` lies."""
    return float(cv2.matchTemplate(where, what, cv2.TM_CCOEFF_NORMED).max())


def _colours(image: Image) -> Floats:
    """A histogram of hue, saturation and value, whose sum is 1."""
    colours = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    counted = cv2.calcHist([colours], [0, 1, 2], None, [8, 4, 8], [0, 180, 0, 256, 0, 256])
    return np.asarray(counted / counted.sum(), np.float32)

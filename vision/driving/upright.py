"""Whether a camera hangs upside down: nothing that is said of the road holds then, so it is told."""

from __future__ import annotations

import cv2
import numpy as np

from vision.driving.finder import LaneFinder
from vision.state import State, put_back, snapshot
from vision.types import ClassMap, Image, Names

NOTE = ("the camera seems to be upside down: what is said of the lane and the road does not hold. Turn the video by "
        "180 degrees before, for example `ffmpeg -i IN -vf hflip,vflip OUT`.")
_EVERY, _LOOKS = 1.0, 8                        # seconds between two looks at the picture; how many there are
_DARKER, _FEWER = -0.5, -0.15                  # than these is the upper third, and are the lines, of a turned picture
_SKY, _LEAST_SKY = 0.5, 0.03                   # of the height: the middle of the sky; of the picture: its share
_MOST = 0.8                                    # of the class maps with a sky have it below, from `_LEAST_MAPS` on
_LEAST_MAPS = 2


class Upright:
    """What speaks for and against a camera that is upside down, in one stream.

    Pictures (`look`): in eight of them, a second apart, the upper third is on average darker than the lower one, and
    lane lines are clearer in the picture turned by 180 degrees. At night the first is so, and the second is not. In
    streets without lines neither needs to be so, and it is not told. Class maps (`sky`): most of the sky lies below.
    """

    _FIELDS = ("_next", "_looks", "_lighter", "_clearer", "_maps", "_below")

    def __init__(self) -> None:
        self._next, self._looks = -np.inf, 0
        self._lighter = self._clearer = 0.0               # sums over looks
        self._maps = self._below = 0

    def look(self, image: Image, time: float) -> None:
        """Look at a frame (H,W,3) uint8 BGR at `time` seconds, where a look is due."""
        if self._looks >= _LOOKS or time < self._next:
            return
        self._next, self._looks = time + _EVERY, self._looks + 1
        self._lighter += _lighter_above(image)
        self._clearer += _lines(image) - _lines(np.ascontiguousarray(image[::-1, ::-1]))

    def sky(self, area: ClassMap, names: Names) -> None:
        """Look at a class map for where the sky is."""
        labels = area.labels[::4, ::4]
        sky = np.isin(labels, [i for i, name in enumerate(names) if name.lower() == "sky"])
        if sky.mean() >= _LEAST_SKY:
            self._maps += 1
            self._below += bool(np.nonzero(sky)[0].mean() > _SKY * len(labels))

    @property
    def notes(self) -> tuple[str, ...]:
        """That it is upside down, where it is."""
        by_sky = self._maps >= _LEAST_MAPS and self._below >= _MOST * self._maps
        darker, fewer = self._lighter < _DARKER * self._looks, self._clearer < _FEWER * self._looks
        return (NOTE,) if by_sky or (darker and fewer) else ()

    def state(self) -> State:
        """What was seen so far."""
        return snapshot(self, self._FIELDS)

    def restore(self, state: State) -> None:
        """Go on where `state` was asked for."""
        put_back(self, self._FIELDS, state)


def _lighter_above(image: Image) -> float:
    """By how many standard deviations of its lightness the upper third of a picture is lighter than the lower one."""
    grey = cv2.cvtColor(cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY).astype(float)
    return float((grey[:10].mean() - grey[-10:].mean()) / max(float(grey.std()), 1.0))


def _lines(image: Image) -> float:
    """How clear both lane lines are in a picture by itself, 0..2."""
    height, width = image.shape[:2]
    return float(LaneFinder((width, height))(image, 0.0).scores.sum())

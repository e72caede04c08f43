"""Open, closed, or cannot tell: the eyes' state, blinks, and where they look.

The openness is the gap between the lids over the eye's width (the aspect ratio of Soukupova and
Cech 2016), seen closely by the iris network. A state is claimed only for an eye that can be seen:
large, sharp, turned to the camera and not behind dark glass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.people.mesh import IRIS_MM
from vision.types import Floats, Image

Flags = npt.NDArray[np.bool_]

TYPICAL = 0.29                  # the aspect of an open eye, until the person's own is known
_OPEN, _CLOSED = 0.65, 0.48     # shares of the open aspect: above, below; in between the last state holds
_PLAUSIBLE = 0.15               # an aspect below this says nothing about how far the eye opens
_EYE_MM = 25.9                  # between the corners, on the metric face
_BALL_MM = 12.0                 # the radius of an eyeball
_MAX_YAW, _MAX_PITCH = 35.0, 30.0
_MIN_WIDTH = 12.0               # pixels of the frame
_MIN_SHARP = 0.09               # standard deviation of the Laplacian over that of the grey levels
_DARK, _FLAT = 0.45, 0.10       # of the skin below the eye: its bright parts, its contrast


class Eye(IntEnum):
    """What an eye is; `UNKNOWN` where that cannot be told."""

    UNKNOWN = 0
    OPEN = 1
    CLOSED = 2


def aspect(lids: Floats) -> Floats:
    """(...,16,2) lids, lower then upper, outer to inner corner -> (...) gap over width."""
    gaps = np.linalg.norm(lids[..., 3:6, :] - lids[..., 11:14, :], axis=-1).mean(axis=-1)
    width = np.linalg.norm(lids[..., 0, :] - lids[..., 8, :], axis=-1)
    return np.asarray(gaps / np.maximum(width, 1e-6), np.float32)


def visible(closeup: Image, lids: Floats, width: float) -> bool:
    """Whether an eye can be judged: closeup (64,64,3), its lids (16,2) in closeup pixels, and its
    width in pixels of the frame."""
    grey = cv2.cvtColor(closeup, cv2.COLOR_BGR2GRAY)
    spread = max(1.0, float(grey.std()))
    if width < _MIN_WIDTH or cv2.Laplacian(grey, cv2.CV_32F).std() / spread < _MIN_SHARP:
        return False
    outline = np.rint(np.concatenate([lids[:9], lids[:8:-1]])).astype(np.int32)
    mask = cv2.dilate(cv2.fillPoly(np.zeros_like(grey), [outline], 1), np.ones((3, 3), np.uint8))
    eye, skin = grey[mask > 0].astype(np.float32), max(1.0, float(np.median(grey[46:62, 16:48])))
    dark_glass = np.percentile(eye, 85) < _DARK * skin and eye.std() < _FLAT * skin
    return not dark_glass


def facing(angles: Floats) -> Flags:
    """(N,3) yaw, pitch, roll -> (N,): whether the eyes are turned to the camera enough."""
    return (np.abs(angles[:, 0]) <= _MAX_YAW) & (np.abs(angles[:, 1]) <= _MAX_PITCH)


def states(aspects: Floats, seen: Flags, reference: float | Floats = TYPICAL) -> npt.NDArray[np.int64]:
    """Aspects (...) of eyes that are `seen` (...) -> `Eye` (...), by their share of `reference`."""
    share = aspects / reference
    told = np.where(share >= _OPEN, Eye.OPEN, np.where(share <= _CLOSED, Eye.CLOSED, Eye.UNKNOWN))
    return np.where(seen, told, Eye.UNKNOWN).astype(np.int64)


def gaze(lids: Floats, irises: Floats, angles: Floats) -> Floats:
    """Where faces look: (N,2) degrees to the right of the picture and up, for an eye that looks
    into the camera 0. lids (N,2,16,2), irises (N,2,5,2) in frame pixels, angles (N,3) of the heads.
    A rough guide: the eyeball is a sphere of 12 mm that is centred between the corners."""
    corner, other = lids[:, :, 0], lids[:, :, 8]
    along = other - corner
    along = along * np.array([1.0, -1.0])[None, :, None]          # both point to the picture's right
    width = np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-6)
    along = along / width
    away = (irises[:, :, 0] - (corner + other) / 2) / width * _EYE_MM / _BALL_MM
    right = (away * along).sum(axis=-1).mean(axis=1)
    down = (away[..., 1] * along[..., 0] - away[..., 0] * along[..., 1]).mean(axis=1)
    turned = np.rad2deg(np.arcsin(np.clip(np.stack([right, -down], axis=-1), -1, 1)))
    return np.asarray(angles[:, :2] + turned, np.float32)


def distance(irises: Floats, focal: float) -> Floats:
    """(N,) metres from irises (N,2,5,2) in frame pixels, by the wider of the two; focal in pixels."""
    wide = np.linalg.norm(irises[:, :, 1] - irises[:, :, 3], axis=-1).max(axis=1)
    return np.asarray(focal * IRIS_MM / np.maximum(wide, 1e-6) / 1000, np.float32)


@dataclass(frozen=True)
class Blink:
    """Both eyes closed.

    start, end: seconds.
    """

    start: float
    end: float


class EyeWatch:
    """One person's eyes over time: how far they open, their states, and the blinks.

    longest_blink: seconds; eyes that stay closed for longer do not count as a blink.

    `blinks` has those seen so far, in their order.
    """

    def __init__(self, longest_blink: float = 0.5) -> None:
        self.longest_blink = longest_blink
        self.blinks: list[Blink] = []
        self._aspects: deque[float] = deque(maxlen=200)
        self._states = np.zeros(2, np.int64)
        self._open_since: float | None = None
        self._closed_since: float | None = None
        self._time = 0.0

    @property
    def reference(self) -> float:
        """The aspect of this person's open eyes: a typical one at first, their own after a few seconds."""
        own = len(self._aspects)
        level = float(np.percentile(self._aspects, 75)) if own else TYPICAL
        return (own * level + 40 * TYPICAL) / (own + 40)

    def __call__(self, aspects: Floats, seen: Flags, time: float) -> npt.NDArray[np.int64]:
        """The states (2,) of the right and left eye, an `Eye` each.

        aspects: (2,) gap between the lids over the eye's width.
        seen: (2,) bool, whether each eye can be judged.
        time: seconds.
        """
        self._aspects.extend(a for a, s in zip(aspects.tolist(), seen, strict=True) if s and a > _PLAUSIBLE)
        told = states(aspects, seen, self.reference)
        between = seen & (told == Eye.UNKNOWN)
        self._states = np.where(between, self._states, told)
        self._time = time
        self._follow(time)
        return self._states

    def _follow(self, time: float) -> None:
        if (self._states == Eye.OPEN).all():
            if self._closed_since is not None and time - self._closed_since <= self.longest_blink:
                self.blinks.append(Blink(self._closed_since, time))
            self._closed_since = None
            self._open_since = time if self._open_since is None else self._open_since
            return
        self._open_since = None
        if (self._states == Eye.CLOSED).all():
            self._closed_since = time if self._closed_since is None else self._closed_since
        elif (self._states == Eye.UNKNOWN).any():
            self._closed_since = None                  # what was not seen is no blink

    def eyes_open_for(self, seconds: float) -> bool:
        """Whether both eyes have been seen open, without a break, for the last `seconds`."""
        return self._open_since is not None and self._time - self._open_since >= seconds

    def state(self) -> dict[str, Any]:
        """All that it remembers, in plain values and arrays (JSON and npz can hold it)."""
        return {
            "aspects": np.array(self._aspects, np.float64),
            "states": self._states,
            "open_since": self._open_since, "closed_since": self._closed_since, "time": self._time,
            "blinks": np.array([(b.start, b.end) for b in self.blinks], np.float64).reshape(-1, 2),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self._aspects.clear()
        self._aspects.extend(state["aspects"].tolist())
        self._states = state["states"]
        self._open_since, self._closed_since = state["open_since"], state["closed_since"]
        self._time = state["time"]
        self.blinks = [Blink(start, end) for start, end in state["blinks"].tolist()]

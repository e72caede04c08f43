"""The One Euro filter (Casiez, Roussel, Vogel 2012): steady when still, quick when moving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vision.types import Floats


class OneEuro:
    """A low-pass filter whose cutoff grows with the speed. One filter a signal.

    cutoff: Hz, of a signal at rest.
    slope: Hz added for each unit of speed, in units a second; `scale` of a call says what a unit is.
    speed_cutoff: Hz, of the filter on the speed itself.
    """

    def __init__(self, cutoff: float = 1.5, slope: float = 6.0, speed_cutoff: float = 1.0) -> None:
        self.cutoff, self.slope, self.speed_cutoff = cutoff, slope, speed_cutoff
        self._last: tuple[float, Floats, Floats] | None = None        # time, value, speed

    def __call__(self, values: Floats, time: float, scale: float = 1.0) -> Floats:
        """The smoothed values.

        values: float32 of any shape, the same in every call; the last axis is a point's coordinates.
        time: seconds; where it does not advance, the filter starts anew.
        scale: how much a unit of speed is in the units of `values`. A face's width smooths near and far
            faces alike.
        """
        if self._last is None or time <= self._last[0]:
            self._last = (time, values.copy(), np.zeros_like(values))
            return values
        then, before, speed = self._last
        dt = time - then
        speed = speed + _share(self.speed_cutoff, dt) * ((values - before) / (dt * scale) - speed)
        cutoff = self.cutoff + self.slope * np.linalg.norm(speed, axis=-1, keepdims=True)
        smooth = (before + _share(cutoff, dt) * (values - before)).astype(np.float32)
        self._last = (time, smooth, speed)
        return smooth.copy()

    def state(self) -> dict[str, Any]:
        """What the filter remembers, in plain values and arrays; empty before the first call."""
        return {} if self._last is None else dict(zip(("time", "value", "speed"), self._last, strict=True))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self._last = (state["time"], state["value"], state["speed"]) if state else None


def _share(cutoff: float | Floats, dt: float) -> Floats:
    """How much of a new value an exponential filter of `cutoff` Hz takes after `dt` seconds."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff * dt)), np.float32)

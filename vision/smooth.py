"""The One Euro filter (Casiez, Roussel, Vogel 2012): steady when still, quick when moving."""

from __future__ import annotations

import numpy as np

from vision.types import Floats


class OneEuro:
    """A low-pass filter whose cutoff grows with the speed. One filter a signal; time is in seconds.

    cutoff: Hz of a signal that rests. slope: Hz more a unit a second. The unit is what `scale` makes
    of the values: a face's width, so that near and far faces are smoothed alike.
    """

    def __init__(self, cutoff: float = 1.5, slope: float = 6.0, speed_cutoff: float = 1.0) -> None:
        self.cutoff, self.slope, self.speed_cutoff = cutoff, slope, speed_cutoff
        self._last: tuple[float, Floats, Floats] | None = None        # time, value, speed

    def __call__(self, values: Floats, time: float, scale: float = 1.0) -> Floats:
        """The smoothed values (any shape, always the same). A time that does not advance starts anew."""
        if self._last is None or time <= self._last[0]:
            self._last = (time, values, np.zeros_like(values))
            return values
        then, before, speed = self._last
        dt = time - then
        speed = speed + _share(self.speed_cutoff, dt) * ((values - before) / (dt * scale) - speed)
        cutoff = self.cutoff + self.slope * np.linalg.norm(speed, axis=-1, keepdims=True)
        smooth = (before + _share(cutoff, dt) * (values - before)).astype(np.float32)
        self._last = (time, smooth, speed)
        return smooth


def _share(cutoff: float | Floats, dt: float) -> Floats:
    """How much of a new value an exponential filter of `cutoff` Hz takes after `dt` seconds."""
    return np.asarray(1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff * dt)), np.float32)

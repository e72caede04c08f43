"""Where tracks spend their time, as a picture."""

from __future__ import annotations

import cv2
import numpy as np

from vision.state import State, put_back, snapshot
from vision.tracking.scene import Points
from vision.types import Image

_CELL = 4                  # pixels of the frame on a side
_LONGEST_STEP = 1.0        # seconds: a longer gap between frames counts as this
_REMEMBERED = ("seconds", "_time")


class HeatMap:
    """Seconds that anchors spent at each place of the frame: `add` once a frame, then `picture`.

    size_wh: of the frames, in pixels. `seconds` is (H/4,W/4) float64.
    """

    def __init__(self, size_wh: tuple[int, int]) -> None:
        self.size_wh = size_wh
        self.seconds = np.zeros((-(-size_wh[1] // _CELL), -(-size_wh[0] // _CELL)), np.float64)
        self._time: float | None = None

    def add(self, anchors: Points, time: float) -> None:
        """Take in a frame. anchors: (N,2) pixels; those outside the frame are left out, those on its border are in
        it. time: seconds."""
        step = min(time - self._time, _LONGEST_STEP) if self._time is not None else 0.0
        self._time = time
        inside = anchors[((anchors >= 0) & (anchors <= self.size_wh)).all(axis=1)]
        rows, columns = self.seconds.shape
        x, y = np.floor(inside / _CELL).astype(int).T
        np.add.at(self.seconds, (np.minimum(y, rows - 1), np.minimum(x, columns - 1)), step)

    def state(self) -> State:
        """All that it remembers: plain values and arrays, which later frames do not change."""
        return snapshot(self, _REMEMBERED)

    def restore(self, state: State) -> None:
        """Go on from the `state` of a map of the same size."""
        put_back(self, _REMEMBERED, state)

    def picture(self, ground: Image) -> Image:
        """The map over a frame: nothing where nobody was, red where the most time was spent.

        ground: (H,W,3) uint8 BGR of the map's size; what comes back is another. The time is spread by a
        twentieth of the frame's height and shown by its square root.
        """
        spread = max(1.0, self.size_wh[1] / 20 / _CELL)
        heat = np.sqrt(cv2.GaussianBlur(self.seconds, (0, 0), spread))
        heat = cv2.resize(heat / max(float(heat.max()), 1e-12), self.size_wh, interpolation=cv2.INTER_LINEAR)
        colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_JET)
        share = 0.7 * np.minimum(heat * 4, 1)[..., None]
        return np.asarray(np.rint(colours * share + ground * (1 - share)), np.uint8)

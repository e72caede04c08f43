"""Where the lines of a straight road meet: the vanishing point of a picture."""

from __future__ import annotations

import cv2
import numpy as np

from vision.types import Image

_WIDE = 480                                    # pixels in which lines are looked for
_FROM = 0.45                                   # of the height: above it is no road
_STEEP = (0.25, 4.0)                           # slopes of what leads ahead
_X = np.linspace(0.3, 0.7, 33)                 # of the width
_Y = np.linspace(0.30, 0.68, 77)               # of the height
_OFF = 0.02                                    # radians: one deviation of a line from the point that it leads to
_AHEAD = 0.07                                  # of the width: one deviation of where a camera looks from straight ahead


def vanishing_point(image: Image, level: tuple[float, float] | None = None) -> tuple[float, float]:
    """Where most straight lines of the lower half of a frame lead to.

    image: (H,W,3) uint8 BGR. level: the row at which it is expected, with one standard deviation, in frame pixels;
    None: anywhere. Returns (x, y) in frame pixels; the middle of the width at 0.5 of the height where there
    are no lines. Lines to both hands count alike, and that it lies ahead is likelier than not."""
    height, width = image.shape[:2]
    ratio = min(1.0, _WIDE / width)
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    top = round(_FROM * small.shape[0])
    edges = cv2.Canny(small[top:], 40, 120)
    found = cv2.HoughLinesP(edges, 1, np.pi / 360, 18, minLineLength=14, maxLineGap=4)
    if found is None:
        return width / 2, height / 2
    lines = np.asarray(found, np.float64).reshape(-1, 4) + np.array([0, top, 0, top])
    step = lines[:, 2:] - lines[:, :2]
    slope = np.abs(step[:, 1]) / np.maximum(np.abs(step[:, 0]), 1e-6)
    lines, step = (part[(slope > _STEEP[0]) & (slope < _STEEP[1])] for part in (lines, step))
    if not len(lines):
        return width / 2, height / 2
    long, middle = np.hypot(*step.T), (lines[:, :2] + lines[:, 2:]) / 2
    x, y = (grid.ravel() for grid in np.meshgrid(_X * small.shape[1], _Y * small.shape[0]))
    to = np.stack([x[:, None] - middle[:, 0], y[:, None] - middle[:, 1]], axis=-1)                # (K,L,2)
    away = np.maximum(np.hypot(*to.transpose(2, 0, 1)) * long, 1e-6)
    off = (to[..., 0] * step[:, 1] - to[..., 1] * step[:, 0]) / away
    fits = np.where(to[..., 1] < 0, np.exp(-0.5 * (off / _OFF) ** 2), 0.0) * np.minimum(long, 80)
    rising = (step[:, 0] * step[:, 1] < 0)
    score = np.sqrt(fits[:, rising].sum(1)) + np.sqrt(fits[:, ~rising].sum(1))
    score *= np.exp(-0.5 * ((x / small.shape[1] - 0.5) / _AHEAD) ** 2)
    if level is not None:
        score *= np.exp(-0.5 * ((y / ratio - level[0]) / level[1]) ** 2)
    best = int(np.argmax(score))
    return float(x[best] / ratio), float(y[best] / ratio)

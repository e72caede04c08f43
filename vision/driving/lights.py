"""The state of a traffic light, by the colour of the lamp that is lit."""

from __future__ import annotations

import cv2
import numpy as np

from vision.types import Floats, Image

NAMES = ("traffic light",)
_TALL = 1.3                        # a housing that is higher than so many widths has its lamps one above the other
_BRIGHT = 0.5                      # of the brightest saturated pixel: such a one is lit
_SATURATED, _LIT = 90, 110         # of 255
_LEAST = 0.01                      # of the box: a lamp is that large
_HUES = {"red": ((0, 9), (165, 180)), "amber": ((10, 34),), "green": ((40, 100),)}
_PLACES = {"red": 1 / 6, "amber": 1 / 2, "green": 5 / 6}            # from the top, or from the left


def light_state(image: Image, box: Floats) -> tuple[str, float]:
    """Which lamp is lit: `red`, `amber`, `green`, or `off` where none is seen, with how sure that is, 0..1.

    image: (H,W,3) uint8 BGR. box: (4,) xyxy in frame pixels, around the housing."""
    height, width = image.shape[:2]
    left, top, right, bottom = (round(float(side)) for side in box)
    part = image[max(0, top):min(height, bottom), max(0, left):min(width, right)]
    if min(part.shape[:2]) < 3:
        return "off", 0.0
    hue, saturation, value = cv2.split(cv2.cvtColor(part, cv2.COLOR_BGR2HSV))
    glow = np.where(saturation >= _SATURATED, value, 0).astype(np.float32)
    lit = (glow >= max(_LIT, _BRIGHT * float(glow.max())))
    if lit.sum() < max(2, _LEAST * lit.size):
        return "off", float(1 - lit.sum() / max(2, _LEAST * lit.size))
    tall = part.shape[0] >= _TALL * part.shape[1]
    along = (np.arange(part.shape[0])[:, None] / part.shape[0] if tall else np.arange(part.shape[1]) / part.shape[1])
    place = np.broadcast_to(along, part.shape[:2])
    votes = {}
    for name, ranges in _HUES.items():
        mine = lit & np.logical_or.reduce([(hue >= low) & (hue <= high) for low, high in ranges])
        fits = np.exp(-0.5 * ((place - _PLACES[name]) / 0.3) ** 2)       # amber and red are told apart by place too
        votes[name] = float((glow * fits)[mine].sum())
    total = sum(votes.values())
    best = max(votes, key=lambda name: votes[name])
    return (best, votes[best] / total) if total else ("off", 0.5)

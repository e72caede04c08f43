"""Masks as run lengths and as polygons, exactly: each way back gives the same pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.errors import DataError

Mask = npt.NDArray[np.bool_]                    # (H,W)
Ring = npt.NDArray[np.float32]                  # (K,2) xy, its last point is not its first again
Polygons = list[list[Ring]]                     # parts, each its outline and then its holes


def run_lengths(mask: Mask, corner_xy: tuple[int, int] = (0, 0), size_wh: tuple[int, int] | None = None) -> list[int]:
    """Run lengths of a mask, off first, down the columns as COCO counts them.

    mask: (h,w) bool. corner_xy, size_wh: where it lies in a larger picture, which is off elsewhere.
    """
    height, width = mask.shape
    whole_wh = size_wh or (width, height)
    edges = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    columns, rows = np.nonzero(edges.T)         # on and off in turns, down each column
    places = (columns + corner_xy[0]) * whole_wh[1] + rows + corner_xy[1]
    twice = np.flatnonzero(places[1:] == places[:-1])          # a run that goes on in the next column
    places = np.delete(places, [*twice, *(twice + 1)])
    lengths: list[int] = np.diff([0, *places, whole_wh[0] * whole_wh[1]]).tolist()
    return lengths if len(places) % 2 == 0 and lengths[-1] else lengths[:-1]


def mask_of_runs(lengths: str | Sequence[int], size_wh: tuple[int, int]) -> Mask:
    """(H,W) bool from run lengths, packed or not. Raises DataError where they are not those of a picture of
    `size_wh`."""
    width, height = size_wh
    try:
        counts = np.asarray(unpacked(lengths) if isinstance(lengths, str) else lengths, np.int64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"run lengths are whole numbers, or COCO's text; got {str(lengths)[:40]}") from None
    if counts.ndim != 1 or (counts < 0).any() or counts.sum() != width * height:
        raise DataError(
            f"run lengths of a {width}x{height} picture add up to {width * height}; got {int(counts.sum())}"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def packed(lengths: Sequence[int]) -> str:
    """Run lengths as COCO's text: each as the difference from the one two before it, five bits a character."""
    text = []
    for i, length in enumerate(lengths):
        rest = length - (lengths[i - 2] if i > 2 else 0)
        while True:
            bits, rest = rest & 31, rest >> 5
            last = rest == (-1 if bits & 16 else 0)
            text.append(chr(bits + (0 if last else 32) + 48))
            if last:
                break
    return "".join(text)


def unpacked(text: str) -> list[int]:
    """The way back from `packed`. Raises DataError for another text."""
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise DataError(f"{text[:40]!r} is no packed run lengths of COCO")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise DataError(f"{text[:40]!r} is no packed run lengths of COCO: it ends in the middle of a number")
    return lengths


def polygons_of(mask: Mask, corner_xy: tuple[int, int] = (0, 0)) -> Polygons:
    """The outlines of a mask along the borders of its pixels: a part for each group of pixels that share sides.

    mask: (h,w) bool. corner_xy: added to every point. Returns for each part its outline and then its holes, (K,2)
    float32 each, whole numbers; filled by the even-odd rule they give the same mask (`filled`).
    """
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    parts: Polygons = []
    for part in range(1, count):
        rings = _rings(labels == part)
        rings.sort(key=lambda ring: float(np.ptp(ring[:, 0]) * np.ptp(ring[:, 1])), reverse=True)   # the outline first
        parts.append([(ring + corner_xy).astype(np.float32) for ring in rings])
    return parts


def _rings(mask: Mask) -> list[npt.NDArray[np.int64]]:
    """The closed outlines of one part: corners joined along rows and along columns in turns."""
    around = np.pad(mask, 1).astype(np.int8)
    a, b, c, d = around[:-1, :-1], around[:-1, 1:], around[1:, :-1], around[1:, 1:]
    crossed = (a == d) & (b == c) & (a != b)                   # two corners at one place, kept apart
    ys, xs = np.nonzero(((a + b + c + d) % 2 == 1) | crossed)
    twice = crossed[ys, xs]
    # a corner joins a row's edge and a column's; of two at one place the first has the left edge
    ys, xs, twice = (np.repeat(v, twice + 1) for v in (ys, xs, twice))
    second = np.zeros(len(xs), bool)
    second[1:] = twice[1:] & (xs[1:] == xs[:-1]) & (ys[1:] == ys[:-1])
    below = np.where(a[ys, xs] == 1, second, ~second)          # whether its column's edge goes down, where two meet
    along = np.arange(len(xs)).reshape(-1, 2)                  # rows: the corners are in their order
    down = np.lexsort((twice & below, ys, xs)).reshape(-1, 2)
    beside, under = np.empty((2, len(xs)), np.int64)
    beside[along], under[down] = along[:, ::-1], down[:, ::-1]
    rings, left = [], np.ones(len(xs), bool)
    for start in range(len(xs)):
        if left[start]:
            ring, at = [], start
            while left[at]:
                other = int(beside[at])
                ring += [at, other]
                left[[at, other]] = False
                at = int(under[other])
            rings.append(np.stack([xs[ring], ys[ring]], axis=1))
    return rings


def filled(rings: Iterable[Any], size_wh: tuple[int, int]) -> Mask:
    """(H,W) bool: the pixels whose centre lies inside an odd number of rings.

    rings: (K,2) xy each, in any order; what is outside the picture is cut off. A ring of fewer than three points
    has no inside.
    """
    width, height = size_wh
    flips = np.zeros((height, width + 1), np.uint8)
    for ring in rings:
        points = np.asarray(ring, np.float64).reshape(-1, 2)
        start, end = points, np.roll(points, -1, axis=0)
        low, high = np.sort(np.stack([start[:, 1], end[:, 1]]), axis=0)
        first = np.clip(np.ceil(low - 0.5), 0, height).astype(np.int64)      # rows whose centre an edge crosses
        last = np.clip(np.ceil(high - 0.5), 0, height).astype(np.int64)
        rows = np.concatenate([np.arange(f, n) for f, n in zip(first, last, strict=True)] or [np.empty(0, int)])
        edge = np.repeat(np.arange(len(points)), last - first)
        slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
        at = start[edge, 0] + (rows + 0.5 - start[edge, 1]) * slope
        np.add.at(flips, (rows, np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)), 1)
    return np.bitwise_xor.accumulate(flips[:, :width] & 1, axis=1).astype(bool)


def shares(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(256,) the share of a label map (H,W) that each label covers."""
    if not labels.size:
        return np.zeros(256, np.float32)
    counts = cv2.calcHist([np.ascontiguousarray(labels)], [0], None, [256], [0, 256])
    return np.asarray(counts.ravel() / labels.size, np.float32)

"""Masks in label files of COCO's kind, checked: polygons, and run lengths as numbers or as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from vision.errors import DataError
from vision.io.base import MAX_PIXELS
from vision.masks import Mask, filled, mask_of_runs

Segmentation = list[list[float]] | dict[str, Any]


def segmentation_of(given: Any, size_wh: tuple[int, int]) -> Segmentation | None:
    """What a label says of an object's mask, without what cannot be: polygons of fewer than three points, with values
    that are no numbers, or outside of the picture. None where nothing is left, or where run lengths are off everywhere.

    size_wh: of the picture in pixels. Raises DataError for run lengths of a picture of another size.
    """
    if isinstance(given, dict):
        if not mask_of(given, size_wh).any():
            return None
        return {"size": [size_wh[1], size_wh[0]], "counts": given["counts"]}
    polygons = []
    for ring in given if isinstance(given, list) else []:
        try:
            values = np.asarray(ring, np.float64)
        except (TypeError, ValueError, OverflowError):
            continue
        if values.ndim == 1 and len(values) >= 6 and len(values) % 2 == 0 and (np.abs(values) < 1e9).all():
            points = values.reshape(-1, 2)
            if (points.max(0) > 0).all() and (points.min(0) < size_wh).all():
                polygons.append(values.tolist())
    return polygons or None


def box_around(segmentation: Segmentation, size_wh: tuple[int, int]) -> tuple[float, ...]:
    """The box xyxy around polygons or run lengths, in pixels; all 0 around a mask that is off everywhere."""
    if isinstance(segmentation, list):
        points = np.concatenate([np.reshape(ring, (-1, 2)) for ring in segmentation])
        return (*points.min(0).tolist(), *points.max(0).tolist())
    ys, xs = np.nonzero(mask_of(segmentation, size_wh))
    return (xs.min(), ys.min(), xs.max() + 1.0, ys.max() + 1.0) if len(xs) else (0.0, 0.0, 0.0, 0.0)


def mask_of(segmentation: Segmentation, size_wh: tuple[int, int]) -> Mask:
    """(H,W) bool from COCO's polygons or run lengths. A pixel is on where its centre lies in any of the polygons.

    Raises DataError for run lengths that are none, or of a picture of another size, and for a picture of more pixels
    than are read.
    """
    if size_wh[0] * size_wh[1] > MAX_PIXELS:
        raise DataError(f"a picture of {size_wh[0]}x{size_wh[1]} has more than the {MAX_PIXELS} pixels that are read")
    if isinstance(segmentation, list):
        mask = np.zeros(size_wh[::-1], bool)
        for ring in segmentation:
            mask |= filled([ring], size_wh)
        return mask
    counts, size = segmentation.get("counts"), segmentation.get("size")
    right = size is None or (isinstance(size, (list, tuple)) and list(size) == [size_wh[1], size_wh[0]])
    if not isinstance(counts, (str, list)) or not right:
        raise DataError(f"run lengths of a {size_wh[0]}x{size_wh[1]} picture have its size, [height, width], and "
                        f"counts; got size {size!r}, counts of type {type(counts).__name__}")
    return mask_of_runs(counts, size_wh)


def reduced_mask(segmentation: Segmentation, size_wh: tuple[int, int], reduced: int) -> Mask:
    """As `mask_of`, of the picture that is a whole number of times smaller, its sides rounded up: a pixel is on where
    its centre lies in the mask."""
    small_wh = -(-size_wh[0] // reduced), -(-size_wh[1] // reduced)
    if isinstance(segmentation, list):
        return mask_of([(np.asarray(ring) / reduced).tolist() for ring in segmentation], small_wh)
    columns, rows = (np.minimum((np.arange(small) + 0.5) * reduced, side - 1).astype(int)
                     for small, side in zip(small_wh, size_wh, strict=True))
    return mask_of(segmentation, size_wh)[np.ix_(rows, columns)]

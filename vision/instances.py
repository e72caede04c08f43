"""Instances: objects, each with its own mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import cv2
import numpy as np

from vision.drawing import Canvas, Colour, class_name, colour, paint
from vision.masks import Mask, Polygons, mask_of_runs, packed, polygons_of, run_lengths
from vision.types import Detections, Floats, Names, Tracks

_GRID = 64                  # of masks that come from a record


@dataclass(frozen=True, eq=False)
class Instances(Detections):
    """Objects in a frame, best first, each with a mask.

    masks: (N,M,M) float32 in 0..1, how sure each point of a grid over the object's box is; a pixel belongs to the
        object from 0.5 on, between the points by bilinear interpolation.
    frame_wh: width and height of the frame in pixels.

    Those in `weak` are `Detections`, without masks.
    """

    masks: Floats
    frame_wh: tuple[int, int] = field(default=(0, 0), kw_only=True)

    _layout: ClassVar[dict[str, tuple[Any, tuple[int, ...]]]] = {
        **Detections._layout,
        "masks": (np.float32, (-1, -1, -1)),
    }

    def __getitem__(self, index: Any) -> Self:
        return replace(super().__getitem__(index), frame_wh=self.frame_wh)

    def crop(self, i: int) -> tuple[tuple[int, int], Mask]:
        """Where the mask of instance `i` lies: left and top in pixels of the frame, and (h,w) bool from there on:
        the pixels of the frame whose centre lies in the box."""
        left, top, right, bottom = self.boxes[i].astype(np.float64)
        xs = np.arange(*np.clip(np.ceil([left - 0.5, right - 0.5]), 0, self.frame_wh[0]).astype(int))
        ys = np.arange(*np.clip(np.ceil([top - 0.5, bottom - 0.5]), 0, self.frame_wh[1]).astype(int))
        corner = int(xs[0]) if len(xs) else 0, int(ys[0]) if len(ys) else 0
        if not len(xs) or not len(ys):
            return corner, np.zeros((len(ys), len(xs)), bool)
        sure = _between(self.masks[i], (ys + 0.5 - top) / (bottom - top))
        return corner, _between(sure.T, (xs + 0.5 - left) / (right - left)).T >= 0.5

    def paste(self, i: int) -> Mask:
        """Mask of instance `i` on the whole frame: (H,W) bool."""
        (left, top), mask = self.crop(i)
        whole = np.zeros(self.frame_wh[::-1], bool)
        whole[top: top + mask.shape[0], left: left + mask.shape[1]] = mask
        return whole

    def polygons(self, i: int) -> Polygons:
        """The outlines of instance `i` along the borders of its pixels, in pixels of the frame: a part for each
        piece, of its outline and then its holes, (K,2) float32 xy each. `vision.masks.filled` gives the mask again."""
        corner, mask = self.crop(i)
        return polygons_of(mask, corner)

    def runs(self, i: int) -> list[int]:
        """Run lengths of instance `i` on the whole frame, off first, down the columns (COCO, uncompressed)."""
        corner, mask = self.crop(i)
        return run_lengths(mask, corner, self.frame_wh)

    def rle(self, i: int, *, compressed: bool = True) -> dict[str, Any]:
        """Instance `i` as COCO writes it: `{"size": [H,W], "counts": ...}`, a text or, not compressed, a list."""
        runs = self.runs(i)
        return {"size": [self.frame_wh[1], self.frame_wh[0]], "counts": packed(runs) if compressed else runs}

    @property
    def area(self) -> Floats:
        """(N,) float32: how many pixels of the frame each mask covers."""
        return np.array([self.crop(i)[1].sum() for i in range(len(self))], np.float32)

    def of(self, tracks: Tracks) -> dict[int, int]:
        """Which row here each track of the same frame saw, by the track's id; one that saw none is absent."""
        pairs = zip(tracks.ids.tolist(), tracks.rows.tolist(), strict=True)
        return {i: row for i, row in pairs if 0 <= row < len(self)}

    def to_dict(self, names: Names | None = None, *, polygons: bool = False) -> dict[str, Any]:
        """As `Detections.to_dict`, each object with its `mask`: COCO's compressed run lengths, or with `polygons`
        `{"polygons": [[outline, hole, ...], ...]}`, points as [x, y]."""
        payload = super().to_dict(names)
        for i, entry in enumerate(payload["objects"]):
            parts = [[ring.tolist() for ring in part] for part in self.polygons(i)] if polygons else None
            entry["mask"] = self.rle(i) if parts is None else {"polygons": parts}
        return payload

    @classmethod
    def from_dict(cls, payload: Mapping[str, Any]) -> Self:
        """The way back from `to_dict` with run lengths, packed or not, the masks on a grid of 64 by 64. Raises
        KeyError, ValueError or DataError for another payload."""
        objects: Sequence[Mapping[str, Any]] = payload["objects"]
        found = Detections.from_dict(payload)
        sizes = {tuple(entry["mask"]["size"]) for entry in objects}
        if len(sizes) > 1:
            raise ValueError("the masks of a frame have one size")
        height, width = next(iter(sizes), (0, 0))
        masks = np.zeros((len(objects), _GRID, _GRID), np.float32)
        for mask, box, entry in zip(masks, found.boxes, objects, strict=True):
            mask[:] = gridded(mask_of_runs(entry["mask"]["counts"], (width, height)), box, _GRID)
        return cls(found.boxes, found.scores, found.labels, masks, weak=found.weak, frame_wh=(width, height))


def gridded(mask: Mask, box: Floats, grid: int) -> Floats:
    """(grid,grid) float32: a mask of the frame (H,W) at the points of a grid over a box, the share of what is on
    around each point."""
    left, top, right, bottom = box.tolist()
    height, width = mask.shape
    fine = 4                                            # samples a point and side
    steps = (np.arange(grid * fine) + 0.5) / (grid * fine)
    xs = np.clip(left + steps * (right - left), 0, width - 1e-3).astype(int)
    ys = np.clip(top + steps * (bottom - top), 0, height - 1e-3).astype(int)
    samples = mask[np.ix_(ys, xs)].reshape(grid, fine, grid, fine)
    return np.asarray(samples.mean(axis=(1, 3)), np.float32)


def sampled(planes: Floats, box: Floats, side: int) -> Floats:
    """(K,side,side) float32: planes (K,h,w) at the points of a grid over a box (4,) xyxy in their pixels, between
    pixels' centres linearly, beyond the outer ones as they are."""
    left, top, right, bottom = box.tolist()
    steps = (np.arange(side) + 0.5) / side
    rows = _between(planes.transpose(1, 0, 2), (top + steps * (bottom - top)) / planes.shape[1])     # (side,K,w)
    return _between(rows.transpose(2, 1, 0), (left + steps * (right - left)) / planes.shape[2]).transpose(1, 2, 0)


def _between(grid: Floats, places: Floats) -> Floats:
    """Rows of a grid (M,...) at places in 0..1, between its points linearly, beyond the outer ones as they are."""
    at = np.clip(places * len(grid) - 0.5, 0, len(grid) - 1)
    low = np.minimum(at.astype(int), max(len(grid) - 2, 0))
    share = (at - low).astype(np.float32).reshape(-1, *[1] * (grid.ndim - 1))
    return np.asarray(grid[low] * (1 - share) + grid[np.minimum(low + 1, len(grid) - 1)] * share, np.float32)


@paint.register
def _(result: Instances, canvas: Canvas, names: Names) -> None:
    paint_masks(result, canvas, [colour(i) for i in range(len(result))])
    rows = zip(result.boxes.tolist(), result.labels.tolist(), result.scores.tolist(), strict=True)
    for i, ((left, top, right, bottom), c, score) in enumerate(rows):
        canvas.keep_free((left, top, right, bottom))
        canvas.label(canvas.say(name=class_name(names, c), score=score), (left, top, right, bottom), colour(i))


def paint_masks(result: Instances, canvas: Canvas, shades: Sequence[Colour | None]) -> None:
    """Tint each mask with its BGR shade, with a crisp edge, the largest first; without a shade it stays as it is."""
    edge = canvas.thick(1.5)
    kernel = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
    crops = [(*result.crop(i), shade) for i, shade in enumerate(shades) if shade is not None]
    for (left, top), mask, shade in sorted(crops, key=lambda crop: -crop[1].size):
        if mask.any():
            part = canvas.image[top: top + mask.shape[0], left: left + mask.shape[1]]
            inside, whole = mask.view(np.uint8), np.full_like(part, shade)
            cv2.copyTo(cv2.addWeighted(part, 0.55, whole, 0.45, 0), inside, part)
            core = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
            cv2.copyTo(whole, inside - core, part)

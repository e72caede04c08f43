"""Hierarchical grouping (Uijlings et al. 2013): the two neighbours that are most alike become one, until all are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.proposals.regions import Regions
from vision.types import Floats


@dataclass(frozen=True)
class Likeness:
    """Which of the paper's four similarities, each in 0..1, are added up: of colour, of texture; size, which lets
    small regions merge first; fill, which is for regions that fit into each other."""

    colour: bool = True
    texture: bool = True
    size: bool = True
    fill: bool = True


def group(regions: Regions, likeness: Likeness, pixels: int) -> Floats:
    """The boxes of a hierarchy, xyxy: of the N regions, then of what they become, (2N-1,4) where all are connected.

    regions: of one cut; they are used up. pixels: of the whole picture.
    """
    near, boxes = regions.near, [regions.boxes.copy()]
    alike = np.full(near.shape, -1.0, np.float32)
    for i in range(len(near)):
        others = np.flatnonzero(near[i])
        alike[i, others] = similarity(regions, i, others, likeness, pixels)
    while True:
        i, j = divmod(int(alike.argmax()), len(alike))
        if alike[i, j] < 0:
            return np.concatenate(boxes)
        _merge(regions, i, j)
        alike[j], alike[:, j] = -1, -1
        others = np.flatnonzero(near[i])
        alike[i, others] = alike[others, i] = similarity(regions, i, others, likeness, pixels)
        boxes.append(regions.boxes[i : i + 1].copy())


def similarity(regions: Regions, i: int, others: np.ndarray, likeness: Likeness, pixels: int) -> Floats:
    """How alike region i and each of `others` (M,) are, (M,)."""
    total = np.zeros(len(others), np.float32)
    if likeness.colour:
        total += np.minimum(regions.colours[i], regions.colours[others]).sum(1)
    if likeness.texture:
        total += np.minimum(regions.textures[i], regions.textures[others]).sum(1)
    both = regions.sizes[i] + regions.sizes[others]
    if likeness.size:
        total += 1 - both / pixels
    if likeness.fill:
        mine, theirs = regions.boxes[i], regions.boxes[others]
        sides = np.maximum(mine[2:], theirs[:, 2:]) - np.minimum(mine[:2], theirs[:, :2])
        total += 1 - (sides.prod(1) - both) / pixels
    return total


def _merge(regions: Regions, i: int, j: int) -> None:
    """Region i becomes i and j together, j is no more."""
    sizes, near = regions.sizes, regions.near
    for histograms in (regions.colours, regions.textures):
        histograms[i] = (sizes[i] * histograms[i] + sizes[j] * histograms[j]) / (sizes[i] + sizes[j])
    sizes[i] += sizes[j]
    mine, theirs = regions.boxes[i], regions.boxes[j]
    regions.boxes[i] = [*np.minimum(mine[:2], theirs[:2]), *np.maximum(mine[2:], theirs[2:])]
    near[i] |= near[j]
    near[:, i] |= near[:, j]
    near[j], near[:, j], near[i, i] = False, False, False

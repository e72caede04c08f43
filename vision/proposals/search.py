"""Selective search (Uijlings et al. 2013, "Selective Search for Object Recognition"): boxes where objects may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vision.errors import UsageError
from vision.proposals.grouping import Likeness, group
from vision.proposals.regions import Described, Regions
from vision.types import Floats, Image
from vision.view import checked_image

_SIMILARITIES = (Likeness(), Likeness(colour=False))            # all four; texture, size and fill
_SPACES = ("hsv", "lab", "rgi")


@dataclass(frozen=True)
class SelectiveSearch:
    """Boxes where objects may be, from the regions of a picture and what they become when those alike are merged.

    spaces: of colour: hsv, lab, rgi. scales: of the first regions; a larger one leaves small objects out and takes
        less time. The hierarchies of all spaces, scales and two sums of similarities are put together: these are the
        paper's "fast" ones.
    smallest: pixels of a box's shorter side. seed: of the order in which boxes of one rank come.
    Raises UsageError for a space that there is not, or a scale that is not above 0.
    """

    spaces: tuple[str, ...] = ("hsv", "lab")
    scales: tuple[float, ...] = (50.0, 100.0)
    smallest: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.spaces or not set(self.spaces) <= set(_SPACES):
            raise UsageError(f"spaces are some of {', '.join(_SPACES)}; got {', '.join(self.spaces) or 'none'}")
        if not self.scales or min(self.scales) <= 0:
            raise UsageError(f"scales are numbers above 0, such as 50 and 100; got {self.scales}")

    def __call__(self, image: Image, most: int = 2000) -> Floats:
        """Boxes (N,4) float32 xyxy in pixels, at most `most`, the likeliest first.

        image: (H,W,3) uint8 BGR. Each box counts by its place in its hierarchy, the whole picture first, times a
        random number, as in the paper: so that no hierarchy goes before the others. A picture of one colour has one
        box, which is the whole of it. Raises UsageError for another picture.
        """
        checked_image(image)
        pixels, random = image.shape[0] * image.shape[1], np.random.default_rng(self.seed)
        boxes, ranks = [], []
        for space in self.spaces:
            described = Described(image, space)
            for scale in self.scales:
                regions = described.regions(described.cut(scale))
                for likeness in _SIMILARITIES:
                    found = group(_copy(regions), likeness, pixels)
                    boxes.append(found)
                    ranks.append(np.arange(len(found), 0, -1) * random.random(len(found)))
        ordered = np.concatenate(boxes)[np.argsort(np.concatenate(ranks), kind="stable")]
        first = np.sort(np.unique(ordered, axis=0, return_index=True)[1])
        unique = ordered[first]
        large = (unique[:, 2:] - unique[:, :2]).min(1) >= min(self.smallest, *image.shape[:2])
        return np.asarray(unique[large][:most], np.float32)


def _copy(regions: Regions) -> Regions:
    """`group` uses its regions up."""
    return Regions(*(column.copy() for column in vars(regions).values()))


def numbers(text: str) -> tuple[float, ...]:
    """Scales as they are typed: `50,100`. Raises UsageError for other text."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"scales are numbers above 0, such as 50,100; got {text!r}") from None

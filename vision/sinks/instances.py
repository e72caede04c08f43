"""Masks of objects as pictures: maps of which object each pixel is of, and the objects cut out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt

from vision.drawing import class_name
from vision.instances import Instances
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.frames import FolderSink
from vision.sinks.maps import Planes
from vision.spec import Option, spec
from vision.types import Image

if TYPE_CHECKING:
    from vision.item import Item
    from vision.steps.base import Spec

Of = Annotated[str | None, Option("whose masks: a step's key")]


@spec
class InstanceMaps(SinkSpec):
    """A folder of PNGs of 16 bit, one a frame: 0 where nothing is, else the object's number in the record, from 1."""

    name = "instance_maps"
    of = "instances"

    folder: Annotated[Path | str, Option(
        "folder of 16-bit PNGs, one a frame: a pixel's value is its object's number in the record, 0 is none",
        flags=("--instance-maps",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no instances."""
        return Planes(Path(self.folder), self.key_in(plan), numbered)


@spec
class Cutouts(SinkSpec):
    """A folder of PNGs, one an object: its box's pixels, transparent outside of its mask.

    Named as frames are (`FrameNames`), with the object's number and class: `CLIP-000012-1-person.png`.
    """

    name = "cutouts"
    of = "instances"

    folder: Annotated[Path | str, Option(
        "folder of objects cut out of their frames, PNGs with transparency", flags=("--cutouts",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no instances."""
        return _Cutouts(Path(self.folder), self.key_in(plan))


class _Cutouts(FolderSink):
    def take(self, item: Item) -> None:
        name = self.names(item.frame.source, item.frame.index)
        if self.on not in item:
            return
        found, classes = item[self.on], item.names(self.on)
        for i, label in enumerate(found.labels.tolist()):
            picture = cut_out(found, i, item.frame.image)
            if picture.size:
                kind = re.sub(r"[^\w-]+", "-", class_name(classes, label))
                self.folder.write(picture, f"{name}-{i + 1}-{kind}.png")


def numbered(found: Instances) -> npt.NDArray[np.uint16]:
    """(H,W) uint16: the number of the object, from 1 in the order of the rows, that each pixel is of; 0: of none.
    Where objects overlap, the better one has the pixel."""
    width, height = found.frame_wh
    numbers = np.zeros((height, width), np.uint16)
    for i in reversed(range(len(found))):
        (left, top), mask = found.crop(i)
        numbers[top: top + mask.shape[0], left: left + mask.shape[1]][mask] = i + 1
    return numbers


def cut_out(found: Instances, i: int, image: Image) -> npt.NDArray[Any]:
    """(h,w,4) uint8 BGRA: instance `i` of `image` (H,W,3), transparent outside of its mask."""
    (left, top), mask = found.crop(i)
    part = image[top: top + mask.shape[0], left: left + mask.shape[1]]
    return np.dstack([part, mask.astype(np.uint8) * 255])

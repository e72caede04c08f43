"""Class maps as pictures: a pixel's value is its class, or how sure the network is of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from vision.sinks.base import Sink, SinkSpec
from vision.sinks.frames import FolderSink
from vision.spec import Option, spec
from vision.steps.segment import Segment

if TYPE_CHECKING:
    from vision.item import Item
    from vision.steps.base import Spec

Of = Annotated[str | None, Option("the step whose class maps are written, by its key")]


@spec
class LabelMaps(SinkSpec):
    """A folder of index PNGs, one for each frame: a pixel's value is its class."""

    name = "index"
    of = "segment"

    folder: Annotated[Path | str, Option(
        "folder of index PNGs, one for each frame: a pixel's value is its class", flags=("--index",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no class maps."""
        return Planes(Path(self.folder), self.key_in(plan), lambda result: result.labels)


@spec
class VarianceMaps(SinkSpec):
    """A folder of 16-bit PNGs, one for each frame: the variance of the classes, where 65535 means 0.25."""

    name = "variance"
    of = "segment"

    folder: Annotated[Path | str, Option(
        "folder of variance PNGs (16 bit, 65535 is 0.25), from 16 passes with dropout", flags=("--uncertainty",))]
    on: Of = None

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no class maps with variance."""
        return Planes(Path(self.folder), self.key_in(plan), _sixteen_bits)

    def asks(self, step: Spec) -> Spec:
        """A segmenter that gives the variance too."""
        return replace(step, uncertain=True) if isinstance(step, Segment) else step


class Planes(FolderSink):
    """A folder with a picture a frame, which `plane` makes of a result."""

    def __init__(self, folder: Path, on: str, plane: Callable[[Any], Any]) -> None:
        super().__init__(folder, on)
        self.plane = plane

    def take(self, item: Item) -> None:
        """Write the frame's picture; a frame without a result has a name all the same."""
        name = self.names(item.frame.source, item.frame.index)
        if self.on in item:
            self.folder.write(self.plane(item[self.on]), f"{name}.png")


def _sixteen_bits(result: Any) -> Any:
    return np.rint(result.variance.clip(0, 0.25) * (65535 / 0.25)).astype(np.uint16)

"""Class maps as pictures: a pixel's value is its class, or how sure the network is of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from vision.sinks.base import Sink, SinkSpec
from vision.sinks.frames import FrameNames, ImageFolder
from vision.spec import Option, spec
from vision.state import State
from vision.steps.segment import Segment

if TYPE_CHECKING:
    from vision.io import Info
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
        return _Planes(Path(self.folder), self.on or self.key_in(plan), lambda result: result.labels)


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
        return _Planes(Path(self.folder), self.on or self.key_in(plan), _sixteen_bits)

    def asks(self, step: Spec) -> Spec:
        """A segmenter that gives the variance too."""
        return replace(step, uncertain=True) if isinstance(step, Segment) else step


class _Planes(Sink):
    def __init__(self, folder: Path, on: str, plane: Callable[[Any], Any]) -> None:
        self.folder, self.on, self.plane = ImageFolder(folder), on, plane
        self.paths, self.needs, self.names = (folder,), frozenset((on,)), FrameNames()

    def begin(self, info: Info) -> None:
        self.folder.make()

    def take(self, item: Item) -> None:
        name = self.names(item.frame.source, item.frame.index)
        if self.on in item:
            self.folder.write(self.plane(item[self.on]), f"{name}.png")

    def state(self) -> State:
        return {"names": self.names.state()}

    def restore(self, state: State) -> None:
        self.names.restore(state["names"])


def _sixteen_bits(result: Any) -> Any:
    return np.rint(result.variance.clip(0, 0.25) * (65535 / 0.25)).astype(np.uint16)

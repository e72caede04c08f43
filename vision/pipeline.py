"""Frames through a model into sinks: overlapped, in order, and accounted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from vision.records import Result, record
from vision.types import Frame, Image, Names

R_co = TypeVar("R_co", bound=Result, covariant=True)


class Model(Protocol[R_co]):
    """What a task offers to a pipeline. It keeps no state between calls."""

    task: str                     # "detect"
    name: str                     # the card's name
    names: Names                  # the classes
    in_flight: int                # how many submitted pictures keep its device busy

    def submit(self, images: Sequence[Image]) -> Callable[[], Sequence[R_co]]:
        """Start on a batch; what comes back waits for it and hands out a result a picture."""
        ...


@dataclass
class Item:
    """A frame with its result, as a sink gets it; drawn and recorded once, when first asked for."""

    frame: Frame
    result: Any
    task: str
    model: str
    names: Names

    @cached_property
    def record(self) -> dict[str, Any]:
        """The JSON record of this frame."""
        return record(self.frame, self.result, task=self.task, model=self.model, names=self.names)

    @cached_property
    def drawn(self) -> Image:
        """The result drawn on a copy of the frame."""
        from vision.draw import draw

        return draw(self.result, self.frame.image, self.names)

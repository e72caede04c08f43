"""Find, then look closer: what every model shares that works on crops of a frame.

A detector says where; each place is cut out of its frame as a `View`; a second network answers for every
view; the view brings the answer back to frame pixels. Nothing here knows what is on the crops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from vision import zoo
from vision.card import Card
from vision.engine import Engine, Outputs, load
from vision.tasks.model import Model
from vision.types import Image
from vision.view import View, patch

Region = TypeVar("Region")


@dataclass(frozen=True)
class Crop:
    """A square of a frame.

    centre: (x, y) in frame pixels.
    side: in frame pixels.
    angle: radians from the frame's x axis to the crop's, clockwise as seen.
    mirror: whether left and right are exchanged.
    """

    centre: tuple[float, float]
    side: float
    angle: float = 0.0
    mirror: bool = False

    def view(self, image: Image, size: int) -> View:
        """The crop of `image` (H,W,3) on `size` x `size` pixels, black where it leaves the frame."""
        return patch(image, self.centre, self.side, size, angle=self.angle, mirror=self.mirror)


class Closeup(NamedTuple):
    """A crop with the network's outputs for it, which have no batch axis."""

    view: View
    outputs: Outputs


def look_closer(
    engine: Engine,
    images: Sequence[Image],
    regions: Sequence[Sequence[Region]],
    cut: Callable[[Image, Region], View],
) -> Callable[[], list[list[Closeup]]]:
    """Start `engine` on every region of every image; the function that comes back waits for the answers.

    Each crop is submitted by itself, so that all of them are under way together, may differ in size, and
    the network is at the first while the next is cut.

    images: (H,W,3) uint8 BGR each.
    regions: those of each image; an image may have none.
    cut: makes the view of one region.

    The answers come one list an image, in the order of its regions. Waiting raises what the engine raised.
    """
    asked = [
        (view, engine.submit(view.pixels[None]))
        for image, some in zip(images, regions, strict=True)
        for view in (cut(image, region) for region in some)
    ]

    def collect() -> list[list[Closeup]]:
        answers = (Closeup(view, tuple(output[0] for output in future.result())) for view, future in asked)
        return [list(islice(answers, len(some))) for some in regions]

    return collect


class Cascade(Model):
    """A detector, and networks that look closer at what it finds. It owns them all: `close()` closes them.

    detector: says where. engine: the closer look, of `card`.
    finder: the detector's class. further: task and name of the cards of engines beside that one.
    """

    finder: ClassVar[type[Any]]
    further: ClassVar[tuple[str, ...]] = ()

    def __init__(self, detector: Any, engine: Engine, card: Card) -> None:
        super().__init__(engine, card)
        self.detector = detector

    @classmethod
    def load(
        cls,
        model: str | Path | Card = "default",
        device: str = "auto",
        precision: str = "auto",
        backend: str = "auto",
        detector: str | Path | Card = "default",
    ) -> Self:
        """A model by name (`vision models`).

        model: of the closer look, with device, precision and back end as in `Model.load`, for all its networks.
        detector: what says where to look: for faces `blazeface-full`, `blazeface-back` or `yunet`, which runs in
            OpenCV on the CPU alone and refuses another choice (EngineError); for bodies as in `Detector.load`.

        Raises ModelError for an unknown name, WeightsError where weights are missing or not what they should be,
        EngineError for a device or a back end that is not there, UsageError for a detector of other things.
        """
        card, where = zoo.find(model, cls.task), (device, precision, backend)
        cards = [card, *(zoo.find(name, name) for name in cls.further)]
        parts: list[Any] = [cls.finder.load(detector, *where), *(load(one, *where) for one in cards), card]
        made = cls(*parts)
        made.loaded_as = {
            "model": card, "device": device, "precision": precision, "backend": backend, "detector": detector,
        }
        return made

    @property
    def in_flight(self) -> int:
        """How many submitted pictures keep the detector's device busy."""
        return int(self.detector.in_flight)

    def close(self) -> None:
        """Close the detector and the network."""
        self.detector.close()
        super().close()

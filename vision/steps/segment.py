"""The class of every pixel."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from vision.spec import Option, spec
from vision.steps.base import ModelOption, ModelStep, Pool, Spec, Step
from vision.types import ClassMap

if TYPE_CHECKING:
    from vision.io import Info


@spec
class Segment(Spec):
    """Colour roads, pavements, people and cars: a class for every pixel."""

    task = "segment"
    result = ClassMap

    model: ModelOption = "default"
    tiled: Annotated[bool, Option(
        "cut large pictures into overlapping tiles instead of shrinking them", remote=True)] = False
    rle: Annotated[bool, Option(
        "write the pixels of each class into the records, as COCO's run lengths", remote=True)] = False
    uncertain: Annotated[bool, Option(
        "also compute how sure the network is, by 16 passes with dropout (torch only)")] = False

    def load(self, pool: Pool) -> Any:
        """The segmenter. Raises as `Segmenter.load` does."""
        from vision.tasks.segment import Segmenter

        more = {"uncertainty": True} if self.uncertain else {}
        return pool.load(Segmenter.load, self.model, **more)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return SegmentStep(self.key, model, partial(model.submit, tiled=self.tiled), self.rle)


class SegmentStep(ModelStep):
    """A segmenter on one stream. rle: records carry the pixels of each class."""

    def __init__(self, key: str, model: Any, submit: Any, rle: bool) -> None:
        super().__init__(key, model, submit)
        self.rle = rle

    def payload(self, result: ClassMap) -> dict[str, Any]:
        """The areas, with their pixels if asked for."""
        return result.to_dict(self.names, rle=self.rle)

"""Objects, each with its own mask."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import numpy as np

from vision.drawing import Canvas
from vision.errors import UsageError
from vision.instances import Instances
from vision.people.person import blur_background
from vision.spec import Option, spec
from vision.steps.base import Pool, Step
from vision.steps.detect import DetectStep, FindsObjects
from vision.types import Image

if TYPE_CHECKING:
    from vision.io import Info


@spec
class SegmentInstances(FindsObjects):
    """Find objects, each with its own mask: the outline of each car, not the area of all cars."""

    task = "instances"
    result = Instances

    polygons: Annotated[bool, Option("outlines in the records, in place of COCO's run lengths", remote=True)] = False
    background: Annotated[str | None, Option(
        "what is no object: `blur`, a colour (white, #30a0ff) or a picture's path")] = None

    def check(self) -> None:
        """Raise UsageError for a background that is none."""
        background_of(self.background)

    def load(self, pool: Pool) -> Any:
        """The model. Raises as `InstanceSegmenter.load` does, UsageError for a class that is not there."""
        from vision.people.outlines import instance_finder

        model = pool.load(instance_finder, self.model)
        model.submit([], min_score=self.min_score, classes=self.classes, max_iou=self.max_iou)
        return model

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        choices = self.choices(model.card)
        return InstancesStep(self, model, partial(model.submit, **choices), choices["min_score"])


class InstancesStep(DetectStep):
    """An instance segmenter on one stream."""

    def __init__(self, spec: SegmentInstances, model: Any, submit: Any, decides: float) -> None:
        super().__init__(spec.key, model, submit, decides)
        self.spec, self.background = spec, background_of(spec.background)

    def payload(self, result: Instances) -> dict[str, Any]:
        """The objects, with their masks as was asked for."""
        return result.to_dict(self.names, polygons=self.spec.polygons)

    def behind(self, result: Instances, image: Image) -> Image:
        """The picture with the background that was asked for."""
        return image if self.background is None else before(result, image, self.background)

    def paint(self, result: Instances, canvas: Canvas, others: Mapping[str, Any]) -> None:
        """Tint the objects, unless they stand out from a background already."""
        if self.background is None:
            super().paint(result, canvas, others)


Background = str | tuple[int, int, int] | Image             # "blur", BGR, or a picture (H,W,3)


def background_of(text: str | None) -> Background | None:
    """What `blur`, a colour's name or #rrggbb, or a picture's path mean. Raises UsageError for another text."""
    from PIL import ImageColor

    if text is None or text == "blur":
        return text
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
        return blue, green, red
    except ValueError:
        picture = cv2.imread(text) if Path(text).is_file() else None
    if picture is None:
        raise UsageError(f"a background is blur, a colour (white, #30a0ff) or a picture; got {text!r}")
    return np.asarray(picture, np.uint8)


def before(found: Instances, image: Image, background: Background) -> Image:
    """The objects of `image` (H,W,3) in front of another background, which is stretched to its size."""
    people = np.zeros(image.shape[:2], np.float32)
    for i in range(len(found)):
        (left, top), mask = found.crop(i)
        people[top: top + mask.shape[0], left: left + mask.shape[1]][mask] = 1
    if isinstance(background, str):
        return blur_background(image, people)
    if isinstance(background, tuple):
        behind = np.full_like(image, background)
    else:
        behind = np.asarray(cv2.resize(background, found.frame_wh, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.blendLinear(image, behind, people, 1 - people), np.uint8)

"""What a frame shows as a whole."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from vision.spec import Option, spec
from vision.steps.base import ModelStep, Named, Pool, Spec, Step
from vision.types import Scores

if TYPE_CHECKING:
    from vision.io import Info


@spec
class Classify(Spec):
    """Say what each frame shows: a probability for every class."""

    task = "classify"
    result = Scores

    model: Annotated[Named, Option(
        "a name of `vision models`, torchvision:NAME, timm:NAME, or a path to weights")] = "default"
    crop: Annotated[Literal["centre", "letterbox", "stretch", "ten"] | None, Option(
        "what is seen of a frame: its centre, all of it (letterbox, stretch), or ten views and their mean; as the "
        "model's card says unless given")] = None

    def load(self, pool: Pool) -> Any:
        """The classifier. Raises as `Classifier.load` does."""
        from vision.tasks.classify import Classifier

        return pool.load(Classifier.load, self.model)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return ModelStep(self.key, model, partial(model.submit, crop=self.crop) if self.crop else model.submit)

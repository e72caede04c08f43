"""Guesses about faces, for those who ask for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from vision.errors import UsageError
from vision.people.attributes import ASKABLE, LIMITS, Attributes
from vision.people.face import Faces
from vision.people.quality import MIN_WIDTH
from vision.spec import Option, nearest, spec
from vision.state import State
from vision.steps.base import InTurn, ModelOption, Pool, Spec, Step, told
from vision.types import Floats, Frame, Result

if TYPE_CHECKING:
    from vision.io import Info

_MEMORY = 1.0                   # seconds, in which a track's older guesses lose two thirds of their weight


@spec
class DescribeFaces(Spec):
    """Guess what faces express, how old they look and how their gender presents: what is asked for, and unsurely."""

    task = "attributes"
    result = Attributes
    takes: ClassVar = {"on": Faces}

    guess: Annotated[tuple[str, ...], Option(
        "what is guessed: some of expression, age, gender", separator=",", remote=True)] = ("expression",)
    on: Annotated[str, Option("the step whose faces are looked at, by its key")] = "faces"
    model: ModelOption = "default"
    min_width: Annotated[float, Option(
        "nothing is guessed of faces that are less wide", "pixels", min=1, remote=True)] = MIN_WIDTH

    def check(self) -> None:
        """Raise UsageError for something that is not guessed."""
        for word in self.guess:
            if word in ("ethnicity", "race", "skin"):
                raise UsageError("ethnicity is not inferred: docs/tasks/attributes.md says why.")
            if word not in ASKABLE:
                raise UsageError(f"guess has some of {', '.join(ASKABLE)}; got {word!r}. {nearest(word, ASKABLE)}")

    def load(self, pool: Pool) -> Any:
        """The network. Raises as `AttributeGuesser.load` does."""
        from vision.people.attributes import AttributeGuesser

        return pool.load(AttributeGuesser.load, self.model)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return DescribeStep(self, model)


class DescribeStep(InTurn):
    """One stream's faces: on a video the mean of a track's guesses, weighted by how long ago they are."""

    names = ("face",)

    def __init__(self, spec: DescribeFaces, model: Any) -> None:
        super().__init__(spec.key)
        self.spec, self.model = spec, model
        self.needs = self.covers = frozenset((spec.on,))
        self._means: dict[int, tuple[float, Floats]] = {}

    def look(self, frame: Frame, sofar: Mapping[str, Result]) -> Result:
        """The guesses about the frame's faces."""
        faces = sofar[self.spec.on]
        assert isinstance(faces, Faces)
        found: Attributes = replace(self.model(frame.image, faces), asked=tuple(self.spec.guess))
        table = np.column_stack([found.expressions, found.ages, found.margins, found.masculine]).astype(np.float32)
        self._means = {i: one for i, one in self._means.items() if 0 <= frame.time - one[0] < 10}
        for row, (i, box) in enumerate(zip(found.ids.tolist(), found.boxes.tolist(), strict=True)):
            wide = box[2] - box[0] >= self.spec.min_width
            before = self._means.get(i) if i else None
            if before is not None:
                share = np.float32(np.exp(-(frame.time - before[0]) / _MEMORY)) if wide else np.float32(1)
                table[row] = share * before[1] + (1 - share) * table[row]
            elif not wide:
                table[row] = np.nan
            if i and wide:
                self._means[i] = (frame.time, table[row].copy())
        return replace(found, expressions=table[:, :7], ages=table[:, 7], margins=table[:, 8], masculine=table[:, 9])

    def state(self) -> State:
        """The means of each track."""
        return {"means": [[i, time, values] for i, (time, values) in self._means.items()]}

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self._means = {int(i): (float(t), np.asarray(values, np.float32)) for i, t, values in state["means"]}

    def about(self) -> dict[str, Any]:
        """The network, and where it runs."""
        return told(self.model)

    def summary(self) -> Sequence[str]:
        """What such guesses are worth."""
        return [f"{self.key}: {LIMITS}"]

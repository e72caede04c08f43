"""What is being done, in segments with start and end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from vision.spec import Option, spec
from vision.state import State
from vision.steps.base import ModelOption, Pending, Pool, Spec, Step, told
from vision.types import Action, Frame, Result

if TYPE_CHECKING:
    from vision.io import Info


@spec
class RecognizeActions(Spec):
    """Recognise actions on videos, cameras and streams: a sliding window, and segments."""

    task = "action"
    result = Action

    model: ModelOption = "default"
    min_score: Annotated[float | None, Option(
        "the score at which an action begins; the model's own unless given", "0..1", min=0, max=1, remote=True)] = None
    window_every: Annotated[float, Option(
        "time between two windows", "seconds", min=0.01, max=3600, flags=("--window-every",), remote=True)] = 0.32
    smoothing: Annotated[float, Option(
        "time constant of the average over windows", "seconds", min=0, remote=True)] = 0.3

    def load(self, pool: Pool) -> Any:
        """The recogniser. Raises as `Recognizer.load` does."""
        from vision.tasks.action import Recognizer

        return pool.load(Recognizer.load, self.model)

    def open(self, info: Info, model: Any) -> Step:
        """A step for one stream."""
        return ActionStep(self, model)


class ActionStep(Step):
    """One stream's windows and segments."""

    remembers = True

    def __init__(self, spec: RecognizeActions, model: Any) -> None:
        super().__init__(spec.key)
        self.model, self.names = model, model.names
        self.stream = model.stream(spec.window_every, spec.smoothing, spec.min_score)
        self._idle = np.zeros(len(model.names), np.float32)
        self._segments: Sequence[Action] = ()

    @property
    def in_flight(self) -> int:
        """How many windows keep the model's device busy."""
        return int(self.model.in_flight)

    def begin(self, frame: Frame, sofar: Mapping[str, Result]) -> Pending:
        """Start on the window that ends with the frame, if one does; idle while none was full."""
        window = self.stream.submit([frame])

        def settle() -> Result:
            verdict: Action | None = self.stream.settle(frame, window()[0])
            return verdict or Action(self._idle, -1, frame.time, frame.time)

        return settle

    def end(self) -> Sequence[Action]:
        """The segments: short ones are dropped, neighbours of one action joined."""
        self._segments = self.stream.finish()
        return self._segments

    @property
    def notes(self) -> Sequence[str]:
        """A remark, where no window was ever full."""
        stream, window = self.stream, f"the model's window of {self.model.length / self.model.rate:.2f} s"
        if stream.sparse:
            return (f"no action: the frames were {stream.apart:.2f} s apart or more, too far for {window}. Look at "
                    "more of them: a smaller --stride; of pictures, a larger --rate.",)
        if not stream.looped:
            return ()
        found = [f"{self.names[one.label]} {one.probs[one.label]:.2f}" for one in self._segments]
        behind = "" if math.isinf(stream.apart) else "what follows the last gap is "
        return (f"{behind}shorter than {window}: the frames were looped to fill it, as in training, which gives "
                f"{found[0] if found else 'no action'}. Records are written before the end, and have none.",)

    def state(self) -> State:
        """The frames of the window, and the action that is going on."""
        remembered: State = self.stream.state()
        return remembered

    def restore(self, state: State) -> None:
        """Continue from what `state` returned."""
        self.stream.restore(state)

    def about(self) -> dict[str, Any]:
        """The model, and where it runs."""
        return told(self.model)

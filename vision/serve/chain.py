"""A plan's steps over one client's frames, which come one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vision.io import Info
from vision.item import Item
from vision.report import Report
from vision.steps import Spec, Step
from vision.types import Frame
from vision.windows import Windows


class Chain:
    """Steps of one stream. plan: as `checked_plan` gave it. shared: what each spec loaded, by key. info: of the
    stream."""

    def __init__(self, plan: Sequence[Spec], shared: Mapping[str, Any], info: Info) -> None:
        self.plan = plan
        self.steps: list[Step] = []
        try:
            before: dict[str, Step] = {}
            for one in plan:
                step = one.open(info, shared[one.key])
                self.steps.append(step)
                step.join(before)
                before[one.key] = step
        except BaseException:
            self.close()
            raise
        every = [one.every for one in plan]
        self._windows = Windows(list(zip(self.steps, every, strict=True)), Report(info.uri))

    def look(self, frame: Frame) -> Item:
        """The frame with its results. Raises StepError, after which the chain is of no use."""
        done = [*self._windows.push(frame), *self._windows.drain()]
        (_, results), = done
        return Item(frame, results, self.steps)

    @property
    def stateless(self) -> bool:
        """Whether a result depends on its picture alone, so that the next one may be a stranger's."""
        return not any(step.remembers for step in self.steps) and all(one.every == 1 for one in self.plan)

    def names(self) -> dict[str, list[str]]:
        """The class names of each step, by key."""
        return {step.key: list(step.names) for step in self.steps}

    def about(self) -> dict[str, dict[str, Any]]:
        """What each step says of its model, by key."""
        return {step.key: step.about() for step in self.steps}

    def close(self) -> None:
        """The stream is over."""
        for step in self.steps:
            step.end()

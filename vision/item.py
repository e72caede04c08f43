"""A frame with its results: what a run yields, and what a sink takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import cv2

from vision import record
from vision.drawing import Canvas, Style, paint_trails
from vision.steps.base import Step
from vision.types import Frame, Image, Names


class Item:
    """A frame with its results by key: `item["track"].ids`. It is drawn and recorded once, when first asked.

    frame: the frame. results: each step's result, by key; a step that skipped this frame is absent. style: how it is
    drawn. paths: where tracks were, as `vision.drawing.Trails.add` gives it.
    """

    def __init__(
        self, frame: Frame, results: Mapping[str, Any], steps: Sequence[Step], style: Style | None = None,
        paths: Mapping[str, Any] | None = None,
    ) -> None:
        self._style, self._paths = style, paths or {}
        self._steps = [step for step in steps if step.key in results]
        for step in self._steps:
            image = step.shown(frame, results[step.key])
            frame = frame if image is frame.image else replace(frame, image=image)
        self.frame = frame
        self.results = {step.key: results[step.key] for step in self._steps}

    def __getitem__(self, key: str) -> Any:
        return self.results[key]

    def __contains__(self, key: object) -> bool:
        return key in self.results

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def names(self, key: str) -> Names:
        """The class names that the labels of the result `key` index."""
        return next(step.names for step in self._steps if step.key == key)

    @cached_property
    def record(self) -> dict[str, Any]:
        """The JSON record of this frame."""
        return record.record(self.frame, {
            step.key: {**step.about(), **step.payload(self.results[step.key])} for step in self._steps
        })

    def about(self, key: str) -> dict[str, Any]:
        """What the record says of the step `key` beside its result: model, precision, back end."""
        return next(step.about() for step in self._steps if step.key == key)

    @property
    def shown(self) -> list[str]:
        """The keys of the results that are drawn: one that another one shows already is left out."""
        covered = {key for step in self._steps for key in step.covers}
        return [step.key for step in self._steps if step.key not in covered]

    @cached_property
    def drawn(self) -> Image:
        """A copy of the frame with the results drawn on it, (H,W,3) uint8 BGR: class maps first; a result that another
        one shows already is left out."""
        return self._painted(mirror=False)

    @cached_property
    def mirrored(self) -> Image:
        """As `drawn`, with left and right exchanged as in a mirror; what labels say can be read all the same."""
        return self._painted(mirror=True)

    def _painted(self, mirror: bool) -> Image:
        image = self.frame.image.copy()
        for step in self._steps:
            image = step.behind(self.results[step.key], image)
        canvas = Canvas(image, self._style)
        shown = [step for step in self._steps if step.key in self.shown]
        maps = [step for step in shown if hasattr(self.results[step.key], "areas")]
        for step in maps:
            step.paint(self.results[step.key], canvas, self.results)
        hidden = {key for step in self._steps for key in step.hides}
        for path in (path for key, path in self._paths.items() if key not in hidden):
            paint_trails(path, canvas)
        for step in (step for step in shown if step not in maps):
            step.paint(self.results[step.key], canvas, self.results)
        return canvas.finished(mirror=mirror)

    def __repr__(self) -> str:
        frame = self.frame
        return f"Item(frame {frame.index} at {frame.time:.3f} s of {frame.source!r}: {', '.join(self.results)})"

    def _repr_png_(self) -> bytes:
        return cv2.imencode(".png", self.drawn)[1].tobytes()

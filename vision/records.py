"""Records: one schema for every task, a JSON object a frame (`vision/records.schema.json`)."""

from __future__ import annotations

from typing import Any, Protocol

from vision.types import Frame, Names


class Result(Protocol):
    """What a task hands out for a frame."""

    def to_dict(self, names: Names | None = None) -> dict[str, Any]:
        """The task's payload, in plain values, floats rounded to what they mean."""
        ...


def record(
    frame: Frame, result: Result, *, task: str, model: str, names: Names, min_score: float | None = None
) -> dict[str, Any]:
    """The record of one frame: source, frame (decode order), time_s (microseconds kept), size (width
    and height in pixels), task, model, of a detector the score where it decides (`min_score`), and the
    task's payload."""
    return {
        "source": frame.source,
        "frame": frame.index,
        "time_s": round(frame.time, 6),
        "size": list(frame.size_wh),
        "task": task,
        "model": model,
        **({} if min_score is None else {"min_score": min_score}),
        **result.to_dict(names),
    }

"""Records: one JSON object a line, for every task (`vision/record.schema.json`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vision.files import finite
from vision.types import Frame

SCHEMA = 2


def record(frame: Frame, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The record of one frame.

    results: each task's payload, by its key. Returns `source`, `frame` (decode order), `time_s` (microseconds
    kept), `stamp_ns` where the source has a clock of its own, `size` (width and height in pixels), and the
    payloads.
    """
    return {
        **_head("frame", frame.source),
        "frame": frame.index,
        "time_s": round(frame.time, 6),
        **({} if frame.stamp_ns is None else {"stamp_ns": frame.stamp_ns}),
        "size": list(frame.size_wh),
        **results,
    }


def gap(frame: Frame) -> dict[str, Any]:
    """The record of a gap before a frame: a live source was lost for `gap_s` seconds, until `time_s`."""
    return {**_head("gap", frame.source), "time_s": round(frame.time, 6), "gap_s": round(frame.gap, 6)}


def event(source: str, frame: int, key: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an event that the step `key` reported.

    source: the name that was read. frame: the frame's index. values: the event in plain values."""
    return {**_head("event", source), "frame": frame, "key": key, **values}


def line(record: Mapping[str, Any]) -> str:
    """A record as its line of JSON; what is not a number, or infinite, becomes null."""
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:                                   # of a step of somebody's own
        return json.dumps(finite(record), ensure_ascii=False, allow_nan=False) + "\n"


def _head(kind: str, source: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "kind": kind, "source": source}

"""A long video in ranges of time: where it is cut, and whether what came of them is what one run would have given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from vision.io.base import MAX_FRAME_PIXELS
from vision.io.container import open_container, video_stream
from vision.io.source import open_reader
from vision.io.video import Video
from vision.scale.units import Done, Unit
from vision.steps.base import Pool, Spec


def memoryless(plan: Sequence[Spec], info: Any, pool: Pool) -> bool:
    """Whether each frame's results depend on that frame alone, so that ranges may be done anywhere."""
    for one in plan:
        if one.every != 1:
            return False
        step = one.open(info, one.load(pool))
        step.end()
        if step.remembers or step.ahead:
            return False
    return True


def cuts(uri: str, duration: float, every: float) -> tuple[float, ...]:
    """Where to cut a video, in seconds: at key frames, about `every` seconds apart. None of them where its frames
    cannot be counted without decoding them."""
    reader = open_reader(uri)
    try:
        if not isinstance(reader, Video) or not reader.countable:
            return ()
    finally:
        reader.close()
    with open_container(uri, f"file:{uri}") as container:
        stream = video_stream(uri, container, MAX_FRAME_PIXELS)
        found = []
        for number in range(1, round(duration / every)):
            container.seek(round(number * every / stream.time_base), stream=stream)
            packet = next((one for one in container.demux(stream) if one.pts is not None), None)
            if packet is not None and packet.is_keyframe:
                found.append(float(packet.pts * stream.time_base))
    return tuple(sorted({at for at in found if 0 < at < duration}))


def ranges(unit: Unit, at: Sequence[float]) -> list[Unit]:
    """The units of a source that is cut `at` these seconds."""
    edges = [unit.start, *at, unit.end]
    return [
        replace(unit, start=start, end=end, part=number)
        for number, (start, end) in enumerate(zip(edges, edges[1:], strict=False))
    ]


def part_name(unit: Unit) -> str:
    """What the records of a range are called."""
    return f"{unit.name}.{unit.part:05d}"


def follows_on(parts: Sequence[Done]) -> bool:
    """Whether the frames of the ranges are those of one run: one that was damaged was counted by its packets where
    a run would have counted it by its frame, and what comes later would have other indices."""
    if any(part.corrupt or part.first is None for part in parts):
        return False
    return all(
        after.first == before.last + 1 for before, after in zip(parts, parts[1:], strict=False)
        if before.last is not None
    )

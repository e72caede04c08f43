"""What a source holds: its own word, and what decoding it shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from vision.errors import SourceError
from vision.io.listing import local_files
from vision.io.pictures import PICTURE_SUFFIXES
from vision.io.source import ReaderName, Source, read


def probe(
    uri: str | int | Path, reader: ReaderName = "auto", *, count: bool = False, max_pixels: int | None = None
) -> dict[str, Any]:
    """Plain facts about a source: the fields of `Info`, and of the first frame `source`, `size_wh` and
    `time_s`, as `first`; of a folder, a glob or a list how many `videos` and `pictures` it has, as `holds`.

    count: decode everything, and tell under `counted` how many `frames` there are, how many are
    `corrupt`, `last_s`, and the intervals between frames, `interval_s` (shortest, median, longest);
    not for a live source, which has no end. `notes`: what the reader remarked. Raises SourceError
    when there is nothing to read.
    """
    with read(uri, reader=reader, max_pixels=max_pixels) as source:
        return _facts(source, str(uri), count)


def probe_all(uri: str | int | Path, reader: ReaderName = "auto", *, count: bool = False) -> Iterator[dict[str, Any]]:
    """What `probe` tells of a source, and after a folder, a glob or a list of each video and each run of pictures in
    it; of one that cannot be read its `uri` and the `error`. Raises SourceError when there is nothing to read."""
    several = read(uri, reader=reader)
    if several.info.kind != "list":
        with several:
            yield _facts(several, str(uri), count)
        return
    yield probe(uri, reader)
    for member in several.members:
        try:
            with member() as source:
                yield _facts(source, member.uri, count)
        except SourceError as error:
            yield {"uri": member.uri, "error": str(error)}


def _facts(source: Source, uri: str, count: bool) -> dict[str, Any]:
    facts = asdict(source.info)
    first = next(source, None)
    if first is not None:
        facts["first"] = {"source": first.source, "size_wh": first.size_wh, "time_s": round(first.time, 6)}
    if first is not None and count and not source.info.live:
        times = [first.time, *(frame.time for frame in source)]
        gaps = [round(b - a, 6) for a, b in pairwise(times)]
        facts["counted"] = {
            "frames": len(times),
            "corrupt": source.counts.corrupt,
            "last_s": round(times[-1], 6),
            "interval_s": [min(gaps), median(gaps), max(gaps)] if gaps else None,
        }
    if source.info.kind in ("list", "pictures"):
        suffixes = [file.suffix.lower() for file in local_files(uri)]
        pictures = sum(suffix in PICTURE_SUFFIXES for suffix in suffixes)
        facts["holds"] = {"videos": len(suffixes) - pictures, "pictures": pictures}
    return {**facts, "notes": list(source.notes)}

"""What a source holds: its own word, and what decoding it shows."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from vision.io.listing import local_files
from vision.io.pictures import PICTURE_SUFFIXES
from vision.io.source import ReaderName, read


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
        facts = asdict(source.info)
        first = next(source, None)
        if first is not None:
            facts["first"] = {
                "source": first.source, "size_wh": first.size_wh, "time_s": round(first.time, 6),
            }                                                                       # fmt: skip
            if count and not source.info.live:
                times = [first.time, *(frame.time for frame in source)]
                gaps = [round(b - a, 6) for a, b in pairwise(times)]
                facts["counted"] = {
                    "frames": len(times),
                    "corrupt": source.counts.corrupt,
                    "last_s": round(times[-1], 6),
                    "interval_s": [min(gaps), median(gaps), max(gaps)] if gaps else None,
                }
        if source.info.kind in ("list", "pictures"):
            suffixes = [file.suffix.lower() for file in local_files(str(uri))]
            pictures = sum(suffix in PICTURE_SUFFIXES for suffix in suffixes)
            facts["holds"] = {"videos": len(suffixes) - pictures, "pictures": pictures}
        facts["notes"] = list(source.notes)
    return facts

"""What models saw in records of earlier runs, and on the pictures that these are of."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vision.errors import DataError, SourceError
from vision.files import json_lines
from vision.io import read
from vision.io.listing import is_camera, is_url
from vision.serve.seen import Seen, embedding, look, models_in
from vision.types import Image

_PICTURES = 300                                          # of a source, evenly spread, that are looked at


def seen_in(files: Sequence[Path], classifier: Callable[[], Any] | None, told: Callable[[str], None],
            pictures: Sequence[str] = ()) -> dict[str, list[Seen]]:
    """What each model saw, by `key model`, in the order of the records.

    files: records as JSON lines. classifier: makes the embeddings' classifier; None: no embeddings. told: called with
    what could not be looked at. pictures: what to read in place of each source that the records name, in the order in
    which they name them. Raises DataError for a file that holds no records.
    """
    by_source: dict[str, list[tuple[int, list[tuple[str, Seen]]]]] = defaultdict(list)
    for record in _records(files):
        by_source[str(record.get("source", ""))].append((int(record.get("frame", 0)), list(models_in(record))))
    seen: dict[str, list[Seen]] = defaultdict(list)
    for number, (source, rows) in enumerate(by_source.items()):
        name = pictures[number] if number < len(pictures) else source
        try:
            _look_at(name, rows, classifier() if classifier else None)
        except SourceError as error:
            told(f"brightness, sharpness and embeddings are not in it: {error} Name what to read: --pictures.")
        for _, found in rows:
            for model, one in found:
                seen[model].append(one)
    if not seen:
        raise DataError(f"there is no record of a model in {', '.join(map(str, files))}. Records are JSON lines, as "
                        "--jsonl of every task writes them.")
    return dict(seen)


def _records(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        for number, line in json_lines(file):
            yield from _frame(file, number, line)


def _refused(number: str) -> None:
    raise ValueError(f"{number} is no number of a record")


def _frame(file: Path, number: int, line: str) -> Iterator[dict[str, Any]]:
    """The record of a line, where it is one of a frame."""
    try:
        record = json.loads(line, parse_constant=_refused)
        if isinstance(record, dict) and record.get("kind") == "frame":
            list(models_in(record))
            int(record.get("frame", 0))
            yield record
        elif not isinstance(record, dict):
            raise ValueError("no object")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{str(file)!r}, line {number}, is no record ({type(error).__name__}: {error}).") from error


def _look_at(source: str, rows: Sequence[tuple[int, list[tuple[str, Seen]]]], classifier: Any) -> None:
    """Take brightness, sharpness and embedding of a source's pictures into what was seen on them."""
    if not source or source == "-" or is_camera(source) or is_url(source):
        raise SourceError(f"{source!r} cannot be read again.")
    every = max(1, len(rows) // _PICTURES)
    wanted = dict(rows[::every])
    last = max(wanted)
    with read(source) as frames:
        for frame in frames:
            if frame.index in wanted:
                _into(wanted[frame.index], frame.image, classifier)
            if frame.index >= last:
                break


def _into(found: Iterable[tuple[str, Seen]], image: Image, classifier: Any) -> None:
    brightness, sharpness = look(image)
    vector = None if classifier is None else embedding(classifier, image)
    for _, one in found:
        one.brightness, one.sharpness, one.embedding = brightness, sharpness, vector

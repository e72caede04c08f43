"""`vision clip`: highlights, cut out around events."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from vision.errors import DataError, SourceError, plain
from vision.files import json_lines

_LEAST_S = 0.1                                           # of a clip: the picture of the event itself is in it


class Moment(NamedTuple):
    """When something happened, in seconds, and what."""

    start: float
    end: float
    what: str


def clip(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="the video in which the events happened")],
    events: Annotated[Path, typer.Option(
        "--from", help="events (`vision count --events`) or segments (`vision action --segments`), .jsonl or .csv")],
    around: Annotated[float, typer.Option(help="seconds before and after", min=0)] = 3.0,
    folder: Annotated[Path, typer.Option("--output", "-o", help="folder of the clips")] = Path(),
) -> None:
    """Cut a clip out of a video for each event: packets are copied where they can be."""
    from vision.files import make_folder
    from vision.io import Inputs
    from vision.sinks.cut import cut
    from vision.sinks.frames import distinct

    moments = read_moments(events, source)
    make_folder(folder)
    names: set[str] = set()
    failed: list[SourceError] = []
    inputs = Inputs([source])
    for moment in moments:
        stem = folder / distinct(f"{Path(source).stem}-{_clock(moment.start)}-{moment.what}", names)
        for suffix in (".mp4", ".mkv"):
            inputs.refuse(stem.with_name(stem.name + suffix))
        start = max(0.0, moment.start - around)
        try:
            piece = cut(source, start, max(moment.end + around, start + _LEAST_S), stem, earlier=max(1.0, around))
        except SourceError as error:                     # an event outside of the film: the others are cut
            failed.append(error)
            print(plain(f"{moment.what} at {moment.start:.3f} s is left out: {error}"), file=sys.stderr)
            continue
        if not piece.copied:
            note = " (encoded anew, without sound: there is no key frame near to cut at)"
        else:
            earlier = start - piece.begins
            note = f" (begins {earlier:.2f} s earlier, at a key frame)" if earlier > 0.005 else ""
        print(plain(f"{piece.path}{note}"))
    if failed:
        raise failed[0]


def read_moments(path: Path, source: str) -> list[Moment]:
    """What happened in `source` according to a file of events or segments, in its order. Raises DataError."""
    found: dict[str, list[Moment]] = {}
    number = 0
    try:
        for of, moment in map(_moment, _rows(path)):
            number += 1
            if moment is not None:
                found.setdefault(of, []).append(moment)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} cannot be read ({error}).") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise DataError(
            f"{path}: expected events or segments; entry {number + 1} is neither ({error!r:.80})."
        ) from error
    if not found:
        raise DataError(f"{str(path)!r} has no event. Make some: vision count SOURCE --line ... --events FILE")
    alike = [one for one in found if one == source] or [one for one in found if Path(one).name == Path(source).name]
    if not alike:
        raise DataError(f"{str(path)!r} has nothing of {source!r}. It is of: {', '.join(list(found)[:5])}.")
    return [moment for one in alike for moment in found[one]]


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    else:
        yield from (json.loads(line) for _, line in json_lines(path) if line.strip())


def _moment(row: Mapping[str, Any]) -> tuple[str, Moment | None]:
    """The source of an entry, and when it was; None for a record that is no event."""
    source = str(row.get("source", ""))
    if "start_s" not in row and "event" not in row:
        return source, None
    start = float(row["start_s"] if "start_s" in row else row["time_s"])
    end = float(row.get("end_s", start))
    if not (0 <= start <= end < math.inf):
        raise ValueError(f"from {start} to {end} s")
    words = [row[key] for key in ("event", "place", "side", "label") if row.get(key)]
    what = re.sub(r"[^\w.]+", "-", "-".join(map(str, words))).strip("-.")[:80]
    return source, Moment(start, end, what or "event")


def _clock(seconds: float) -> str:
    """`1h02m03.4s`, `2m03.4s`, `3.4s`: in a file's name."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return (f"{hours}h{minutes:02d}m" if hours else f"{minutes}m") + f"{rest:04.1f}s"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("clip")(clip)

"""Stretches of time with a label: as JSON lines, CSV or ASS subtitles, and as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from vision.errors import UsageError
from vision.files import check_writable, write_whole
from vision.sinks.base import Sink, SinkSpec
from vision.sinks.boxes import one_source
from vision.sinks.events import one_png
from vision.sinks.text import rows_of
from vision.spec import Option, spec
from vision.state import State

if TYPE_CHECKING:
    from vision.io import Info
    from vision.item import Item
    from vision.steps.base import Spec
    from vision.types import Action

COLUMNS = ("source", "label", "class_id", "score", "start_s", "end_s")
_ASS = """[Script Info]
ScriptType: v4.00+
PlayResX: 1280
PlayResY: 720

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Bold, BorderStyle, Outline, \
Alignment, MarginL, MarginR, MarginV
Style: Default,Sans,40,&H00FFFFFF,&H00000000,&H80000000,0,1,2,2,20,20,30

[Events]
Format: Layer, Start, End, Style, Text
"""

Of = Annotated[str | None, Option("the step whose segments are written, by its key")]


@spec
class Segments(SinkSpec):
    """Actions with start and end, written when a source has ended: .jsonl, .csv, or .ass (subtitles, of one video)."""

    name = "segments"
    of = "action"

    path: Annotated[Path | str, Option(
        "actions with start and end: .jsonl, .csv or .ass (subtitles)", flags=("--segments",))]
    on: Of = None

    def check(self) -> None:
        """Raise UsageError for another suffix."""
        if Path(self.path).suffix.lower() not in FORMATS:
            raise UsageError(f"segments are written as {', '.join(FORMATS)}; got {str(Path(self.path))!r}")

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no actions."""
        return _Segments(Path(self.path), self.key_in(plan))


class _Ended(Sink):
    """What sinks share that write the segments of a source when it has ended."""

    def __init__(self, path: Path, on: str) -> None:
        self.path, self.on = path, on
        self.paths, self.needs = (path,), frozenset((on,))
        self._source, self._names = "", list[str]()
        check_writable(path)

    def apart(self) -> Sink:
        return copy(self)

    def begin(self, info: Info) -> None:
        self._source = info.uri

    def take(self, item: Item) -> None:
        self._names = self._names or list(item.names(self.on))
        self._source = self._source or item.frame.source           # frames of a program have no source but their own


class _Segments(_Ended):
    def __init__(self, path: Path, on: str) -> None:
        super().__init__(path, on)
        self.rows: list[dict[str, Any]] = []
        self.one_source = path.suffix.lower() == ".ass"

    def begin(self, info: Info) -> None:
        if self.one_source:
            one_source("a file of subtitles", self._source, info)
        super().begin(info)

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        found: Sequence[Action] = results.get(self.on, ())
        self.rows += [{"source": self._source, **one.to_dict(self._names)["action"]} for one in found]
        write_segments(self.path, self.rows)

    def state(self) -> State:
        return {"rows": self.rows, "names": self._names}

    def restore(self, state: State) -> None:
        self.rows, self._names = list(state["rows"]), list(state["names"])


@spec
class Timeline(SinkSpec):
    """The segments of one video as a picture."""

    name = "timeline"
    of = "action"

    path: Annotated[Path | str, Option("the segments as a picture (PNG)", flags=("--timeline",))]
    on: Of = None

    def check(self) -> None:
        """Raise UsageError for a file that is no PNG."""
        one_png("--timeline", Path(self.path))

    def open(self, plan: Sequence[Spec]) -> Sink:
        """The sink of a run. Raises UsageError where the plan has no actions."""
        return _Timeline(Path(self.path), self.key_in(plan))


class _Timeline(_Ended):
    one_source = True

    def __init__(self, path: Path, on: str) -> None:
        super().__init__(path, on)
        self.span: list[float] = []                      # first and last time, seconds

    def begin(self, info: Info) -> None:
        one_source("a timeline", self._source, info)
        super().begin(info)

    def take(self, item: Item) -> None:
        super().take(item)
        time = item.frame.time
        self.span = [min([time, *self.span[:1]]), max([time, *self.span[1:]])]

    def end(self, results: Mapping[str, Sequence[Any]], complete: bool) -> None:
        from vision.chart import save_png, timeline_chart

        start, stop = self.span or (0.0, 0.0)
        save_png(self.path, timeline_chart(list(results.get(self.on, ())), (start, stop), self._names))

    def state(self) -> State:
        return {"span": self.span, "names": self._names}

    def restore(self, state: State) -> None:
        self.span, self._names = list(state["span"]), list(state["names"])


def write_segments(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with `COLUMNS` (times in seconds) as the suffix says: .jsonl, .csv or .ass, the last
    for one source. Raises UsageError for another suffix, SinkError where it cannot be written."""
    try:
        text = FORMATS[path.suffix.lower()](rows)
    except KeyError:
        raise UsageError(f"segments are written as {', '.join(FORMATS)}; got {str(path)!r}") from None
    write_whole(path, text.encode(errors="backslashreplace"))


def _jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps({c: row[c] for c in COLUMNS}, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    return rows_of([COLUMNS, *([row[c] for c in COLUMNS] for row in rows)])


def _ass(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        f"Dialogue: 0,{_clock(row['start_s'])},{_clock(row['end_s'])},Default,{_plain(row['label'])}\n"
        for row in rows
    ]
    return _ASS + "".join(lines)


def _clock(seconds: float) -> str:
    """H:MM:SS.cc"""
    hundredths = round(max(0.0, seconds) * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"


def _plain(text: str) -> str:
    """Without what ASS takes for an override block or a line break."""
    return text.replace("\\", "/").replace("{", "(").replace("}", ")").replace("\n", " ")


FORMATS = {".jsonl": _jsonl, ".csv": _csv, ".ass": _ass}

"""Stretches of time with a label, written as JSON lines, CSV or ASS subtitles."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vision.errors import UsageError
from vision.files import write_whole

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
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


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

"""`vision probe`: what a source holds."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

import typer

from vision.errors import VisionError, plain


def probe(
    sources: Annotated[list[str], typer.Argument(
        metavar="SOURCE", help="anything that can be read: see `vision detect --help`")],
    count: Annotated[bool, typer.Option(
        "--count", help="decode everything, and count the frames and the time between them")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
    reader: Annotated[Literal["auto", "opencv"], typer.Option(
        help="what decodes video: PyAV or OpenCV")] = "auto",
) -> None:
    """Show what sources hold: kind, size, rate, length, codec, rotation, sound; of each file in a folder."""
    from vision.io.probe import probe_all

    failed = False
    for uri in sources:
        try:
            for facts in probe_all(uri, reader, count=count):
                if "error" in facts:
                    failed = True
                    print(plain(f"SourceError: {facts['error']}"), file=sys.stderr)
                elif as_json:
                    print(json.dumps(facts))
                else:
                    _show(facts)
        except VisionError as error:
            failed = True
            print(plain(f"{type(error).__name__}: {error}"), file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _show(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False)
    for name, value in _rows(facts):
        table.add_row(name, Text(plain(value)))           # foreign text: no markup is looked for in it
    print(plain(facts["uri"]))
    Console().print(table)


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts as a person reads them; what the source does not say is left out."""
    size, counted, first = facts["size_wh"], facts.get("counted"), facts.get("first")
    estimate, rotation = facts["frames_estimate"], facts["rotation"]
    holds = facts.get("holds")
    rows = [
        ("kind", facts["kind"] + (", live" if facts["live"] else "")),
        ("holds", ", ".join(f"{count} {what[:-1] if count == 1 else what}"
                            for what, count in (holds or {}).items() if count)),
        ("size", f"{size[0]}x{size[1]} pixels" if size else ""),
        ("rate", f"{facts['rate']:.3f} frames/s on average" if facts["rate"] else ""),
        ("duration", f"{facts['duration']:.3f} s" if facts["duration"] else ""),
        ("frames", f"about {estimate} (the source's own word)" if estimate and not counted else ""),
        ("codec", facts["codec"] or ""),
        ("rotation", f"{rotation} degrees clockwise, applied" if rotation else ""),
        ("mirrored", "left to right, applied" if facts["mirrored"] else ""),
        ("sound", facts["audio"] or ""),
        ("first frame", f"{first['time_s']:.3f} s" if first else "none"),
    ]
    if counted:
        rows += [("frames", f"{counted['frames']} decoded, {counted['corrupt']} corrupt"),
                 ("last frame", f"{counted['last_s']:.3f} s")]
        if counted["interval_s"]:
            low, middle, high = (1000 * s for s in counted["interval_s"])
            rows.append(("between frames", f"{low:.1f} to {high:.1f} ms, median {middle:.1f} ms"))
    return [row for row in rows if row[1]] + [("note", note) for note in facts["notes"]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("probe")(probe)

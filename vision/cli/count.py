"""`vision count`: lines and zones, and every event behind the numbers."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vision.cli.run import RunOptions, command
from vision.cli.track import Tracking, one_png, one_source
from vision.errors import SinkError, UsageError

if TYPE_CHECKING:
    from vision.io import Source
    from vision.pipeline import Item, Sink
    from vision.tracking.count import Counted, Counter, Event
    from vision.tracking.scene import Scene
    from vision.types import Tracks

_COLUMNS = ("source", "frame", "time_s", "event", "place", "side", "id", "label", "x", "y", "dwell_s")


@command
def count(
    run: RunOptions,
    tracking: Tracking,
    scene: Annotated[Path | None, typer.Option(
        help="lines, zones and the ground (TOML, as in the README)")] = None,
    line: Annotated[list[str] | None, typer.Option(
        help="x1,y1,x2,y2 in pixels: a line, as often as you like")] = None,
    events: Annotated[Path | None, typer.Option(help="every event as a JSON line")] = None,
    events_csv: Annotated[Path | None, typer.Option(help="every event as a row")] = None,
    heatmap: Annotated[Path | None, typer.Option(help="where the time was spent (PNG)")] = None,
    hysteresis: Annotated[float, typer.Option(
        min=0, help="box sizes that a track must be past a border")] = 0.1,
) -> None:
    """Count what crosses lines and is in zones, with the time, the place and the track of each event."""
    from vision.tracking.count import Counter

    view = _scene(scene, line or [])
    if len(run.sources) > 1:
        raise UsageError(f"a scene is of one view; got {len(run.sources)} sources.")
    for option, path in (("--events", events), ("--events-csv", events_csv)):
        one_source(run, option, path)
    one_png(run, "--heatmap", heatmap)
    counter = Counter(view, hysteresis=hysteresis, lost_after=tracking.lost_after)
    counted: list[str] = []                            # the source, once it is open

    def then(source: Source) -> Callable[[Tracks, float], Counted]:
        if source.info.size_wh is not None:
            view.fits(source.info.size_wh)
        counted.append(source.info.uri)
        return counter

    def sinks(source: Source, stack: ExitStack) -> Iterable[Sink]:
        writers = [*_event_files(events, events_csv, stack)]
        if writers:
            yield _event_writer(counter, writers, stack)
        if heatmap is not None:
            yield _heat_writer(heatmap, view, stack)

    try:
        tracking.execute(run, "count", then, sinks, (events_csv, heatmap), (events,))
    finally:                                           # Ctrl-C is how a camera's run ends
        counter.close()
        if counted and not run.quiet:
            print(_summary(counter), file=sys.stderr)


def _scene(path: Path | None, lines: list[str]) -> Scene:
    from dataclasses import replace

    from vision.tracking.scene import Line, Scene, read_scene

    scene = read_scene(path) if path is not None else Scene()
    drawn = []
    for number, text in enumerate(lines, 1):
        try:
            x1, y1, x2, y2 = (float(value) for value in text.split(","))
        except ValueError:
            raise UsageError(f"--line is x1,y1,x2,y2 in pixels; got {text!r}.") from None
        drawn.append(Line(f"line {number}", (x1, y1), (x2, y2)))
    if not (scene.lines or scene.zones or drawn):
        raise UsageError("there is nothing to count at: give --scene FILE.toml or --line x1,y1,x2,y2.")
    return replace(scene, lines=(*scene.lines, *drawn))


def _event_files(
    jsonl: Path | None, table: Path | None, stack: ExitStack
) -> Iterable[Callable[[dict[str, Any]], None]]:
    from vision.io import JsonLines

    if jsonl is not None:
        yield stack.enter_context(JsonLines(jsonl)).write
    if table is not None:
        try:
            file = stack.enter_context(table.open("w", 1, "utf-8", newline=""))
        except OSError as error:
            raise SinkError(f"{str(table)!r} cannot be written ({error.strerror}).") from error
        rows = csv.DictWriter(file, _COLUMNS)
        rows.writeheader()
        yield rows.writerow


def _event_writer(
    counter: Counter, writers: list[Callable[[dict[str, Any]], None]], stack: ExitStack
) -> Sink:
    last: Item | None = None

    def write(item: Item, events: Iterable[Event]) -> None:
        for event in events:
            for put in writers:
                put({"source": item.frame.source, "frame": item.frame.index, **event.to_dict(item.names)})

    def see(item: Item) -> None:
        nonlocal last
        last = item
        write(item, item.result.events)

    def finish() -> None:
        if last is not None:
            write(last, counter.close())

    stack.callback(finish)
    return see


def _heat_writer(path: Path, scene: Scene, stack: ExitStack) -> Sink:
    import cv2

    from vision.tracking.heatmap import HeatMap

    heat: HeatMap | None = None
    ground = None

    def see(item: Item) -> None:
        nonlocal heat, ground
        if heat is None:
            heat, ground = HeatMap(item.frame.size_wh), item.frame.image.copy()
        heat.add(scene.anchors(item.result.tracks.boxes), item.frame.time)

    def finish() -> None:
        if heat is not None and ground is not None and not cv2.imwrite(str(path), heat.picture(ground)):
            raise SinkError(f"{str(path)!r} cannot be written. Is its folder there?")

    stack.callback(finish)
    return see


def _summary(counter: Counter) -> str:
    rows = []
    for place, sides in counter.totals.items():
        text = f"{place}: " + ", ".join(f"{side} {number}" for side, number in sides.items())
        dwells = counter.dwells.get(place, [])
        rows.append(text + (f"; {sum(dwells) / len(dwells):.1f} s inside on average" if dwells else ""))
    return "\n".join(rows)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("count")(count)

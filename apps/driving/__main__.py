"""Watch the road: say what to warn of, and hand over each frame's numbers as a control loop wants them.

    python -m apps.driving drive.mp4                                   # a file, or a camera's number
    python -m apps.driving 0 --camera camera.toml --height 1.4         # metres; --pitch too, where it is known
    python -m apps.driving drive.mp4 --film out.mp4 --only-free        # the dashboard; no weights for research

One line a warning on standard output; with `--lines` one line of JSON a frame, of what `State` holds, null for what is
infinite or not known. Copy this page:
`watch` is the loop, `State` what your own code gets, `on_warning` where it brakes, beeps or logs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from vision import Detect, Drive, FindLanes, Item, Run, Segment, Situation, Track, VideoFile, latest, read
from vision.driving.alerts import Alert
from vision.errors import VisionError
from vision.record import line


@dataclass(frozen=True)
class State:
    """What a control loop asks of a frame; None where it is not known, or where there are no metres.

    time: seconds of the source. age: seconds since the frame came, when this was made: how stale it is.
    offset: metres from the lane's middle, positive: to the left. curvature: one over metres, positive: to the left.
    gap, closing: metres to what is next in the way, and metres a second at which it comes nearer. gap_least: the lower
        end of its 90 % interval: what to plan with. collision: seconds until it is here.
    free: metres of free road straight ahead; infinite: to the horizon.
    """

    time: float
    age: float
    offset: float | None
    curvature: float | None
    gap: float | None
    gap_least: float | None
    closing: float | None
    collision: float | None
    free: float | None
    warnings: tuple[str, ...]


def state_of(item: Item, now: float) -> State:
    """The numbers of a frame. now: seconds of `time.monotonic`."""
    road: Situation = item["drive"]
    found, lanes = road.obstacles, road.lanes
    ahead = np.flatnonzero(found.in_path & (np.array(found.states, object) == ""))
    first = min(ahead.tolist(), key=lambda n: float(found.places[n, 0]), default=None)
    free = None
    if road.free is not None and road.calibrated:
        free = float(road.free.ranges[int(np.argmin(np.abs(road.free.angles)))])

    def known(values: np.ndarray, column: int) -> float | None:
        value = float("nan") if first is None else float(values[first, column])
        return None if np.isnan(value) else value

    return State(
        item.frame.time, now - item.frame.captured, lanes.offset if road.calibrated else None, lanes.curvature,
        known(found.distances, 0), known(found.distances, 1), known(found.speeds, 0), known(found.times, 0), free,
        tuple(road.active),
    )


def plan_of(camera: Path | None, height: float | None, pitch: float | None, only_free: bool) -> Sequence[object]:
    """What is done with each frame: without research weights the road is told by its colour."""
    road = [] if only_free else [Segment(every=5)]
    return [Detect(model="gfl-voc"), Track(), *road, FindLanes(camera=camera, height=height, pitch=pitch), Drive()]


def watch(run: Run) -> Iterator[tuple[Item, State, tuple[Alert, ...]]]:
    """Each frame with its numbers, and the warnings that begin or end in it."""
    from time import monotonic

    for item in run:
        yield item, state_of(item, monotonic()), item["drive"].events


def on_warning(alert: Alert, names: Sequence[str]) -> None:
    """Where your own code brakes, beeps or logs."""
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in alert.values.items())
    what = names[alert.label] if 0 <= alert.label < len(names) else alert.place
    print(f"{alert.time:8.2f} s  {alert.side:5}  {alert.kind} {what}  {numbers}".rstrip(), flush=True)


def main(
    source: Annotated[str, typer.Argument(help="video, URL or camera number")],
    camera: Annotated[Path | None, typer.Option(help="calibration: metres need one")] = None,
    height: Annotated[float | None, typer.Option(help="of the camera above the ground, metres")] = None,
    pitch: Annotated[float | None, typer.Option(help="below the horizontal, degrees")] = None,
    film: Annotated[Path | None, typer.Option(help="the dashboard as a video")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="a line of JSON a frame in place of the warnings")] = False,
    only_free: Annotated[bool, typer.Option("--only-free", help="no weights that are for research")] = False,
) -> None:
    """Watch the road and say what to warn of."""
    frames = read(source)
    if frames.info.live:
        frames = latest(frames)                          # the newest frame, never one in line
    sinks = [VideoFile(film)] if film is not None else []
    with Run(frames, plan_of(camera, height, pitch, only_free), sinks=sinks, free_only=only_free) as run:
        for item, state, alerts in watch(run):
            if lines:
                print(line(asdict(state)), end="", flush=True)
                continue
            for alert in alerts:
                on_warning(alert, item.names("drive"))
    for note in run.report.notes:
        print(note, file=sys.stderr)


if __name__ == "__main__":
    try:
        typer.run(main)
    except VisionError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

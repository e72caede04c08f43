"""What a run shows while it goes on, and what it says at its end. Everything goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.pipeline import Item, Report

Progress = Callable[["Report", "Item"], None]
Share = Callable[["Report", "Item"], float | None]
_EVERY_S = 5.0                                  # how often a line is printed without a terminal


@contextmanager
def progress(label: str, share: Share, *, quiet: bool) -> Iterator[Progress]:
    """A callback for `vision.pipeline.run`: a bar on a terminal, a line every few seconds elsewhere.

    share: how much of the run is done, 0..1, or None where its end is not known.
    """
    if quiet:
        yield lambda report, item: None
    elif sys.stderr.isatty():
        with _bar(label, share) as update:
            yield update
    else:
        yield _lines(label, share)


def share_of(start: float, end: float | None, max_frames: int | None) -> Share:
    """How much is done, told by the frames' times, since a container's frame count is a guess.

    start, end: the times in seconds between which the run lies; None: not known.
    """
    def share(report: Report, item: Item) -> float | None:
        by_time = (item.frame.time - start) / (end - start) if end and end > start else None
        by_count = report.inferred / max_frames if max_frames else None
        known = [s for s in (by_time, by_count) if s is not None]
        return min(1.0, max(0.0, *known)) if known else None

    return share


def _rate(report: Report, began: float) -> str:
    fps = report.inferred / max(1e-9, monotonic() - began)
    return f"{report.inferred} frames, {fps:.1f}/s, limited by {report.bottleneck}"


def _lines(label: str, share: Share) -> Progress:
    began = last = monotonic()

    def update(report: Report, item: Item) -> None:
        nonlocal last
        now = monotonic()
        if now - last < _EVERY_S:
            return
        last = now
        done = share(report, item)
        left = f", {(now - began) * (1 / done - 1):.0f} s left" if done else ""
        print(f"{label}: {_rate(report, began)}{left}", file=sys.stderr, flush=True)

    return update


@contextmanager
def _bar(label: str, share: Share) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    began = monotonic()
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), refresh_per_second=5) as bar:
        row = bar.add_task(label, total=None, rate="")
        last = 0.0

        def update(report: Report, item: Item) -> None:
            nonlocal last
            now = monotonic()
            if now - last > 0.1:
                last = now
                done = share(report, item)
                bar.update(row, total=None if done is None else 1.0, completed=done or 0.0,
                           rate=_rate(report, began))

        yield update
        bar.update(row, total=1.0, completed=1.0)


def summary(uri: str, report: Report, outputs: list[Path]) -> str:
    """The completeness report as a few lines of text."""
    facts = report.to_dict()
    counts = [f"{facts['decoded']} decoded"]
    counts += [f"{report.passed_over} passed over"] if report.passed_over else []
    counts += [f"{report.inferred} inferred", f"{report.written} written"]
    counts += [f"{n} dropped ({cause})" for cause, n in report.dropped.items()]
    counts += [f"{report.corrupt} corrupt"] if report.corrupt else []
    lines = [
        f"{uri}: {', '.join(counts)}",
        f"  {report.seconds:.1f} s, {report.fps:.1f} frames/s, limited by {report.bottleneck}; "
        f"latency p50 {facts['latency_ms']['p50']:.0f} ms, p99 {facts['latency_ms']['p99']:.0f} ms",
    ]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [f"  -> {path}" for path in outputs]
    return "\n".join(lines)

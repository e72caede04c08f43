"""What a run shows while it goes on, and what it says at its end. Everything goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from vision.cli.text import counted
from vision.errors import plain

if TYPE_CHECKING:
    from vision.io import Info
    from vision.report import Report
    from vision.scale.job import Progress as Whole

Progress = Callable[["Report", float | None], None]
_EVERY_S = 5.0                                  # how often a line is printed without a terminal
_SURE = 0.02                                    # of the run is done, before a time that is left is guessed


@contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Progress]:
    """A callback for each item of a run, with how much is done, 0..1: a bar on a terminal, a line every few
    seconds elsewhere."""
    if quiet:
        yield lambda report, share: None
    elif sys.stderr.isatty():
        with _bar(label) as update:
            yield update
    else:
        yield _lines(label)


def share_of(info: Info, report: Report, time: float, end: float | None, max_frames: int | None) -> float | None:
    """How much is done, by the frames' times, since a container's frame count is a guess; None: not known. end: where
    reading ends, in seconds; None: with the source."""
    length = min((until for until in (info.duration, end) if until), default=0.0) - info.start
    by_time = (time - info.start) / length if length > 0 else None
    by_count = report.inferred / max_frames if max_frames else None
    known = [share for share in (by_time, by_count) if share is not None]
    return min(1.0, max(0.0, *known)) if known else None


def _rate(report: Report, began: float) -> str:
    fps = report.inferred / max(1e-9, monotonic() - began)
    return f"{counted(report.inferred, 'frame')}, {fps:.1f}/s"


def _lines(label: str) -> Progress:
    began = last = monotonic()

    def update(report: Report, done: float | None) -> None:
        nonlocal last
        now = monotonic()
        if now - last < _EVERY_S:
            return
        last = now
        left = f", {(now - began) * (1 / done - 1):.0f} s left" if done and done > _SURE else ""
        print(f"{plain(label)}: {_rate(report, began)}{left}", file=sys.stderr, flush=True)

    return update


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    began = monotonic()
    columns = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), refresh_per_second=5) as bar:
        row = bar.add_task(escape(plain(label)), total=None, rate="")
        last = 0.0

        def update(report: Report, done: float | None) -> None:
            nonlocal last
            now = monotonic()
            if now - last > 0.1:
                last = now
                bar.update(row, total=None if done is None else 1.0, completed=done or 0.0,
                           rate=_rate(report, began))

        yield update
        bar.update(row, total=1.0, completed=1.0)


def summary(report: Report, found: Sequence[str], outputs: Sequence[Path]) -> str:
    """The completeness report as a few lines of text. found: what was found, in lines."""
    facts = report.to_dict()
    counts = [f"{facts['decoded']} decoded"]
    counts += [f"{report.passed_over} passed over"] if report.passed_over else []
    counts += [f"{report.inferred} inferred", f"{report.written} written"]
    counts += [f"{n} dropped ({cause})" for cause, n in report.dropped.items()]
    counts += [f"{report.corrupt} corrupt"] if report.corrupt else []
    ms = facts["latency_ms"]
    late = f"; latency p50 {ms['p50']:.0f} ms, p99 {ms['p99']:.0f} ms" if report.live else ""
    lines = [f"{report.source}: {', '.join(counts)}"]
    if report.inferred:
        lines.append(f"  {report.seconds:.1f} s, {report.fps:.1f} frames/s, limited by {report.bottleneck}{late}")
    lines += [f"  {line}" for line in found]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [f"  -> {path}" for path in outputs]
    return "\n".join(plain(line) for line in lines)


@contextmanager
def many(whole: Whole, *, quiet: bool) -> Iterator[Callable[[Whole, str], None]]:
    """A callback for each source of a run on many machines, with how far all is, and a line on what went wrong. The
    line is printed in any case."""
    from vision.report import Report

    kept = whole.kept
    shown = Report("all sources")
    with progress("all sources", quiet=quiet) as update:
        def told(whole: Whole, line: str) -> None:
            if line:
                print(plain(line), file=sys.stderr, flush=True)
            shown.inferred = whole.frames
            update(shown, (whole.done + len(whole.failed) - kept) / max(1, whole.total - kept))

        yield told

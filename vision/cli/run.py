"""What every command that runs over sources shares: options, outputs, progress, the report."""

from __future__ import annotations

import functools
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vision.cli.options import ENGINE, Backend, Command, Device, Precision, opened
from vision.cli.outputs import Outputs
from vision.cli.progress import Progress, progress, share_of, summary
from vision.errors import VisionError
from vision.files import write_whole

if TYPE_CHECKING:
    from vision.io import Source, Window
    from vision.pipeline import Item, Report, Sink, Step

_INTERRUPTED = 130
_READ_ENOUGH = -1                              # `vision ... | head`: no error, but nobody reads on
_IN, _OUT = "Which frames", "Outputs"


@dataclass
class RunOptions:
    """The options that all of these commands have."""

    sources: Annotated[list[str], typer.Argument(
        metavar="SOURCE",
        help="video, picture, folder, glob, text file of them, URL, camera number, or - (standard input)",
    )]
    output: Annotated[Path | None, typer.Option(
        "-o", "--output", help="annotated video or picture; a folder for several sources",
        rich_help_panel=_OUT)] = None
    jsonl: Annotated[Path | None, typer.Option(
        help="records, one JSON line a frame (- for standard output)", rich_help_panel=_OUT)] = None
    csv: Annotated[Path | None, typer.Option(help="one row an object", rich_help_panel=_OUT)] = None
    coco: Annotated[Path | None, typer.Option(help="COCO results JSON", rich_help_panel=_OUT)] = None
    yolo: Annotated[Path | None, typer.Option(
        help="folder of YOLO text files, one a frame", rich_help_panel=_OUT)] = None
    save_frames: Annotated[Path | None, typer.Option(
        help="folder of annotated pictures, one a frame", rich_help_panel=_OUT)] = None
    sheet: Annotated[Path | None, typer.Option(
        help="contact sheet of annotated frames, one PNG", rich_help_panel=_OUT)] = None
    show: Annotated[bool, typer.Option("--show", help="a window; q closes it", rich_help_panel=_OUT)] = False
    audio: Annotated[bool, typer.Option(help="copy the source's sound", rich_help_panel=_OUT)] = True
    report: Annotated[Path | None, typer.Option(
        help="the completeness report as JSON", rich_help_panel=_OUT)] = None
    quiet: Annotated[bool, typer.Option(
        "--quiet", "-q", help="no progress, no summary", rich_help_panel=_OUT)] = False
    start: Annotated[float | None, typer.Option(min=0, help="seconds", rich_help_panel=_IN)] = None
    end: Annotated[float | None, typer.Option(min=0, help="seconds", rich_help_panel=_IN)] = None
    stride: Annotated[int, typer.Option(min=1, help="every n-th frame", rich_help_panel=_IN)] = 1
    max_frames: Annotated[int | None, typer.Option(min=1, rich_help_panel=_IN)] = None
    reader: Annotated[Literal["auto", "opencv"], typer.Option(
        help="what decodes video: PyAV or OpenCV", rich_help_panel=_IN)] = "auto"
    device: Device = "auto"
    precision: Precision = "auto"
    backend: Backend = "auto"
    batch: Annotated[int, typer.Option(
        min=1, help="frames a call; 1 is best on a CPU", rich_help_panel=ENGINE)] = 1


def forget_stdout() -> None:
    """Nobody reads standard output any more: what Python still holds for it goes nowhere, at its end too."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command(function: Command) -> Command:
    """A typer command from `function(run: RunOptions, ...)`, with all of these options before its own."""
    @functools.wraps(function)
    def heard(run: RunOptions, **values: Any) -> None:
        logging.getLogger("vision").setLevel(logging.WARNING if run.quiet else logging.INFO)
        function(run, **values)

    return opened(heard)


def _shown(window: Window, watch: Progress) -> Progress:
    """Each frame in a window too; q ends the run as Ctrl-C does."""
    def show(report: Report, item: Item) -> None:
        watch(report, item)
        window.write(item.drawn)
        if window.closed:
            raise KeyboardInterrupt

    return show


def execute(
    run: RunOptions,
    make_step: Callable[[Source], Step],
    extra_sinks: Callable[[Source, ExitStack], Iterable[Sink]] = lambda source, stack: (),
    own: Sequence[Path | None] = (),
    lines: Sequence[Path | None] = (),
) -> None:
    """Run a step over every source, into the outputs that the options ask for.

    make_step: called once for each source, so that what remembers starts anew. extra_sinks: a
    command's own outputs, opened on the stack; own: their paths; lines: of those that may be standard
    output. A source that fails is told, and the others go on. Raises VisionError for an output that
    cannot be, before anything is read; typer.Exit: 1 or 2 where a source failed, 130 after Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)      # a polite kill ends like Ctrl-C
    reports: list[dict[str, Any]] = []
    code = 0
    with ExitStack() as stack:
        outputs = Outputs(run, stack, own, lines)
        for uri in run.sources:
            facts, status = _one(run, uri, make_step, extra_sinks, outputs)
            reports.append(facts)
            if status == _READ_ENOUGH:
                break
            code = status if status == _INTERRUPTED else code or status
            if code == _INTERRUPTED:
                break
    if run.report:
        write_whole(run.report, (json.dumps(reports, indent=1) + "\n").encode())
    if code:
        raise typer.Exit(code)


def _one(
    run: RunOptions,
    uri: str,
    make_step: Callable[[Source], Step],
    extra_sinks: Callable[[Source, ExitStack], Iterable[Sink]],
    outputs: Outputs,
) -> tuple[dict[str, Any], int]:
    """One source: its report, and the exit status that it asks for."""
    from vision.io import Window, latest, read
    from vision.pipeline import Report
    from vision.pipeline import run as run_pipeline

    report, status = Report(), 0
    written: list[Path] = []
    window: Window | None = None
    try:
        with ExitStack() as stack:
            source = stack.enter_context(read(
                uri, start=run.start, end=run.end, stride=run.stride, max_frames=run.max_frames,
                reader=run.reader,
            ))
            step = make_step(source)
            pictures, own = outputs.pictures(source, step.task, stack)
            shared, files = outputs.records()
            written += [*own, *files, *outputs.own]
            share = share_of(run.start or 0.0, run.end or source.info.duration, run.max_frames)
            watch = stack.enter_context(progress(Path(uri).name, share, quiet=run.quiet))
            if run.show:
                window = stack.enter_context(Window(f"vision {step.task}: q closes"))
                watch = _shown(window, watch)
            sinks = [*shared, *pictures, *extra_sinks(source, stack)]
            frames = latest(source) if source.info.live else source
            run_pipeline(frames, step, sinks, batch=run.batch, report=report, watch=watch)
    except KeyboardInterrupt:
        status = 0 if window is not None and window.closed else _INTERRUPTED
    except BrokenPipeError:
        status = _READ_ENOUGH
        forget_stdout()
    except VisionError as error:
        status = error.exit_code
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    # after a failure a film is where it grew, and plays
    parts = [p for path in written for p in (path, path.with_name(f"{path.stem}.part.mp4"))]
    written = [path for path in dict.fromkeys(parts) if path.exists()]       # o.mp4 and o.jsonl share a part
    if not run.quiet and (report.read or not status):
        print(summary(uri, report, written), file=sys.stderr)
    return {"source": uri, **report.to_dict(), "outputs": [str(path) for path in written]}, status

"""A run on the command line: progress while it goes on, what came of it, and the exit status."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vision.cli.options import Engine
from vision.cli.run.options import Going, Reading, seconds
from vision.cli.run.progress import progress, share_of, summary
from vision.drawing import Style
from vision.errors import SinkError, UsageError, VisionError, plain
from vision.files import write_json
from vision.report import Report
from vision.sinks import SinkSpec, VideoFile
from vision.steps import BlurFaces, Follow, Spec

if TYPE_CHECKING:
    from vision.at_once import AtOnce
    from vision.run import Run, Stream

_INTERRUPTED = 130
_READ_ENOUGH = -1                              # `vision ... | head`: no error, but nobody reads on


def execute(
    sources: Sequence[str], plan: Sequence[Spec], sinks: Sequence[SinkSpec],
    given: Mapping[str, Mapping[str, Any]], written: Path | None = None,
) -> None:
    """Run a plan over sources. given: the options of reading, engine and run, by part and field. written: the file that
    the plan is from.

    A source that fails is reported, and the others go on. Raises VisionError for a plan or outputs that are not
    possible, before anything is read; typer.Exit: 1 or 2 where a source failed, 130 after Ctrl-C.
    """
    from vision.io import Inputs, read
    from vision.run import Run

    reading = Reading(**given.get("reading", {}))
    engine, going = Engine(**given.get("engine", {})), Going(**given.get("going", {}))
    logging.getLogger("vision").setLevel(logging.WARNING if going.quiet else logging.INFO)
    outputs = [path for sink in sinks for path in sink.files if str(path) != "-"]
    plans = [] if written is None else [str(written)]
    kept = Inputs(plans)
    for path in outputs:
        kept.refuse(path)
    going.check_report([*sources, *plans, *(file for one in plan for file in one.reads)])
    if going.report is not None and os.path.realpath(going.report) in map(os.path.realpath, outputs):
        raise UsageError(f"{str(going.report)!r} is given for two outputs. Give each its own.")
    arguments = reading.arguments()
    openers = [partial(read, uri, **arguments) for uri in sources]
    if going.blur_faces and not any(isinstance(one, BlurFaces) for one in plan):
        plan = [BlurFaces(), *plan]
    plan = [_asked(one) if isinstance(one, Follow) and one.box is None else one for one in plan]
    reports: list[dict[str, Any]] = []
    code = 0
    with _ends_politely(), Run(
        openers, plan, sinks or [VideoFile(Path())], style=Style(**given.get("style", {})), resume=going.resume,
        device=engine.device, precision=engine.precision, backend=engine.backend,
        checkpoint_every=going.checkpoint_every,
        max_latency=seconds("--max-latency", going.max_latency), free_only=going.free_only,
    ) as run:
        at_once = run.at_once()
        if at_once is not None:
            code = _together(run, at_once, going.quiet)
            reports = [{**report.to_dict(), "outputs": [str(path) for path in _written(run)]} for report in run.reports]
        for stream in run.streams() if at_once is None else ():
            status = _one(stream, reading, going.quiet)
            reports.append({**stream.report.to_dict(), "outputs": list(map(str, stream.outputs))})
            code = status if status == _INTERRUPTED else code or max(status, 0)
            if status in (_READ_ENOUGH, _INTERRUPTED) or any(sink.done for sink in run.sinks):
                break
    if going.report:
        write_json(going.report, reports)
    if code and not going.quiet and run.checkpoint is not None and run.checkpoint.path.is_file():
        print("what is done is kept. Go on with the same command and --resume.", file=sys.stderr)
    if code:
        raise typer.Exit(code)


def _one(stream: Stream, reading: Reading, quiet: bool) -> int:
    """One source, to its end: the exit status that it asks for."""
    status, told = 0, ""
    items, end = iter(stream), seconds("--end", reading.end)
    with progress(Path(stream.report.source).name, quiet=quiet) as update:
        try:
            for item in items:
                report = stream.report
                update(report, share_of(stream.info, report, item.frame.time, end, reading.max_frames))
        except KeyboardInterrupt:
            status = _INTERRUPTED
        except BrokenPipeError:
            status = _READ_ENOUGH
            forget_stdout()
        except VisionError as error:
            status = error.exit_code
            told = f"{type(error).__name__}: {error}"
        finally:
            items.close()
    if told:
        print(plain(told), file=sys.stderr)
    if not quiet and (stream.report.read or not status):
        print(summary(stream.report, stream.told, stream.outputs), file=sys.stderr)
    return status


def _together(run: Run, at_once: AtOnce, quiet: bool) -> int:
    """Sources that are read at once, to their end: the exit status that they ask for."""
    status = 0
    whole = Report("", live=True)                    # of all of them
    items = iter(at_once)
    with progress("all sources", quiet=quiet) as update:
        try:
            for stream, item in items:
                if item is not None:
                    whole.inferred += 1
                    update(whole, None)
                    continue
                if stream.error is not None:
                    status = status or stream.error.exit_code
                    print(plain(f"{type(stream.error).__name__}: {stream.error}"), file=sys.stderr)
        except KeyboardInterrupt:
            status = _INTERRUPTED
        except BrokenPipeError:
            forget_stdout()
        finally:
            items.close()
    for n, stream in enumerate(at_once.begun if not quiet else (), 1):
        outputs = _written(run) if n == len(at_once.begun) else []
        print(summary(stream.report, stream.told, outputs), file=sys.stderr)
    return status


def _written(run: Run) -> list[Path]:
    """What was written, of all sources."""
    return list(dict.fromkeys(path for sink in run.sinks for path in sink.written))


def _asked(follow: Follow) -> Follow:
    """The object that the user draws in a window, where no box was given. Raises UsageError where there is no
    display for it."""
    from vision.sinks.show import check_display, draw_box

    try:
        check_display()
    except SinkError:
        raise UsageError("there is no display to draw a box on. Give --box x,y,w,h; `vision grid SOURCE` helps to "
                         "find it.") from None
    return replace(follow, box=draw_box)


@contextmanager
def _ends_politely() -> Iterator[None]:
    """Ctrl-C, a kill and a terminal that is gone end the run, with whole outputs and a report. While these are
    written a second one does nothing; a third ends the process. What was heard before is heard again afterwards;
    a process that is forked meanwhile ends as it would have."""
    count, here = 0, os.getpid()

    def heard(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        if count > 2 or os.getpid() != here:
            os._exit(_INTERRUPTED)
        if count == 1:
            raise KeyboardInterrupt

    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        signals = []                                     # Python lets the main thread alone hear them
    before = {one: signal.signal(one, heard) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def forget_stdout() -> None:
    """Nobody reads standard output any more: what Python still holds for it goes nowhere, at its end too."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""A training on the command line: a bar while it goes on, a line an epoch, and what is kept where it is stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from vision.errors import UsageError, plain
from vision.files import make_folder, write_json

if TYPE_CHECKING:
    from vision.train.recipe import Progress, Told, Trained
    from vision.train.settings import Settings
    from vision.train.training import Training

_MAIN = os.environ.get("LOCAL_RANK", "0") == "0"            # of the processes of a DDP run one speaks


class _Stopped(BaseException):
    """A signal that ends the run. number: which."""

    def __init__(self, number: int) -> None:
        self.number = number


def begun_in_folds(output: Path, folds: int, resume: bool) -> Path:
    """The report of a cross-validation, which says from the start how many parts it has. Raises UsageError for one
    that goes on with another number: its parts are other ones."""
    report, before = output / "folds.json", None
    with suppress(OSError, ValueError, AttributeError):
        before = json.loads(report.read_text(encoding="utf-8")).get("parts")
    if resume and before not in (None, folds):
        raise UsageError(f"{str(output)!r} was begun with --folds {before}: give the same, or name another folder.")
    if not report.exists():                              # one that is there stays until another is whole
        make_folder(output)
        write_json(report, {"parts": folds})
    return report


def go(
    task: str, settings: Settings, data: Any, output: Path, resume: bool, quiet: bool,
    shared: dict[Any, Any] | None = None,
) -> tuple[Training, Trained]:
    """Train, with progress on standard error, and say where the weights are. shared: see `Training.shared`.

    Raises VisionError for what cannot be, before torch is imported; typer.Exit, 130 and 143 after Ctrl-C and SIGTERM.
    """
    epoch = 0

    def heard(progress: Progress) -> None:
        nonlocal epoch
        epoch = progress.epoch
        tell(progress)

    try:
        with _hears_signals():
            from vision.train.training import Training

            training = Training(task, data, output, settings, resume=resume)
            training.shared = training.shared if shared is None else shared
            with progress(quiet or not _MAIN) as tell:
                trained = training.run(heard)
    except _Stopped as stopped:
        if _MAIN:
            print(_kept(output, epoch, settings), file=sys.stderr)
        raise typer.Exit(128 + stopped.number) from None
    if _MAIN:
        figures = "  ".join(f"{trained.words[n]} {v:.4f}" for n, v in trained.figures.items() if n in trained.words)
        print(f"{trained.epochs} epoch{'s' * (trained.epochs != 1)}" + (f"; kept: {figures}" if figures else ""))
        print(f"weights with their card: {plain(str(trained.weights))}")
    return training, trained


def _kept(output: Path, epoch: int, settings: Settings) -> str:
    """What a run that was stopped leaves, and how to go on."""
    where = f"stopped in epoch {epoch} of {settings.epochs}" if epoch else "stopped before the first epoch"
    if not (output / settings.checkpoint).is_file():
        return f"{where}: nothing is kept yet. Start again with the same command."
    best = output / "best.safetensors"
    weights = f", {best} the weights so far" if best.is_file() else ""
    return plain(f"{where}: {output / settings.checkpoint} holds the last whole epoch{weights}. Go on with the same "
                 "command and --resume.")


@contextmanager
def _hears_signals() -> Iterator[None]:
    """Ctrl-C, a kill and a terminal that is gone raise `_Stopped`, once; the next one ends the process at once."""
    signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        signals = []                                     # Python lets the main thread alone hear them
    count, here = 0, os.getpid()

    def heard(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        if count > 1 or os.getpid() != here:
            os._exit(128 + number)
        raise _Stopped(number)

    before = {one: signal.signal(one, heard) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def epoch_line(progress: Progress) -> str:
    """`epoch 3/20  loss 1.23  AP50 0.410  45 s`."""
    parts = [f"epoch {progress.epoch}/{progress.epochs}"]
    parts += [f"loss {progress.loss:.4g}"] if isfinite(progress.loss) else []
    parts += [f"{name} {value:.3f}" if isfinite(value) else f"{name} -" for name, value in progress.figures.items()]
    return "  ".join([*parts, f"{progress.seconds:.0f} s"])


@contextmanager
def progress(quiet: bool) -> Iterator[Told]:
    """A callback for a training: on a terminal a bar above which a line an epoch stays, else the lines alone."""
    if quiet:
        yield lambda progress: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        epoch, loss = TextColumn("epoch {task.fields[epoch]}"), TextColumn("{task.fields[loss]}")
        columns = epoch, BarColumn(), loss, TimeRemainingColumn()
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            row = bar.add_task("", total=1.0, epoch="1", loss="")

            def update(progress: Progress) -> None:
                bar.update(
                    row, completed=(progress.epoch - 1 + progress.share) / progress.epochs,
                    epoch=f"{progress.epoch}/{progress.epochs}", loss=f"loss {progress.loss:.3g}",
                )
                if progress.done:
                    bar.console.print(epoch_line(progress), markup=False, highlight=False)

            yield update
    else:
        yield lambda progress: print(epoch_line(progress), file=sys.stderr, flush=True) if progress.done else None

"""What every `vision eval` of pictures shares: a model over a list of pictures, and the figures as JSON."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision.cli.options import EvalOptions
from vision.cli.run.progress import progress
from vision.errors import MissingExtra
from vision.files import write_json
from vision.report import Report

if TYPE_CHECKING:
    from vision.tasks.model import Model
    from vision.types import Image


def ask_for(package: str, what: str) -> None:
    """Ask for a package of the extra `train` before pictures are looked at, not after it. Raises MissingExtra."""
    if find_spec(package.replace("-", "_")) is None:
        raise MissingExtra(package, "train", what)


def images_of(paths: Sequence[Path]) -> Iterator[Image]:
    """Each picture as it is read, one at a time."""
    from vision.io import read

    for path in paths:
        with read(str(path), max_frames=1) as source:
            yield next(source).image


def results(paths: Sequence[Path], model: Any, quiet: bool, submit: Any = None) -> Iterator[Any]:
    """A model's result for each picture, in their order. submit: `model.submit` with its options bound."""
    from vision.io import ahead

    begun: deque[Callable[[], Sequence[Any]]] = deque()
    report = Report(model.name)
    with progress(model.name, quiet=quiet) as update:
        images = iter(ahead(images_of(paths)))
        while (image := next(images, None)) is not None or begun:
            if image is not None:
                begun.append((submit or model.submit)([image]))
            if image is None or len(begun) > model.in_flight:
                yield begun.popleft()()[0]
                report.inferred += 1
                update(report, report.inferred / len(paths))


def write(options: EvalOptions, model: Model, figures: dict[str, Any]) -> None:
    """The figures as JSON, where they are asked for."""
    if options.report is not None:
        write_json(options.report, {"model": model.name, "engine": model.engine.label, **figures})

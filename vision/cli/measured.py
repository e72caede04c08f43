"""What commands that change a model measure on: photographs that are always here, and a task's metric."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.resources import files
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from vision.errors import DataError, UsageError

if TYPE_CHECKING:
    from vision.types import Image

# task -> the `vision eval` that measures it, the option of the model, where its report has the metric, its name
METRICS = {
    "detect": ("detect", "--model", "ap", "AP"),
    "instances": ("instances", "--model", "masks.ap50", "mask AP50"),
    "segment": ("segment", "--model", "miou", "mIoU"),
    "classify": ("classify", "--model", "top1", "top-1"),
    "landmarks": ("landmarks", "--model", "nme_ocular", "NME"),
    "identity": ("identity", "--model", "pairs.auc", "AUC"),
    "text": ("text", "--model", "word_accuracy", "word accuracy"),
    "text-boxes": ("text", "--detector", "detection.hmean", "Hmean"),
}


@dataclass(frozen=True)
class Metric:
    """A task's metric by its name on a card, and its value."""

    name: str
    value: float

    def fall(self, after: Metric) -> float:
        """By how much it got worse."""
        loss = self.value - after.value
        return -loss if self.name == "NME" else loss


def metric_of(task: str, model: str, data: Path, device: str = "cpu", precision: str = "auto") -> Metric:
    """The metric of a model on labelled data, by `vision eval`. Raises UsageError for a task without one, EngineError
    for a precision that cannot be run here."""
    from vision.cli import app

    if task not in METRICS:
        raise UsageError(f"no metric is measured for {task}; there is one for {', '.join(METRICS)}")
    command, option, place, name = METRICS[task]
    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        report = Path(folder) / "report.json"
        app(["eval", command, option, model, "--data", str(data), "--device", device, "--precision", precision,
             "--report", str(report), "--quiet"], standalone_mode=False)
        value = json.loads(report.read_text(encoding="utf-8"))
    for key in place.split("."):
        if key not in value:
            raise DataError(f"{str(data)!r} has no labels that tell the {name} of a model for {task}.")
        value = value[key]
    return Metric(name, float(value))


def photographs() -> list[Path]:
    """A woman (NASA, public domain) and a cat (CC0), from scikit-image's wheel."""
    folder = Path(str(files("skimage"))) / "data"
    return [folder / "astronaut.png", folder / "chelsea.png"]


def picture_of(path: Path) -> Image:
    """The first picture of a source, (H,W,3) uint8 BGR."""
    from vision.io import read

    with read(str(path), max_frames=1) as source:
        return next(source).image

"""YOLO `.pt` files, through ultralytics (AGPL-3.0, extra `yolo`): exported to ONNX once.

Every back end runs the ONNX file, and from the second time on ultralytics is not even imported. A
`.pt` is a pickle, which may run code of its author's: ultralytics alone opens it, in its restricted way, which
makes the layers that it knows and executes nothing.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from vision import published
from vision.card import Card
from vision.engine.cache import find
from vision.errors import MissingExtra, ModelError, VisionError, WeightsError
from vision.weights import resolve, sha256

_log = logging.getLogger("vision.yolo")


def to_onnx(card: Card) -> Card:
    """The card of the ONNX file for a YOLO `.pt` card, exported into the user's cache if need be; any other
    card as it is.

    Raises WeightsError where the file is missing or cannot be read, ModelError where it is not a
    detector, MissingExtra without ultralytics.
    """
    if card.form != "ultralytics":
        return card
    weights = resolve(card)
    target = find(f"yolo/{card.name}-{sha256(weights)[:16]}.onnx")
    if target.is_file():
        try:
            return replace(published.onnx_detector(target), name=card.name, source=card.source)
        except VisionError:
            _log.warning("%s is broken, and made anew", target)
    export(weights, target)
    return replace(published.onnx_detector(target), name=card.name, source=card.source)


def ultralytics(what: str) -> Any:
    """The class `YOLO`, for `what`: offline, executing nothing of a file's, and with a word on its licence. Raises
    MissingExtra."""
    for name, value in (("YOLO_AUTOINSTALL", "false"), ("YOLO_OFFLINE", "true"), ("YOLO_VERBOSE", "false")):
        os.environ.setdefault(name, value)           # no package is installed, nothing is fetched or sent
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
    try:
        from ultralytics import YOLO
        from ultralytics.nn import tasks

        tasks.SAFE_LOAD = True                       # where it was imported before, and did not see the variable
    except ImportError as error:
        raise MissingExtra("ultralytics", "yolo", what) from error
    _tell_licence()
    return YOLO


@cache
def _tell_licence() -> None:
    _log.warning("this runs ultralytics, which is licensed AGPL-3.0: what ships it falls under that licence")


def export(weights: Path, target: Path) -> None:
    """Export a YOLO `.pt` to the ONNX file `target`; raises as `to_onnx` does."""
    yolo = ultralytics(f"the YOLO file {str(weights)!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        copy = shutil.copy(weights, folder)          # ultralytics writes beside the file it reads
        try:
            model = yolo(copy)
            if model.task in ("detect", "segment"):
                made = model.export(format="onnx", dynamic=True, simplify=False)
        except Exception as error:                   # somebody's pickle: whatever its code trips over
            why = " ".join(str(error).split()).replace(copy, weights.name)
            raise WeightsError(
                f"{str(weights)!r} cannot be exported by ultralytics, which executes nothing of it here "
                f"({type(error).__name__}: {why}). Where you trust it: yolo export model=FILE format=onnx, and give "
                "the .onnx."
            ) from error
        if model.task not in ("detect", "segment"):
            raise ModelError(f"{str(weights)!r} is a YOLO model for {model.task!r}, not for boxes or masks")
        Path(made).replace(target)

"""A training run: refused at once where it cannot be, before anything heavy is imported."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from vision.engine.choice import processor_flags
from vision.errors import DataError, MissingExtra, UsageError, WeightsError
from vision.files import make_folder, write_whole
from vision.spec import nearest
from vision.train import action, classify, detect, instances, segment, text
from vision.train.recipe import Recipe, Split, Told, Trained
from vision.train.settings import RECORD, Settings, differences

_log = logging.getLogger("vision.train")
_SPEAKS = os.environ.get("LOCAL_RANK", "0") == "0"           # of the processes of a DDP run one
_NVIDIA = Path("/proc/driver/nvidia")   # where a driver says what there is
_NEEDED = ("lightning", "torchmetrics", "tensorboard", "faster_coco_eval", "sklearn")

RECIPES: dict[str, Recipe] = {
    "classify": classify.RECIPE, "detect": detect.RECIPE, "instances": instances.RECIPE, "segment": segment.RECIPE,
    "action": action.RECIPE, "text": text.RECIPE,
}


def _precision(wanted: str) -> Any:
    """What a run is recorded with in place of `auto`, so that it goes on as it began, on whatever machine."""
    if wanted != "auto":
        return wanted
    fast = processor_flags() & {"avx512_bf16", "amx_bf16"} and not _NVIDIA.exists()
    return "bfloat16" if fast else "float32"


class Training:
    """One run of a task's recipe into a folder, on PyTorch Lightning.

    task: a key of `RECIPES`, or a recipe of your own.
    data: a folder, or the part to learn from and the part that is held out, as the recipe reads them.
    folder: of the run. Its `best.safetensors` carries the card of the result, `last.ckpt` is what a killed run goes on
        from, `curve.jsonl` has a line an epoch, `log` is for TensorBoard.
    settings: `ClassifySettings`, `DetectSettings`, `InstanceSettings`, `SegmentSettings`, `ActionSettings`; the
        task's defaults unless given.
    resume: go on after the last whole epoch of the run in `folder`: exactly, where the settings are the same. `epochs`
        may be more; the learning rate then follows the longer schedule.

    Raises, before torch is imported, UsageError where the folder holds a run already or the run to go on with had other
    settings, WeightsError where there is nothing to go on with or to start from, ModelError for a network that nothing
    here trains, DataError for data that cannot be used, MissingExtra.
    """

    def __init__(
        self, task: str | Recipe, data: str | Path | tuple[Split, Split], folder: str | Path,
        settings: Settings | None = None, *, resume: bool = False,
    ) -> None:
        if isinstance(task, str) and task not in RECIPES:
            raise UsageError(f"nothing trains {task!r}. {nearest(task, RECIPES)}")
        self.recipe = RECIPES[task] if isinstance(task, str) else task
        self.folder, self.resume = Path(folder), resume
        settings = settings or self.recipe.settings()
        if not isinstance(settings, self.recipe.settings):
            raise UsageError(f"expected {self.recipe.settings.__name__}, got {type(settings).__name__}.")
        for package in _NEEDED:
            if find_spec(package) is None:
                raise MissingExtra(package, "train", "training")
        self.settings: Any = self.recipe.settle(replace(settings, precision=_precision(settings.precision)))
        held = (self.folder / self.settings.checkpoint).is_file()
        if held and not resume:
            raise UsageError(f"{str(folder)!r} holds a run already. Continue it with --resume, or name another folder.")
        if resume and not held:
            raise WeightsError(
                f"{str(folder)!r} has no {self.settings.checkpoint} to resume from. Start without --resume."
            )
        if not isinstance(data, tuple) and not Path(data).exists():
            raise DataError(f"there is no {str(data)!r}. Give a folder of labelled data.")
        self.data: Any = data if isinstance(data, tuple) else self.recipe.read(Path(data), self.settings)
        self.shared: dict[Any, Any] = {}             # what several trainings need and one has made: descriptors
        self.names: tuple[str, ...] = tuple(self.data[0].names)
        self.source = Path(data).name if not isinstance(data, tuple) else f"{len(self.data[0])} labelled files"
        self.facts = {**self.settings.record(), "classes": list(self.names)}
        if resume:
            self._refuse_another()
        for split, part in zip(("train", "val"), self.data, strict=True):
            for line in part.summary() if _SPEAKS else ():
                _log.warning("%s: %s", split, line)

    def run(self, told: Told = lambda progress: None) -> Trained:
        """Train, and keep the best weights. told: called after every step and every epoch.

        Raises DataError where the loss is not a number, WeightsError for weights of another network, UsageError for a
        precision that the device does not have, SinkError where the folder cannot be written.
        """
        make_folder(self.folder / RECORD.parent)
        if _SPEAKS:
            write_whole(self.folder / RECORD, yaml.safe_dump(self.facts, sort_keys=False, allow_unicode=True).encode())
        import torch

        torch.manual_seed(self.settings.seed)
        run = self.recipe.run
        if isinstance(run, str):
            module, function = run.split(":")
            run = getattr(import_module(module), function)
        return run(self, told)

    def _refuse_another(self) -> None:
        """Raise where the run in the folder is of another network, or had other settings."""
        path = self.folder / RECORD
        try:
            saved = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError):
            saved = None
        if not isinstance(saved, dict) or "classes" not in saved:        # of a version that kept no record
            _log.warning("%s does not say which settings this run had: it goes on with those that are given", path)
            return
        if saved.get("model") != self.facts.get("model"):
            raise WeightsError(
                f"{str(self.folder)!r} has a checkpoint of {saved.get('model')}, not of {self.facts.get('model')}."
            )
        if changed := differences(saved, self.facts):
            raise UsageError(
                f"the run in {str(self.folder)!r} had other settings: {', '.join(changed)}. Resume with the same ones, "
                f"or start another run from its weights: {self.recipe.again} {self.folder / 'best.safetensors'}"
            )
        if saved.get("epochs", 0) > self.facts["epochs"]:
            raise UsageError(
                f"the run in {str(self.folder)!r} was to have {saved['epochs']} epochs. Resume with as many or more."
            )

"""One training run: a folder with its checkpoint, its best weights with their card, and its log."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import save
from torch import nn

from vision.card import Card
from vision.errors import UsageError, WeightsError
from vision.train.data import loaders
from vision.train.learner import Learner, Objective
from vision.train.settings import Settings, differences

Keep = Literal["best", "last"]
_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def save_weights(path: Path, net: nn.Module, card: Card, notes: dict[str, Any]) -> None:
    """`net` as safetensors that carry their card: floats as float16, in a file that is whole or not
    there. notes: what else is worth keeping (settings, figures), as JSON in the same place."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in net.state_dict().items()
    }
    part = path.with_name(path.name + ".part")
    # not save_file, whose files nobody but the user may read, whatever the umask
    part.write_bytes(save(tensors, {"card": card.to_json(), "training": json.dumps(notes)}))
    os.replace(part, path)


@dataclass(frozen=True)
class Run:
    """What came of a training: the best weights with their card, and their figures."""

    weights: Path
    figures: dict[str, float]
    epochs: int


class _Keeper(Callback):  # type: ignore[misc]
    """After every epoch: `last.ckpt`, from which the run resumes exactly, and where the figure is the
    best so far `best.safetensors`. Both are written beside and moved, so a kill spoils neither."""

    def __init__(self, folder: Path, card: Card, facts: dict[str, Any], keep: Keep) -> None:
        self.folder, self.card, self.facts, self.keep = folder, card, facts, keep
        self.best: dict[str, float] = {}
        self.best_epoch = -1

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "facts": self.facts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        curve = self.folder / "curve.jsonl"
        if trainer.is_global_zero and curve.exists():    # lines that a kill left without a checkpoint go
            lines = curve.read_text(encoding="utf-8").splitlines(keepends=True)
            curve.write_text("".join(lines[: trainer.current_epoch]), encoding="utf-8")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        figure, now = pl_module.objective.figure, pl_module.latest
        if trainer.is_global_zero:
            logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
            line = {"epoch": trainer.current_epoch, **logged}
            with (self.folder / "curve.jsonl").open("a", encoding="utf-8") as curve:
                curve.write(json.dumps(line) + "\n")
        if now and (self.keep == "last" or now[figure] > self.best.get(figure, -1.0)):
            self.best, self.best_epoch = dict(now), trainer.current_epoch
            if trainer.is_global_zero:
                notes = {**self.facts, "figures": self.best, "epoch": self.best_epoch}
                save_weights(self.folder / "best.safetensors", pl_module.judged, self.card, notes)
        part = self.folder / "last.ckpt.part"
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            os.replace(part, self.folder / "last.ckpt")


def _resumable(folder: Path, facts: dict[str, Any]) -> Path:
    """The checkpoint of the run in `folder`; raises where it is of another run."""
    path = folder / "last.ckpt"
    if not path.is_file():
        raise WeightsError(f"{str(folder)!r} has no last.ckpt to resume from. Start without --resume.")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)["callbacks"]["_Keeper"]["facts"]
    except Exception as error:
        raise WeightsError(f"{str(path)!r} is not a checkpoint of this trainer ({error}).") from error
    if saved["model"] != facts["model"]:
        raise WeightsError(f"{str(path)!r} is a checkpoint of {saved['model']}, not of {facts['model']}.")
    changed = differences(saved["settings"], facts["settings"])
    if changed:
        raise UsageError(
            f"the run in {str(folder)!r} had other settings: {', '.join(changed)}. "
            "Resume with the same ones, or start another run from its weights: --weights best.safetensors"
        )
    return path


def fit(
    net: nn.Module, objective: Objective, data: tuple[Any, Any], settings: Settings, folder: Path, card: Card,
    *, extra: dict[str, Any] | None = None, resume: bool = False, progress: bool = False,
    collate: Callable[..., Any] | None = None, keep: Keep = "best",
) -> Run:
    """Train `net` and keep what validates best, or the last epoch, whose figures nothing was chosen by.

    data: the training and the validation set, maps from `Key`. card: of the result, written into
    `folder/best.safetensors`. extra: settings of the task (losses, transforms), kept and compared
    like `settings`. resume: go on after the last whole epoch of the run in `folder`, exactly.
    Raises UsageError where the folder holds a run already or `resume` finds other settings,
    DataError where the loss is not a number.
    """
    chosen = {**settings.to_dict(), **(extra or {})}
    facts = {"model": chosen.get("model", card.net), "settings": chosen}
    folder.mkdir(parents=True, exist_ok=True)
    if not resume and (folder / "last.ckpt").exists():
        raise UsageError(f"{str(folder)!r} holds a run already. Continue it with --resume, or name another.")
    checkpoint = _resumable(folder, facts) if resume else None
    if settings.precision == "float16" and not torch.cuda.is_available():
        raise UsageError("float16 trains on CUDA alone. Use --precision bfloat16, or float32.")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    on_clips = any(p.ndim == 5 for p in net.parameters())
    net.to(memory_format=torch.channels_last_3d if on_clips else torch.channels_last)
    learner = Learner(net, objective, settings, folder)
    keeper = _Keeper(folder, card, facts, keep)
    callbacks: list[Callback] = [keeper]
    if settings.patience:
        callbacks.append(EarlyStopping(f"val/{objective.figure}", mode="max", patience=settings.patience))
    if progress:
        from lightning.pytorch.callbacks import RichProgressBar

        callbacks.append(RichProgressBar())
    trainer = L.Trainer(
        max_epochs=settings.epochs, precision=_PRECISION[settings.precision], callbacks=callbacks,
        accelerator="auto", devices=settings.devices, strategy="ddp" if settings.devices > 1 else "auto",
        gradient_clip_val=settings.clip or None, check_val_every_n_epoch=settings.val_every,
        logger=TensorBoardLogger(folder, name="", version="log"), log_every_n_steps=10,
        enable_checkpointing=False, enable_progress_bar=progress, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=folder,
    )
    train, val = loaders(data[0], data[1], settings, collate)
    trainer.fit(learner, train, val, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return Run(folder / "best.safetensors", keeper.best, int(trainer.current_epoch))

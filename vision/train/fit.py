"""One training run: a folder with its checkpoint, its best weights with their card, and its log."""

from __future__ import annotations

import errno
import io
import json
import logging
import signal
import warnings
from math import isfinite, isnan, nan
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save
from torch import nn

from vision.card import Card
from vision.errors import DataError, SinkError, UsageError, WeightsError
from vision.files import write_whole
from vision.train.board import Board
from vision.train.learner import Learner
from vision.train.loading import loaders
from vision.train.recipe import Parts, Progress, Told, Trained
from vision.train.rounding import round_layers
from vision.train.settings import RECORD, Settings
from vision.train.workers import Loader

if TYPE_CHECKING:
    from vision.train.training import Training

_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_EVERY_S = 0.2                         # how often a step is told
_PRECISION: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def save_weights(path: Path, net: nn.Module, card: Card, notes: dict[str, Any]) -> None:
    """`net` as safetensors that carry their card: floats as float16 where its range holds them, in a file that is whole
    or not there. notes: what else is worth keeping (settings, figures), as JSON in the same place. Raises SinkError."""
    tensors = {name: _halved(value).contiguous() for name, value in net.state_dict().items()}
    # not save_file, whose files nobody but the user may read, whatever the umask
    write_whole(path, save(tensors, {"card": card.to_json(), "training": json.dumps(notes, default=str)}))


def _halved(value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point() or not value.numel() or float(value.abs().max()) > torch.finfo(torch.half).max:
        return value
    return value.half()


class _Whole(TorchCheckpointIO):  # type: ignore[misc]
    """Checkpoints as Lightning's own, but written beside and moved, in the run's folder and not by way of /tmp."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint whole or not at all. Raises SinkError."""
        made = io.BytesIO()
        torch.save(checkpoint, made)
        write_whole(Path(path), made.getvalue())


class _Keeper(Callback):  # type: ignore[misc]
    """After every epoch: `last.ckpt`, from which the run resumes exactly, and where the figure is the
    best so far `best.safetensors`. Both are written beside and moved, so a kill spoils neither."""

    def __init__(self, folder: Path, card: Card, facts: dict[str, Any], keep: str) -> None:
        self.folder, self.card, self.facts, self.keep = folder, card, facts, keep
        self.best: dict[str, float] = {}
        self.best_epoch = -1

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch, "facts": self.facts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        last = trainer.current_epoch + 1 == trainer.max_epochs       # which is judged, whatever `val_every` says
        trainer.check_val_every_n_epoch = 1 if last else pl_module.settings.val_every

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        curve = self.folder / "curve.jsonl"
        if trainer.is_global_zero and curve.exists():    # lines that a kill left without a checkpoint go
            lines = curve.read_text(encoding="utf-8").splitlines(keepends=True)
            curve.write_text("".join(lines[: trainer.current_epoch]), encoding="utf-8")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        figure, now = pl_module.objective.figure, pl_module.latest
        broken = next((name for name, value in pl_module.judged.state_dict().items()
                       if value.is_floating_point() and not torch.isfinite(value).all()), None)
        if broken is not None:                           # by the epoch's last step, whose loss nobody has seen
            raise DataError(f"the weights are not numbers after epoch {trainer.current_epoch} ({broken}). Try a lower "
                            "--lr, --clip 1, or --precision float32.")
        if trainer.is_global_zero:
            logged = {name: float(value) for name, value in trainer.callback_metrics.items()
                      if now or not name.startswith("val/")}      # which would be an earlier epoch's
            finite = {name: value if isfinite(value) else None for name, value in logged.items()}
            line = {"epoch": trainer.current_epoch, **finite}
            _append(self.folder / "curve.jsonl", json.dumps(line, allow_nan=False) + "\n")
        was = self.best.get(figure, nan)
        if now and (self.keep == "last" or isnan(was) or now[figure] > was):
            self.best, self.best_epoch = dict(now), trainer.current_epoch
            if trainer.is_global_zero:
                notes = {"settings": self.facts, "figures": self.best, "epoch": self.best_epoch}
                save_weights(self.folder / "best.safetensors", pl_module.judged, self.card, notes)
        self._snapshot(trainer, pl_module)
        trainer.save_checkpoint(self.folder / "last.ckpt")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        for loader in (trainer.train_dataloader, trainer.val_dataloaders):
            if isinstance(loader, Loader):               # nobody waits for what its processes are at
                loader.close()

    def _snapshot(self, trainer: L.Trainer, learner: Learner) -> None:
        """At the end of a cycle, its weights."""
        settings, done = learner.settings, trainer.current_epoch + 1
        if settings.snapshots and done % (settings.epochs // settings.snapshots) == 0 and trainer.is_global_zero:
            number = done * settings.snapshots // settings.epochs
            notes = {"settings": self.facts, "figures": learner.latest, "epoch": trainer.current_epoch}
            save_weights(self.folder / f"snapshot{number}.safetensors", learner.judged, self.card, notes)


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise SinkError(f"{str(path)!r} cannot be written ({error.strerror}).") from error


class _Teller(Callback):  # type: ignore[misc]
    """Hands over where the run is: a few times a second, and after each epoch with its figures."""

    def __init__(self, told: Told) -> None:
        self.told, self.began, self.last = told, 0.0, 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.began = monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if monotonic() - self.last > _EVERY_S:
            self.last = monotonic()
            self._tell(trainer, pl_module, (batch_idx + 1) / trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._tell(trainer, pl_module, None)

    def _tell(self, trainer: L.Trainer, learner: Any, share: float | None) -> None:
        if trainer.is_global_zero:
            words = learner.objective.words
            figures = {words[name]: learner.latest[name] for name in words if share is None and name in learner.latest}
            self.told(Progress(
                trainer.current_epoch + 1, trainer.max_epochs or 0, 1.0 if share is None else share,
                learner.mean_loss, figures, monotonic() - self.began, share is None,
            ))


class _Patience(EarlyStopping):  # type: ignore[misc]
    """It waits as long as this run asks for, whatever the run asked for that it continues."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = self.wait_count >= self.patience           # it had come to its end


def _check(checkpoint: Path, learner: Learner) -> None:
    """Raise WeightsError for a checkpoint that is broken, or of another network."""
    try:
        kept = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
        shapes = {name: tuple(value.shape) for name, value in kept.items()}
    except Exception as error:                           # torch's, pickle's, zip's
        why = " ".join(str(error).split())[:200]
        raise WeightsError(f"{str(checkpoint)!r} is no checkpoint that can be read ({type(error).__name__}: {why}). "
                           "Begin anew in another folder, with --weights best.safetensors.") from error
    if shapes != {name: tuple(value.shape) for name, value in learner.state_dict().items()}:
        raise WeightsError(f"{str(checkpoint)!r} is of another network than this run's. Give the --model and the "
                           "options that it was trained with.")


def fit(parts: Parts, training: Training, told: Told) -> Trained:
    """Train `parts.net` into the folder of `training`.

    Raises UsageError for a precision that the device does not have, and where --qat finds nothing to round; DataError
    where the loss is not a number, SinkError where the folder cannot be written, KeyboardInterrupt after Ctrl-C: the
    run can be resumed then.
    """
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):     # advice and banners
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    settings, folder, net = training.settings, training.folder, parts.net
    if settings.precision == "float16" and not torch.cuda.is_available():
        raise UsageError("float16 trains on CUDA alone. Use --precision bfloat16, or float32.")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.qat and not round_layers(net):
        raise UsageError("this network has no layer that --qat rounds: convolutions and dense layers of pictures.")
    on_clips = any(p.ndim == 5 for p in net.parameters())
    net.to(memory_format=torch.channels_last_3d if on_clips else torch.channels_last)
    keeper = _Keeper(folder, parts.objective.card, training.facts, parts.keep)
    callbacks: list[Callback] = [keeper, _Teller(told), Board()]
    if settings.patience:                                # which looks before the epoch's checkpoint is written
        callbacks.append(_Patience(f"val/{parts.objective.figure}", mode="max", patience=settings.patience,
                                   check_on_train_epoch_end=False))
    trainer = L.Trainer(
        max_epochs=settings.epochs, precision=_PRECISION[settings.precision], callbacks=callbacks,
        accelerator="auto", devices=settings.devices, strategy=_strategy(net, settings),
        gradient_clip_val=settings.clip or None, check_val_every_n_epoch=settings.val_every,
        logger=TensorBoardLogger(folder, name="", version=RECORD.parent.name), log_every_n_steps=10,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=folder, plugins=[_Whole()],
    )
    checkpoint = folder / settings.checkpoint if training.resume else None
    parts.objective.held = len(parts.val)
    learner = Learner(net, parts.objective, settings, folder)
    if checkpoint is not None:
        _check(checkpoint, learner)
    _fit(trainer, learner, loaders(parts.train, parts.val, settings), checkpoint)
    return Trained(folder / "best.safetensors", keeper.best, int(trainer.current_epoch), parts.objective.words)


def _strategy(net: nn.Module, settings: Settings) -> str:
    """Of Lightning. What waits for `freeze_epochs` has no gradient at first, which processes that share gradients have
    to look for."""
    if settings.devices == 1:
        return "auto"
    waits = getattr(net, "pre_trained", ()) and getattr(settings, "freeze_epochs", 0)
    return "ddp_find_unused_parameters_true" if waits else "ddp"


def _fit(trainer: L.Trainer, learner: Learner, pair: tuple[Loader, Loader], checkpoint: Path | None) -> None:
    """Train on one loader and validate on the other. Raises as `fit`, and what a handler of a signal raises."""
    try:
        trainer.fit(learner, *pair, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    except SystemExit as error:                          # Lightning's answer to Ctrl-C, and to SIGTERM
        if trainer.received_sigterm:
            raise SystemExit(128 + signal.SIGTERM) from error
        if trainer.interrupted:
            raise KeyboardInterrupt from error
        raise
    except Exception as error:
        stop = _stop_behind(error)
        if stop is not None:
            raise stop from None
        if isinstance(error, OSError) and error.errno in _FULL:      # TensorBoard's, which does not say of what
            raise SinkError(f"the folder {str(learner.folder)!r} cannot be written ({error.strerror}).") from error
        raise


def _stop_behind(error: BaseException | None) -> BaseException | None:
    """The stop after which Lightning tidied up, where `error` came of that; None for an error of another kind."""
    while isinstance(error, Exception):
        error = error.__context__
    return None if isinstance(error, GeneratorExit) else error       # a stop is of whatever kind its handler raises

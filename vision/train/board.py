"""What TensorBoard shows of a training beside its curves."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from vision.train.learner import Learner
from vision.train.workers import unstopped

_PICTURES = 16


class Board(Callback):  # type: ignore[misc]
    """The first batch as augmentation made it and the graph, once; each epoch the learning rate of every group, the
    first layer's filters, and histograms of the weights. Of clips the middle frames. Predictions: `Learner`."""

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        board = getattr(trainer.logger, "experiment", None)
        if isinstance(board, SummaryWriter):             # a stop inside would leave its queue locked for good
            writer: Any = board.file_writer
            events = writer.event_writer
            events.add_event, events.flush = unstopped(events.add_event), unstopped(events.flush)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch or batch_idx or not trainer.is_global_zero or trainer.logger is None:
            return
        pictures = batch[0] if isinstance(batch, tuple | list) else None
        if not isinstance(pictures, Tensor) or pictures.dtype != torch.uint8 or pictures.ndim not in (4, 5):
            return
        board, shown = trainer.logger.experiment, pictures[:_PICTURES].cpu()
        board.add_images("train/batch", shown if shown.ndim == 4 else shown[:, :, shown.shape[2] // 2], 0)
        assert isinstance(pl_module, Learner)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            modes = {module: module.training for module in pl_module.net.modules()}
            with suppress(Exception):                    # what cannot be traced has no graph, and trains all the same
                board.add_graph(pl_module.net.eval(), pl_module.objective.inputs(pictures[:1]), verbose=False)
            for module, mode in modes.items():           # norms that stand still go on to
                module.training = mode

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.logger is None:
            return
        assert isinstance(pl_module, Learner)
        board, epoch = trainer.logger.experiment, trainer.current_epoch
        for number, group in enumerate(trainer.optimizers[0].param_groups):
            board.add_scalar(f"rate/group{number}", group["lr"], epoch)
        first = next((m for m in pl_module.net.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)
        if first is not None and first.weight.shape[1] in (1, 3):
            filters = first.weight.detach().float().cpu()
            filters = filters if filters.ndim == 4 else filters[:, :, filters.shape[2] // 2]
            board.add_images("filters", _scaled(filters), epoch)
        for name, weights in pl_module.net.named_parameters():
            if weights.ndim > 1 and torch.isfinite(weights).all():
                board.add_histogram(name, weights.detach().float().cpu(), epoch)


def _scaled(filters: Tensor) -> Tensor:
    """Each between 0 and 1."""
    low, high = filters.flatten(1).amin(1).view(-1, 1, 1, 1), filters.flatten(1).amax(1).view(-1, 1, 1, 1)
    return (filters - low) / (high - low).clamp(min=1e-12)

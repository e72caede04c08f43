"""A network that learns by an objective, as Lightning runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vision.errors import DataError
from vision.train.ema import Average
from vision.train.optim import Plateau, optimiser, schedule
from vision.train.recipe import Objective
from vision.train.rounding import ranges, restore_ranges
from vision.train.settings import Settings


class Learner(L.LightningModule):  # type: ignore[misc]
    """`net` trained by `objective`; validated, and saved, with the averaged weights where
    `settings.ema` asks for them. folder: where a batch with a loss that is no number is saved."""

    def __init__(self, net: nn.Module, objective: Objective, settings: Settings, folder: Path) -> None:
        super().__init__()
        self.net, self.objective, self.settings, self.folder = net, objective, settings, folder
        self.average = Average(net, settings.ema) if settings.ema else None
        self.plateau = Plateau() if settings.schedule == "plateau" else None
        self.latest: dict[str, float] = {}             # the figures of this epoch, if it was validated
        self.losses, self.steps = torch.zeros(()), 0   # of this epoch

    @property
    def judged(self) -> nn.Module:
        """The network that validation looks at."""
        return self.average.net if self.average is not None else self.net

    def training_step(self, batch: Any, index: int) -> Tensor:
        """One step; raises DataError, with the batch saved, where the loss is not a number."""
        # every step draws from its own seed: a resumed run draws what the killed one would have
        torch.manual_seed((self.settings.seed * 100_003 + self.current_epoch) * 100_003 + index)
        terms = self.objective.loss(self.net, batch)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            path = self.folder / "nan_batch.pt"
            torch.save({"batch": batch, "epoch": self.current_epoch, "index": index}, path)
            values = ", ".join(f"{name} {value.item():g}" for name, value in terms.items())
            raise DataError(
                f"the loss is not a number at epoch {self.current_epoch}, batch {index} ({values}). The "
                f"batch is in {str(path)!r}. Try a lower --lr, --clip 1, or --precision float32."
            )
        for name, value in terms.items():
            self.log(f"train/{name}", value.detach(), on_step=False, on_epoch=True)
        self.losses, self.steps = self.losses.to(loss.device) + loss.detach(), self.steps + 1
        return loss

    def on_train_epoch_start(self) -> None:
        """No figures yet; what is pre-trained waits for `freeze_epochs`; and norms whose parameters are frozen stand
        still, as these do."""
        self.latest, self.losses, self.steps = {}, torch.zeros(()), 0
        early, wait = getattr(self.net, "pre_trained", ()), getattr(self.settings, "freeze_epochs", 0)
        if early and wait and self.current_epoch <= wait:
            for parameter in early:
                parameter.requires_grad_(self.current_epoch == wait)
            self.net.train()
        keep = bool(early) and getattr(self.settings, "keep_norms", False)
        for module in self.net.modules():
            if isinstance(module, _BatchNorm) and (
                keep or (module.affine and not module.weight.requires_grad)
            ):
                module.eval()

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """The average follows the weights."""
        if self.average is not None:
            self.average.update(self.net)

    def on_validation_epoch_start(self) -> None:
        """Layers that learn stand still."""
        self.judged.eval()

    def validation_step(self, batch: Any, index: int) -> None:
        """One batch into the figures; the first one into TensorBoard too."""
        self.objective.update(self.judged, batch)
        if index == 0 and self.logger is not None and self.trainer.is_global_zero:
            pictures = self.objective.pictures(self.judged, batch)
            if pictures is not None:
                self.logger.experiment.add_images("val/predictions", pictures, self.current_epoch)

    def on_validation_epoch_end(self) -> None:
        """Figures to the log."""
        self.latest = self.objective.figures()
        if self.plateau is not None:
            self.plateau.take(self.latest[self.objective.figure])
        for name, value in self.latest.items():
            self.log(f"val/{name}", value, sync_dist=True)

    @property
    def mean_loss(self) -> float:
        """Of the epoch so far; NaN before its first step."""
        return float(self.losses) / self.steps if self.steps else float("nan")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What the weights do not hold: the ranges of layers that round."""
        checkpoint["ranges"] = ranges(self.net)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from it; a checkpoint of an earlier version has none."""
        restore_ranges(self.net, checkpoint.get("ranges", {}))

    def configure_optimizers(self) -> Any:
        """The optimiser, and its schedule once a step."""
        chosen = optimiser(self.net, self.settings)
        steps = int(self.trainer.estimated_stepping_batches)
        of_step, plateau = schedule(self.settings, steps), self.plateau

        def now(step: int) -> float:
            return of_step(step) * (float(plateau.factor) if plateau is not None else 1.0)

        factor = torch.optim.lr_scheduler.LambdaLR(chosen, now)
        return {"optimizer": chosen, "lr_scheduler": {"scheduler": factor, "interval": "step"}}

"""The learning-rate range test (Smith 2017): the rate rises batch by batch until the loss does."""

from __future__ import annotations

import copy
import logging
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vision.train.loading import loaders
from vision.train.optim import optimiser
from vision.train.recipe import Objective
from vision.train.settings import Settings

_log = logging.getLogger("vision.train")
_FIRST, _LAST, _BATCHES = 1e-7, 1.0, 100


def found(net: nn.Module, objective: Objective, data: Any, settings: Settings, folder: Path) -> float:
    """The rate at which the smoothed loss falls fastest; the curve is drawn into `folder`/lr.png. `net` stays."""
    trial = copy.deepcopy(net).train()
    steps = optimiser(trial, settings)
    shares = [group["lr"] / settings.lr for group in steps.param_groups]
    rates: list[float] = []
    losses: list[float] = []
    mean = 0.0
    loader, _ = loaders(data, data, settings)
    with closing(loader):
        batches = iter(loader)
        for i in range(_BATCHES):
            batch = next(batches, None)
            if batch is None:
                batches = iter(loader)
                batch = next(batches)
            rate = _FIRST * (_LAST / _FIRST) ** (i / (_BATCHES - 1))
            for group, share in zip(steps.param_groups, shares, strict=True):
                group["lr"] = rate * share
            loss = torch.stack(list(objective.loss(trial, batch).values())).sum()
            steps.zero_grad()
            torch.autograd.backward(loss)
            steps.step()
            mean = 0.9 * mean + 0.1 * float(loss.detach())
            smooth = mean / (1 - 0.9 ** (i + 1))
            if not math.isfinite(smooth) or (losses and smooth > 4 * min(losses)):
                break
            rates.append(rate)
            losses.append(smooth)
    falls = [losses[i + 2] - losses[i - 2] for i in range(2, len(losses) - 2)]
    best = rates[falls.index(min(falls)) + 2] if falls else settings.lr
    _draw(folder / "lr.png", rates, losses, best)
    _log.warning("learning rate found: %.2g (%s)", best, folder / "lr.png")
    return best


def _draw(path: Path, rates: list[float], losses: list[float], best: float) -> None:
    from matplotlib.figure import Figure

    figure = Figure((7, 4), layout="constrained")
    axes = figure.add_subplot(xscale="log", xlabel="learning rate", ylabel="loss", title=f"taken: {best:.2g}")
    axes.plot(rates, losses)
    axes.axvline(best, linestyle="--")
    figure.savefig(path)

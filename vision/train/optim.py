"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from vision.train.settings import Settings


def optimiser(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD or AdamW over the parameters that learn: norms and biases (one axis) do not decay, and
    what is pre-trained - `net.encoder`, or the parameters in `net.pre_trained` - learns
    `settings.backbone_lr` times as fast as the rest."""
    learns = {p: settings.lr * share for p, share in _shares(net, settings).items() if p.requires_grad}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter, rate in learns.items():
        groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    params = [
        {"params": members, "lr": rate, "weight_decay": settings.weight_decay if decays else 0.0}
        for (rate, decays), members in sorted(groups.items(), key=lambda item: item[0])
    ]
    fused = settings.precision == "float32" or not settings.clip         # Lightning clips no others in mixed precision
    made: torch.optim.Optimizer = (
        torch.optim.SGD(params, lr=settings.lr, momentum=0.9) if settings.optimiser == "sgd"
        else torch.optim.AdamW(params, lr=settings.lr, fused=fused))
    if length := float(getattr(settings, "max_norm", 0.0)):
        made.register_step_post_hook(lambda *_: _shorten(made, length))
    return made


def _shares(net: nn.Module, settings: Settings) -> dict[nn.Parameter, float]:
    """Of each parameter the factor on the learning rate: `backbone_lr` for what is pre-trained, and with
    `layer_decay` less from each fifth of the network to the one before it (Howard and Ruder 2018)."""
    encoder = getattr(net, "encoder", None)              # a module, or a view of some
    early = encoder.parameters() if isinstance(encoder, nn.Module) else getattr(net, "pre_trained", ())
    pre_trained, every = set(early), list(net.parameters())
    decay = float(getattr(settings, "layer_decay", 1.0))
    return {
        parameter: (settings.backbone_lr if parameter in pre_trained else 1.0)
        * decay ** (4 - min(4, 5 * place // len(every)))
        for place, parameter in enumerate(every)
    }


@torch.no_grad()
def _shorten(steps: torch.optim.Optimizer, length: float) -> None:
    """Bring each unit's incoming weights to at most `length` (Srebro and Shraibman 2005; with dropout, Srivastava et
    al. 2014)."""
    for group in steps.param_groups:
        for weights in group["params"]:
            if weights.ndim > 1:
                weights.copy_(torch.renorm(weights, 2, 0, length))


def schedule(settings: Settings, steps: int) -> Callable[[int], float]:
    """The factor on the learning rate at a step, for a run of `steps` steps: a function of the step
    alone, so that a resumed run goes on where it was. With snapshots it begins anew in each cycle (Huang et al. 2017,
    "Snapshot Ensembles"), without a warm-up."""
    rise = round(settings.warmup * steps / settings.epochs)
    if settings.snapshots:
        cycle = steps / settings.snapshots
        return lambda step: (1 + math.cos(math.pi * (min(step, steps - 1) % cycle) / cycle)) / 2

    def factor(step: int) -> float:
        if step < rise and settings.schedule != "one-cycle":
            return (step + 1) / rise
        done = min(1.0, (step - rise) / max(1, steps - rise))
        match settings.schedule:
            case "cosine":
                return (1 + math.cos(math.pi * done)) / 2
            case "poly":
                return float((1 - done) ** 0.9)
            case "step":
                return 0.1 ** ((done >= 0.6) + (done >= 0.85))
            case "one-cycle":
                return _one_cycle(step / max(1, steps))
            case _:
                return 1.0

    return factor


def _one_cycle(done: float) -> float:
    """Up from a 25th over the first 30 %, then down to a 10,000th of that (Smith and Topin 2019)."""
    low, high, last = 1 / 25, 1.0, 1 / 250_000
    first, then, share = (low, high, done / 0.3) if done < 0.3 else (high, last, (done - 0.3) / 0.7)
    return then + (first - then) * (1 + math.cos(math.pi * min(1.0, share))) / 2


class Plateau(nn.Module):
    """A factor on the learning rate that falls to a tenth where the figure has not risen for `patience`
    validations; it goes with the checkpoint."""

    best: torch.Tensor
    waited: torch.Tensor
    factor: torch.Tensor

    def __init__(self, patience: int = 3) -> None:
        super().__init__()
        self.patience = patience
        for name, value in (("best", -math.inf), ("waited", 0.0), ("factor", 1.0)):
            self.register_buffer(name, torch.tensor(value))

    def take(self, figure: float) -> None:
        """The figure of a validation."""
        if figure > float(self.best):
            self.best.fill_(figure)
            self.waited.zero_()
            return
        self.waited += 1
        if int(self.waited) >= self.patience:
            self.factor /= 10
            self.waited.zero_()

"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from vision.train.settings import Settings


def optimiser(net: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD or AdamW over the parameters that learn: norms and biases (one axis) do not decay, and
    `net.encoder` learns `settings.backbone_lr` times as fast as the rest."""
    encoder = getattr(net, "encoder", None)              # a module, or a view of some
    pre_trained = set(encoder.parameters()) if isinstance(encoder, nn.Module) else set()
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in net.parameters():
        if parameter.requires_grad:
            groups.setdefault((parameter in pre_trained, parameter.ndim > 1), []).append(parameter)
    params = [
        {
            "params": members,
            "lr": settings.lr * (settings.backbone_lr if of_encoder else 1.0),
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (of_encoder, decays), members in sorted(groups.items(), key=lambda item: item[0])
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(params, lr=settings.lr, momentum=0.9)
    fused = settings.precision == "float32" or not settings.clip         # Lightning clips no others in mixed precision
    return torch.optim.AdamW(params, lr=settings.lr, fused=fused)


def schedule(settings: Settings, steps: int) -> Callable[[int], float]:
    """The factor on the learning rate at a step, for a run of `steps` steps: a function of the step
    alone, so that a resumed run goes on where it was. With snapshots it begins anew in each cycle (Huang et al. 2017,
    "Snapshot Ensembles"), without a warm-up."""
    rise = round(settings.warmup * steps / settings.epochs)
    if settings.snapshots:
        cycle = steps / settings.snapshots
        return lambda step: (1 + math.cos(math.pi * (min(step, steps - 1) % cycle) / cycle)) / 2

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        done = min(1.0, (step - rise) / max(1, steps - rise))
        match settings.schedule:
            case "cosine":
                return (1 + math.cos(math.pi * done)) / 2
            case "poly":
                return float((1 - done) ** 0.9)
            case "step":
                return 0.1 ** ((done >= 0.6) + (done >= 0.85))
            case "constant":
                return 1.0

    return factor

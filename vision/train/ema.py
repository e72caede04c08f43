"""The moving average of a network's weights (Polyak & Juditsky 1992; as EMA in most recipes)."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average(nn.Module):
    """A copy of a network that follows it: w <- d w + (1 - d) w_net, with d = min(decay, (1 + n) /
    (10 + n)) at update n, so that the start does not weigh on it. Counters are copied."""

    updates: torch.Tensor

    def __init__(self, net: nn.Module, decay: float) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Take the weights of `net` in."""
        n = int(self.updates)
        decay = min(self.decay, (1 + n) / (10 + n))
        mine, theirs = self.net.state_dict(), net.state_dict()
        floats = [name for name, value in mine.items() if value.is_floating_point()]
        torch._foreach_lerp_([mine[f] for f in floats], [theirs[f] for f in floats], 1 - decay)
        for name, value in mine.items():
            if not value.is_floating_point():
                value.copy_(theirs[name])
        self.updates += 1

    def train(self, mode: bool = True) -> Average:
        """It is never trained: dropout stays off and statistics stand still."""
        return super().train(False)
